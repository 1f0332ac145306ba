//! What a large backlog of a low lane costs an urgent Message: `cargo bench --bench urgent`.
//!
//! A device in a process of its own, with a window of 1, once with an empty outbox and once with `BACKLOG` Messages of
//! 200 bytes (1,000,000 unless set), which drain meanwhile.

mod support;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Durability, Priority, SenderOptions, StreamSender};
use support::Stage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ALARMS: usize = 300;
/// Not in step with anything.
const PAUSE: Duration = Duration::from_millis(23);
const IN_ONE_COMMIT: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, instance, token, ca_file, database] = arguments.as_slice()
        && mode == "device"
    {
        let client = DeviceClient::builder(token.as_str(), database.as_str())
            .instance(instance.as_str())
            .ca_file(ca_file.as_str())
            .on_provisioning(|_| {});
        let began = Instant::now();
        let client = client.start()?;
        return device(&client, began.elapsed());
    }
    let backlog = std::env::var("BACKLOG").ok();
    let backlog = backlog.map_or(Ok(1_000_000), |backlog| backlog.parse())?;
    for backlog in [0, backlog] {
        measure(backlog)?;
    }
    Ok(())
}

fn measure(backlog: usize) -> Result<()> {
    let stage = Stage::with(spotflow_emulator::Platform::builder().own_hub_port(true));
    stage.platform.accept_hub_connections(false)?;
    let client = stage.device().durability(Durability::KillSafe).start()?;
    let sender = sender(&client, Priority::Low)?;
    for some in 0..backlog.div_ceil(IN_ONE_COMMIT) {
        let left = IN_ONE_COMMIT.min(backlog - some * IN_ONE_COMMIT);
        sender.enqueue_messages(vec![vec![b'x'; 200]; left])?;
    }
    client.close();
    drop((sender, client));
    println!("with a backlog of {backlog}:");
    println!("  not connected");
    run(&stage)?;
    stage.platform.accept_hub_connections(true)?;
    println!("  connected");
    run(&stage)
}

fn run(stage: &Stage) -> Result<()> {
    let database = stage.directory.path().join("device.db");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["device", &stage.platform.instance()])
        .arg(stage.platform.provisioning_token())
        .args([Path::new(&stage.platform.ca_file()), &database])
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            println!("    {}", line?);
        }
    }
    child.wait()?;
    Ok(())
}

fn sender(client: &DeviceClient, priority: Priority) -> Result<StreamSender> {
    let options = SenderOptions::new().priority(priority);
    Ok(client.create_stream_sender_with(None, None, options)?)
}

fn device(client: &DeviceClient, start: Duration) -> Result<()> {
    println!(
        "start: {start:.1?}, {} pending",
        client.pending_messages_count()
    );
    let alarms = sender(client, Priority::Urgent)?;
    let deadline = Instant::now() + Duration::from_secs(2);
    while !client.status().is_connected && Instant::now() < deadline {
        thread::sleep(PAUSE);
    }
    let is_connected = client.status().is_connected;
    let (mut stored, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..ALARMS {
        thread::sleep(PAUSE);
        let began = Instant::now();
        alarms.enqueue_message([b'a'; 200])?;
        stored.push(began.elapsed());
        if is_connected {
            thread::sleep(PAUSE);
            let began = Instant::now();
            alarms.send_message([b'a'; 200])?;
            sent.push(began.elapsed());
        }
    }
    if is_connected && client.pending_messages_count() == 0 {
        let usual = sender(client, Priority::Normal)?;
        let same = written(&[&alarms, &alarms])?;
        let other = written(&[&alarms, &usual])?;
        println!("written per Message: {same} bytes, {other} bytes if each is of another lane");
    }
    print("stored", stored);
    print("acknowledged", sent);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find(|line| line.starts_with("VmRSS"));
    println!(
        "{}, {} pending",
        resident.unwrap_or("?"),
        client.pending_messages_count()
    );
    // The backlog stays.
    std::process::exit(0);
}

/// What is written to the disk for a Message, stored and sent, if they are sent by these in turn.
fn written(senders: &[&StreamSender]) -> Result<u64> {
    let before = write_bytes()?;
    for sender in senders.iter().cycle().take(ALARMS) {
        sender.send_message([b'a'; 200])?;
    }
    Ok((write_bytes()? - before) / ALARMS as u64)
}

/// Of this process, so far.
fn write_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("no write_bytes")?.parse()?)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100);
    if let (Some(median), Some(late)) = (at(50), at(95)) {
        println!("{what}: median {median:.0?}, 95 % within {late:.0?}");
    }
}
