//! A device that stores and sends from several threads until it is killed, and says in a ledger what
//! was accepted: each thread appends `ok number` to its file when the call has returned.
//!
//! Arguments: `run`, `close` (for so many milliseconds, then ends), `backlogs` (large ones, which drain),
//! `large` (content that is uploaded), `content` (one that takes long to upload), `files` (copies of a file, one after
//! the other) or `drain`, instance, token, CA file,
//! database, ledger directory, window, durability, `of-threads` for a lane of each thread's own, milliseconds. Standard
//! output tells where it is.
#![forbid(unsafe_code)]

mod ledger;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ledger::Ledger;
use serde_json::json;
use spotflow_device::{
    Compression, DeviceClient, Durability, FileMessage, Message, Priority, SenderOptions,
    StreamSender,
};

type Failure = Box<dyn Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// Above this the threads wait for acknowledgements, so that storing and acknowledging keep pace.
const PENDING_MAX: u64 = 40;
/// Never reached unless something is broken.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
/// The cloud sends this when it has sent all others.
const LAST: &str = "last";

/// Where the threads' Messages go.
#[derive(Clone, Copy)]
enum Lanes {
    One,
    OfThreads,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        mode,
        instance,
        token,
        ca_file,
        database,
        ledger,
        window,
        durability,
        lanes,
        ms,
    ] = arguments.as_slice()
    else {
        return Err(
            "MODE INSTANCE TOKEN CA_FILE DATABASE LEDGER WINDOW DURABILITY LANES MS".into(),
        );
    };
    let durability = match durability.as_str() {
        "kill-safe" => Durability::KillSafe,
        _ => Durability::PowerSafe,
    };
    let lanes = match lanes.as_str() {
        "of-threads" => Lanes::OfThreads,
        _ => Lanes::One,
    };
    let client = DeviceClient::builder(token.as_str(), database.as_str())
        .instance(instance.as_str())
        .ca_file(ca_file.as_str())
        .device_id("crash-device")
        .in_flight_window(window.parse()?)
        .durability(durability)
        .cloud_messages(true)
        .start()?;
    println!("started {}", client.pending_messages_count());
    let ledger = Path::new(ledger);
    match mode.as_str() {
        "drain" => drain(&client, ledger)?,
        "backlogs" => store_backlogs(&client, Ledger::open(ledger, "0")?)?,
        "content" => store_content(&client)?,
        "file" => store_file(&client, ledger, Compression::Uncompressed)?,
        "compressed-file" => store_file(&client, ledger, Compression::Fastest)?,
        "files" => store_files(&client, ledger)?,
        "large" => store_uploads(&client, Ledger::open(ledger, "2")?)?,
        "close" => {
            let time = Duration::from_millis(ms.parse()?);
            run(&client, ledger, lanes, Some(time))?;
        }
        _ => run(&client, ledger, lanes, None)?,
    }
    println!("closing");
    client.close();
    println!("closed");
    Ok(())
}

fn drain(client: &DeviceClient, ledger: &Path) -> Result<()> {
    println!("draining");
    client.wait_enqueued_messages_sent_timeout(DRAIN_LIMIT)?;
    while process_cloud_message(client, &mut Ledger::open(ledger, "cloud")?)? != Some(LAST.into()) {
    }
    while client.any_pending_reported_properties_updates() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    println!("set aside {}", client.set_aside_messages()?.len());
    Ok(())
}

