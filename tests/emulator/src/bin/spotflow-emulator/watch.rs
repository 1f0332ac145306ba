//! Shows what happens on the Platform as it happens.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use spotflow_emulator::{Event, Message, Operation, Platform, Tunnel};

use crate::Quit;

/// Long enough to cost nothing; news end the wait at once.
const PATIENCE: Duration = Duration::from_secs(3600);
const PREVIEW_CHARS: usize = 100;

/// Shows events and Messages until standard output is closed, which ends the program.
pub(crate) fn start(platform: &Arc<Platform>, asks: bool, quit: Quit) {
    let (events, end) = (platform.clone(), quit.clone());
    thread::spawn(move || {
        if show_events(&events, asks).is_err() {
            end.ask();
        }
    });
    let messages = platform.clone();
    thread::spawn(move || {
        if show_messages(&messages).is_err() {
            quit.ask();
        }
    });
}

fn show_events(platform: &Platform, asks: bool) -> io::Result<()> {
    let mut seen = 0;
    loop {
        let (events, happened) = platform.wait_for_events(seen, PATIENCE);
        seen = happened;
        for event in events {
            if let Some(line) = describe(&event, asks) {
                writeln!(io::stdout(), "{line}")?;
            }
        }
    }
}

fn show_messages(platform: &Platform) -> io::Result<()> {
    let mut seen = 0;
    loop {
        for message in platform.wait_for_messages_after(seen, PATIENCE) {
            seen = message.sequence;
            writeln!(io::stdout(), "{}", message_line(&message))?;
        }
    }
}

fn describe(event: &Event, asks: bool) -> Option<String> {
    let line = match event {
        Event::OperationStarted(operation) => return Some(operation_line(operation, asks)),
        Event::Registered { device } => format!("registered    {}", device.device_id),
        Event::Connected { device } => format!("connected     {}", device.device_id),
        Event::Disconnected { device } => format!("disconnected  {}", device.device_id),
        Event::ConnectRefused { client_id, code } => {
            format!("refused       {client_id} with code {code}")
        }
        Event::MethodCalled(call) => {
            format!("called        {} of {}", call.name, call.device.device_id)
        }
        Event::TunnelOpened(tunnel) | Event::TunnelEnded(tunnel) => tunnel_line(tunnel),
        Event::Reported {
            device,
            patch,
            version,
        } => {
            format!(
                "reported      {} version {version}: {patch}",
                device.device_id
            )
        }
        _ => return None,
    };
    Some(line)
}

pub(crate) fn tunnel_line(tunnel: &Tunnel) -> String {
    let Tunnel {
        device,
        port,
        bytes_to_device,
        bytes_from_device,
        ..
    } = tunnel;
    let state = match &tunnel.end {
        Some((_, reason)) => reason,
        None if tunnel.is_open() => "open",
        None => "asked for",
    };
    format!(
        "tunnel        to {device}, port {port}: {state}, {bytes_to_device} bytes there, {bytes_from_device} back"
    )
}

pub(crate) fn operation_line(operation: &Operation, asks: bool) -> String {
    let code = &operation.verification_code;
    let wanted = operation
        .requested_device_id
        .as_deref()
        .unwrap_or("(any ID)");
    let mut line = format!(
        "provisioning  {code} for {wanted}, operation {}",
        operation.id
    );
    if asks {
        line += &format!(
            "\n              let it in with: approve {code} [device-id]   or not: refuse {code}"
        );
    }
    line
}

pub(crate) fn message_line(message: &Message) -> String {
    let mut properties: Vec<String> = message
        .properties
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if message.repeat {
        properties.push("(a repeat, dropped)".to_owned());
    }
    let Message {
        sequence,
        device_id,
        ..
    } = message;
    format!(
        "message {sequence:<5} {device_id} {} {}",
        properties.join(" "),
        preview(message)
    )
}

fn preview(message: &Message) -> String {
    let length = message.payload.len();
    if let Some(error) = &message.payload_error {
        return format!("[{length} bytes, {error}]");
    }
    match std::str::from_utf8(&message.payload) {
        Ok(text) if text.chars().all(|c| !c.is_control() || c.is_whitespace()) => {
            let shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match shown.char_indices().nth(PREVIEW_CHARS) {
                Some((end, _)) => format!("{}... [{length} bytes]", &shown[..end]),
                None => shown,
            }
        }
        _ => format!("[{length} bytes]"),
    }
}
