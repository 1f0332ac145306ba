//! A device that stores and sends from several threads until it is killed, and says in a ledger what
//! was accepted: each thread appends `number` to its file when `enqueue` has returned.
//!
//! Arguments: `run` or `drain`, instance, token, CA file, database, ledger directory, window.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spotflow_device::{Compression, DeviceClient, Message, StreamSender};

type Failure = Box<dyn Error + Send + Sync>;

const THREADS: usize = 3;
/// More than this is not left pending, so that the test ends.
const PENDING_MAX: u64 = 300;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, instance, token, ca_file, database, ledger, window] = arguments.as_slice() else {
        return Err("run|drain INSTANCE TOKEN CA_FILE DATABASE LEDGER WINDOW".into());
    };
    let client = DeviceClient::builder(token.as_str(), database.as_str())
        .instance(instance.as_str())
        .ca_file(ca_file.as_str())
        .device_id("crash-device")
        .in_flight_window(window.parse()?)
        .start()?;
    println!("started");
    match mode.as_str() {
        "drain" => client.wait_enqueued_messages_sent()?,
        _ => run(&client, Path::new(ledger))?,
    }
    client.close();
    Ok(())
}

fn run(client: &DeviceClient, ledger: &Path) -> Result<(), Failure> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (sender, path) = (sender.clone(), ledger.join(thread.to_string()));
                scope.spawn(move || store(client, &sender, thread, &path))
            })
            .collect();
        let failed = |_| Failure::from("a thread panicked");
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(failed)?)
    })
}

/// Stores numbered Messages, one or several in a commit, for ever.
fn store(
    client: &DeviceClient,
    sender: &StreamSender,
    thread: usize,
    path: &PathBuf,
) -> Result<(), Failure> {
    let mut next = next_number(path)?;
    let mut ledger = OpenOptions::new().append(true).create(true).open(path)?;
    loop {
        // A number that was tried and not accepted is not used again: it may have been stored.
        let count = if next % 7 == 0 { 4 } else { 1 };
        let numbers: Vec<u64> = (next..next + count).collect();
        next += count;
        writeln!(ledger, "try {}", next - 1)?;
        let text = |number: &u64| Message::new(format!("{thread} {number}"));
        match numbers.as_slice() {
            [one] => sender.enqueue_message(text(one))?,
            many => sender.enqueue_messages(many.iter().map(text))?,
        }
        let accepted: String = numbers
            .iter()
            .map(|number| format!("ok {number}\n"))
            .collect();
        ledger.write_all(accepted.as_bytes())?;
        if client.pending_messages_count() > PENDING_MAX {
            // A limit that passes is as good: the next round looks again.
            client
                .wait_enqueued_messages_sent_timeout(Duration::from_millis(50))
                .ok();
        }
    }
}

/// Behind every number that was ever tried.
fn next_number(path: &PathBuf) -> Result<u64, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let numbers = text
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.parse::<u64>().ok());
    Ok(numbers.max().map_or(0, |last| last + 1))
}
