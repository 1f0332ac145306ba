//! For a person at a terminal.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use spotflow_emulator::{Error, OperationState, Platform};

use crate::options::Options;
use crate::{Quit, Started, watch};

const HELP: &str = "\
list                       operations and devices
approve CODE [DEVICE-ID]   let a device in, under another ID if you like
refuse CODE                do not let it in
desired DEVICE JSON        set a device's Desired Properties
desired DEVICE             show them
reported DEVICE            show a device's Reported Properties
send DEVICE TEXT           send a cloud-to-device message
call DEVICE METHOD [JSON]  call a direct method
forward DEVICE PORT [HERE]
                           lead a port of this machine (HERE, or any) to a port of a device
tunnels                    the connections to ports of devices
messages [NUMBER]          the last Messages, 10 if not told
help                       this
quit                       end";

const SSH_PORT: u16 = 22;

/// Shows what happens and reads commands. Returns at once.
pub(crate) fn start(platform: Arc<Platform>, options: &Options, at: &Started, quit: Quit) {
    greet(&platform, options, at);
    watch::start(&platform, options.asks(), quit.clone());
    let asks = options.asks();
    thread::spawn(move || {
        read_commands(&platform, asks, &quit);
    });
}

fn greet(platform: &Platform, options: &Options, at: &Started) {
    let mut text = format!(
        "The Spotflow emulator runs. Tell a device:
  instance            {}
  Provisioning Token  {}
and let it trust the emulator's CA, for which this in its environment is enough:
  SSL_CERT_FILE={}\n",
        platform.instance(),
        platform.provisioning_token(),
        at.ca_file.display()
    );
    if let Some(page) = &at.page {
        text += &format!("What happens can be seen and changed in a browser:\n  {page}\n");
    }
    if options.asks() {
        text += "You let devices in yourself; with --approve auto they get in at once.\n";
    }
    text += "Type \"help\" for commands; end with \"quit\" or Ctrl+C.\n";
    // Where nobody reads it, it runs all the same.
    drop(writeln!(io::stdout(), "{text}"));
}

/// Until "quit", or until there is nothing more to read: then the Platform runs on.
fn read_commands(platform: &Platform, asks: bool, quit: &Quit) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let line = line.trim();
        if matches!(line, "quit" | "exit") {
            quit.ask();
            return;
        }
        let answer = command(platform, line).unwrap_or_else(|error| format!("error: {error}"));
        if !answer.is_empty() && writeln!(io::stdout(), "{answer}").is_err() {
            break;
        }
    }
    if asks {
        let text =
            "Nothing more comes from standard input: to let devices in, start with --approve auto.";
        drop(writeln!(io::stderr(), "{text}"));
    }
}

fn command(platform: &Platform, line: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut words = line
        .splitn(3, char::is_whitespace)
        .filter(|word| !word.is_empty());
    let (name, first, rest) = (
        words.next().unwrap_or(""),
        words.next(),
        words.next().map(str::trim),
    );
    let needed = || format!("{name} what? Type \"help\" for how");
    Ok(match (name, first, rest) {
        ("", ..) => String::new(),
        ("help", ..) => HELP.to_owned(),
        ("list", ..) => list(platform),
        ("approve", Some(code), device_id) => {
            format!("approved as {}", platform.approve(code, device_id)?)
        }
        ("refuse", Some(code), _) => platform.refuse(code).map(|()| "refused".to_owned())?,
        ("desired", Some(device), Some(json)) => {
            format!(
                "version {}",
                platform.set_desired(device, &serde_json::from_str(json)?)?
            )
        }
        ("desired", Some(device), None) => versioned(platform.desired(device))?,
        ("reported", Some(device), _) => versioned(platform.reported(device))?,
        ("send", Some(device), Some(text)) => {
            platform.send_cloud_message(device, text, &[])?;
            format!("{} waiting", platform.cloud_messages_waiting(device))
        }
        ("call", Some(device), Some(call)) => call_method(platform, device, call)?,
        ("forward", Some(device), Some(ports)) => forward(platform, device, ports)?,
        ("tunnels", ..) => tunnels(platform),
        ("messages", count, _) => last_messages(platform, count.unwrap_or("10").parse()?),
        ("approve" | "refuse" | "desired" | "reported" | "send" | "call" | "forward", ..) => {
            Err(needed())?
        }
        _ => Err(format!(
            "there is no command {name:?}; type \"help\" for those there are"
        ))?,
    })
}

fn versioned(properties: Result<(serde_json::Value, u64), Error>) -> Result<String, Error> {
    properties.map(|(properties, version)| format!("version {version}: {properties}"))
}

fn call_method(platform: &Platform, device: &str, call: &str) -> Result<String, Error> {
    let (method, payload) = call.split_once(char::is_whitespace).unwrap_or((call, "{}"));
    let answer =
        platform.call_method(device, method, payload, std::time::Duration::from_secs(30))?;
    Ok(format!(
        "status {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.payload)
    ))
}

fn forward(
    platform: &Platform,
    device: &str,
    ports: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let (port, here) = ports
        .split_once(char::is_whitespace)
        .unwrap_or((ports, "0"));
    let port: u16 = port.parse()?;
    let local = platform.forward(here.trim().parse()?, device, port)?;
    let mut line = format!("{local} leads to port {port} of {device}");
    if port == SSH_PORT {
        line += &format!(", as in: ssh -p {} USER@{}", local.port(), local.ip());
    }
    Ok(line)
}

fn tunnels(platform: &Platform) -> String {
    let forwardings = platform.forwardings().into_iter();
    let lines = forwardings
        .map(|(local, device, port)| format!("forward       {local} to {device}, port {port}"))
        .chain(platform.tunnels().iter().map(watch::tunnel_line))
        .collect::<Vec<_>>();
    if lines.is_empty() {
        "no port leads to a device".to_owned()
    } else {
        lines.join("\n")
    }
}

fn list(platform: &Platform) -> String {
    let mut lines = Vec::new();
    for operation in platform.operations() {
        let state = match &operation.state {
            OperationState::Pending => "waiting".to_owned(),
            OperationState::Approved { device_id } => format!("approved as {device_id}"),
            other => format!("{other:?}").to_lowercase(),
        };
        lines.push(format!(
            "{} ({state})",
            watch::operation_line(&operation, false)
        ));
    }
    for device in platform.devices() {
        let hub_id = format!("{}:{}", device.workspace_id, device.device_id);
        let state = if platform.connected(&hub_id) {
            "connected"
        } else {
            "not connected"
        };
        let count = platform.messages_of(&hub_id).len();
        lines.push(format!(
            "device        {} {state}, {count} Messages",
            device.device_id
        ));
    }
    if lines.is_empty() {
        "no operations and no devices yet".to_owned()
    } else {
        lines.join("\n")
    }
}

fn last_messages(platform: &Platform, count: usize) -> String {
    let messages = platform.messages();
    let last = &messages[messages.len().saturating_sub(count)..];
    if last.is_empty() {
        return "no Messages yet".to_owned();
    }
    last.iter()
        .map(watch::message_line)
        .collect::<Vec<_>>()
        .join("\n")
}
