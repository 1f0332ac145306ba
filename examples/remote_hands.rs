//! The cloud calls functions of a device, and a technician reaches its SSH server through the Platform.
//!
//! - A method is a function with a name. It runs on a thread of its own, and its answer goes back to the caller.
//! - Remote access leads to the ports that the program allows, on this device only, and to no other.
//!
//! `cargo run --example remote_hands` runs it on the embedded Platform, where it plays the cloud and the technician,
//! too. With `SPOTFLOW_PROVISIONING_TOKEN` (and `SPOTFLOW_INSTANCE`) set, these are you.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use spotflow_device::{MethodError, MethodRequest, MethodResponse, RemoteAccess};
use spotflow_emulator::Platform;
use support::{Outcome, PATIENCE, Stage, check, wait_until};

const SSH: u16 = 22;
const LONGEST_INTERVAL_SECONDS: u64 = 3600;

/// The argument of the method `setInterval`.
#[derive(Deserialize)]
struct Interval {
    seconds: u64,
}

fn main() -> Outcome {
    let stage = Stage::set()?;
    let interval_seconds = Arc::new(AtomicU64::new(60));
    let (restart, restarts) = mpsc::channel();
    // Stands in for the SSH server, which may not be here.
    let console = TcpListener::bind("127.0.0.1:0")?;
    let console_port = console.local_addr()?.port();

    let client = stage
        .client()?
        .device_id("my-device")
        .on_method("restart", move |_| {
            // The caller is answered before the device goes down: the main thread does the rest.
            restart.send(())?;
            Ok(MethodResponse::ok("restarting"))
        })
        .on_method("setInterval", {
            let interval_seconds = Arc::clone(&interval_seconds);
            move |request| set_interval(request, &interval_seconds)
        })
        .remote_access(
            RemoteAccess::new()
                .port(SSH)
                .port(console_port)
                .idle_limit(Duration::from_secs(900)),
        )
        .start()?;

    match &stage.platform {
        Some(platform) => {
            thread::spawn(move || greet(&console));
            play_the_cloud(platform, &client.device_id(), console_port)?;
            check(
                interval_seconds.load(Ordering::Relaxed) == 10,
                "the interval was not set",
            )?;
        }
        None => println!("Call the method setInterval with {{\"seconds\": 10}}, then restart"),
    }
    restarts.recv()?;
    println!("Device: this is where it would restart");
    client.close();
    Ok(())
}

/// An argument that makes no sense is the caller's mistake: 400, with what is wrong.
fn set_interval(
    request: &MethodRequest,
    interval_seconds: &AtomicU64,
) -> Result<MethodResponse, MethodError> {
    let refused = |detail: String| Ok(MethodResponse::new(400, json!({ "detail": detail })));
    match request.deserialize() {
        Ok(Interval { seconds }) if (1..=LONGEST_INTERVAL_SECONDS).contains(&seconds) => {
            let before = interval_seconds.swap(seconds, Ordering::Relaxed);
            println!("Device: a reading every {seconds} s");
            Ok(MethodResponse::ok(json!({ "secondsBefore": before })))
        }
        Ok(_) => refused(format!("seconds must be 1 to {LONGEST_INTERVAL_SECONDS}")),
        Err(error) => refused(error.to_string()),
    }
}

/// A service of the device: says hello to whom it hears the name of.
fn greet(console: &TcpListener) -> std::io::Result<()> {
    for visitor in console.incoming() {
        let mut visitor = visitor?;
        let mut name = String::new();
        BufReader::new(&visitor).read_line(&mut name)?;
        writeln!(visitor, "Hello, {}", name.trim())?;
    }
    Ok(())
}

/// What a program and a technician do on the other side, and what they must see of it.
fn play_the_cloud(platform: &Platform, device: &str, console_port: u16) -> Outcome {
    wait_callable(platform, device)?;
    let call = |name: &str, argument: Value| -> Result<(u16, Value), Box<dyn std::error::Error>> {
        let answer = platform.call_method(device, name, argument.to_string(), PATIENCE)?;
        let body = serde_json::from_slice(&answer.payload)?;
        println!(
            "Cloud:  {name}({argument}) answered {}: {body}",
            answer.status
        );
        Ok((answer.status, body))
    };
    check(
        call("setInterval", json!({ "seconds": 10 }))? == (200, json!({ "secondsBefore": 60 })),
        "setInterval did not answer with the interval before",
    )?;
    check(
        call("setInterval", json!({ "seconds": "often" }))?.0 == 400,
        "an interval that is no number was not refused",
    )?;
    check(
        call("selfDestruct", Value::Null)?.0 == 404,
        "a method that is not there was not refused",
    )?;

    let technician = platform.forward(0, device, console_port)?;
    let mut tunnel = TcpStream::connect(technician)?;
    tunnel.set_read_timeout(Some(PATIENCE))?;
    writeln!(tunnel, "technician")?;
    let mut greeting = String::new();
    BufReader::new(&tunnel).read_line(&mut greeting)?;
    println!("Cloud:  through the tunnel came {greeting:?}");
    check(
        greeting == "Hello, technician\n",
        "the tunnel brought something else",
    )?;

    check(
        call("restart", Value::Null)? == (200, json!("restarting")),
        "restart was not answered",
    )
}

/// A method can be called once the device is connected and has subscribed.
fn wait_callable(platform: &Platform, device: &str) -> Outcome {
    wait_until("the device cannot be called", || {
        let filters = platform.subscriptions(device);
        filters.iter().any(|filter| filter.contains("methods"))
    })
}