fn run(client: &DeviceClient, ledger: &Path, lanes: Lanes, time: Option<Duration>) -> Result<()> {
    let ends = AtomicBool::new(false);
    let goes_on = || !ends.load(Ordering::Relaxed);
    let options = |compression, priority| {
        SenderOptions::new()
            .compression(compression)
            .priority(match lanes {
                Lanes::One => Priority::Normal,
                Lanes::OfThreads => priority,
            })
    };
    let sender = |compression, priority| {
        client.create_stream_sender_with(None, None, options(compression, priority))
    };
    let plain = sender(Compression::Uncompressed, Priority::Normal)?;
    let packed = sender(Compression::Fastest, Priority::Urgent)?;
    let large = sender(Compression::Uncompressed, Priority::Bulk)?;
    let newest = options(Compression::Uncompressed, Priority::High).keep_latest();
    let newest = client.create_stream_sender_with(None, None, newest)?;
    std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| store_plain(client, &plain, Ledger::open(ledger, "0")?, &goes_on)),
            scope.spawn(|| store_batches(client, &packed, Ledger::open(ledger, "1")?, &goes_on)),
            scope.spawn(|| store_large(client, &large, Ledger::open(ledger, "2")?, &goes_on)),
            scope.spawn(|| store_newest(client, &newest, Ledger::open(ledger, "3")?, &goes_on)),
            scope.spawn(|| report(client, Ledger::open(ledger, "reported")?, &goes_on)),
            scope.spawn(|| process(client, Ledger::open(ledger, "cloud")?, &goes_on)),
        ];
        if let Some(time) = time {
            std::thread::park_timeout(time);
            ends.store(true, Ordering::Relaxed);
        }
        let failed = |_| Failure::from("a thread panicked");
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(failed)?)
    })
}

/// Numbered Messages, one or several in a commit.
fn store_plain(
    client: &DeviceClient,
    sender: &StreamSender,
    mut ledger: Ledger,
    goes_on: &dyn Fn() -> bool,
) -> Result<()> {
    while goes_on() {
        let count = if ledger.next.is_multiple_of(7) { 4 } else { 1 };
        let numbers = ledger.try_next(count)?;
        match count {
            1 => sender.enqueue_message(format!("0 {}", numbers.start))?,
            _ => sender.enqueue_messages(numbers.clone().map(|n| format!("0 {n}")))?,
        }
        ledger.accepted(numbers)?;
        wait_while_full(client);
    }
    Ok(())
}

/// Compressed ones, in Batches that are completed. A completion has no content: its Batch is its name.
fn store_batches(
    client: &DeviceClient,
    sender: &StreamSender,
    mut ledger: Ledger,
    goes_on: &dyn Fn() -> bool,
) -> Result<()> {
    while goes_on() {
        let numbers = ledger.try_next(1)?;
        let number = numbers.start;
        match number % 5 {
            4 => sender.enqueue_batch_completion(format!("1 {number}"))?,
            _ => {
                let content = format!("1 {number}\n{}", "temperature ".repeat(50));
                let batch = number - number % 5 + 4;
                sender.enqueue_message(Message::new(content).batch_id(format!("1 {batch}")))?;
            }
        }
        ledger.accepted(numbers)?;
        wait_while_full(client);
    }
    Ok(())
}

/// Several of a key in turn, of which the newest is kept.
fn store_newest(
    client: &DeviceClient,
    sender: &StreamSender,
    mut ledger: Ledger,
    goes_on: &dyn Fn() -> bool,
) -> Result<()> {
    while goes_on() {
        let numbers = ledger.try_next(1)?;
        let number = numbers.start;
        let key = (number / spotflow_crash::OF_A_KEY).to_string();
        sender.enqueue_message(Message::new(format!("3 {number}")).latest_key(key))?;
        ledger.accepted(numbers)?;
        wait_while_full(client);
    }
    Ok(())
}

/// Some that have to be uploaded.
fn store_large(
    client: &DeviceClient,
    sender: &StreamSender,
    mut ledger: Ledger,
    goes_on: &dyn Fn() -> bool,
) -> Result<()> {
    while goes_on() {
        let numbers = ledger.try_next(1)?;
        let number = numbers.start;
        let filling = if number % 40 == 3 { 260_000 } else { 3_000 };
        sender.enqueue_message(format!("2 {number}\n{}", "x".repeat(filling)))?;
        ledger.accepted(numbers)?;
        wait_while_full(client);
    }
    Ok(())
}

/// Backlogs that make the file large, and drain: each time it shrinks.
fn store_backlogs(client: &DeviceClient, mut ledger: Ledger) -> Result<()> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    loop {
        for _ in 0..10 {
            let numbers = ledger.try_next(150)?;
            let content = |number| format!("0 {number}\n{}", "x".repeat(2_000));
            sender.enqueue_messages(numbers.clone().map(content))?;
            ledger.accepted(numbers)?;
        }
        println!("stored");
        client.wait_enqueued_messages_sent_timeout(DRAIN_LIMIT)?;
        println!("drained");
        // For the file to shrink, if nobody kills this.
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// Nothing but content that has to be uploaded.
fn store_uploads(client: &DeviceClient, mut ledger: Ledger) -> Result<()> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    loop {
        let numbers = ledger.try_next(1)?;
        sender.enqueue_message(format!("2 {}\n{}", numbers.start, "x".repeat(260_000)))?;
        ledger.accepted(numbers)?;
        while client.pending_messages_count() > 2 {
            client
                .wait_enqueued_messages_sent_timeout(Duration::from_secs(1))
                .ok();
        }
    }
}

/// As much as a Message takes, then nothing more.
fn store_content(client: &DeviceClient) -> Result<()> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    sender.enqueue_message(spotflow_crash::content())?;
    println!("stored");
    client.wait_enqueued_messages_sent_timeout(DRAIN_LIMIT)?;
    Ok(())
}

/// The content of the file `file` in the ledger's directory, once.
fn store_file(client: &DeviceClient, directory: &Path, compression: Compression) -> Result<()> {
    let sender = client.create_stream_sender(None, None, compression)?;
    sender.enqueue_file(directory.join("file"))?;
    client.wait_enqueued_messages_sent_timeout(DRAIN_LIMIT)?;
    Ok(())
}

/// The content of the file `file` in the ledger's directory, again and again.
fn store_files(client: &DeviceClient, directory: &Path) -> Result<()> {
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    let mut ledger = Ledger::open(directory, "2")?;
    loop {
        let numbers = ledger.try_next(1)?;
        let file = FileMessage::new(directory.join("file"));
        sender.enqueue_file(file.message_id(format!("2 {}", numbers.start)))?;
        ledger.accepted(numbers)?;
        println!("stored");
        client.wait_enqueued_messages_sent_timeout(DRAIN_LIMIT)?;
    }
}

fn wait_while_full(client: &DeviceClient) {
    if client.pending_messages_count() > PENDING_MAX {
        // A limit that passes is as good: the next round looks again.
        client
            .wait_enqueued_messages_sent_timeout(Duration::from_millis(5))
            .ok();
    }
}

/// States one number after the other.
fn report(client: &DeviceClient, mut ledger: Ledger, goes_on: &dyn Fn() -> bool) -> Result<()> {
    while goes_on() {
        let numbers = ledger.try_next(1)?;
        let number = numbers.start;
        client.update_reported_properties(&json!({ "number": number }))?;
        ledger.accepted(numbers)?;
        std::thread::park_timeout(Duration::from_millis(number % 20));
    }
    Ok(())
}

fn process(client: &DeviceClient, mut ledger: Ledger, goes_on: &dyn Fn() -> bool) -> Result<()> {
    while goes_on() {
        process_cloud_message(client, &mut ledger)?;
    }
    Ok(())
}

/// Puts a message from the cloud into the ledger, and only then lets it be forgotten.
fn process_cloud_message(client: &DeviceClient, ledger: &mut Ledger) -> Result<Option<String>> {
    let Some(message) = client.receive_cloud_message(Duration::from_millis(50))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(message.payload()).into_owned();
    ledger.note(&text)?;
    message.complete()?;
    Ok(Some(text))
}
