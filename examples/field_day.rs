//! A day in the field, over a link that comes and goes: what matters goes first, what is stale is not sent, and large
//! content goes on where the link broke.
//!
//! - Alarms go first after an outage, whatever has piled up meanwhile.
//! - Readings have a lifetime: when the link is back, the stale ones have made room for fresh ones.
//! - Of the pump's state only the newest is wanted: it takes the place of those that were not sent.
//! - A camera image is large: it goes up in blocks, and an outage costs one block at most.
//! - Yesterday's log file has time: it goes last.
//!
//! `cargo run --example field_day` runs it on the embedded Platform, which takes the link away and gives it back, and
//! checks what arrived there. With `SPOTFLOW_PROVISIONING_TOKEN` (and `SPOTFLOW_INSTANCE`) set, that is up to you.

mod support;

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::Duration;

use spotflow_device::{
    Compression, DeviceClient, Error, Priority, Result, SenderOptions, Status, StreamSender,
};
use spotflow_emulator::{Message as Received, Platform, StorageWrite, WriteKind};
use support::{Outcome, PATIENCE, Stage, check, picture, wait_until};

const OUTAGES: usize = 2;
/// Seconds stand for hours.
const OUTAGE: Duration = Duration::from_millis(2500);
const LIFETIME: Duration = Duration::from_secs(2);
const STALE_READINGS: usize = 200;
const FRESH_READINGS: usize = 20;
const STATES: usize = 10;
const IMAGE_BYTES: usize = 6_000_000;
/// So that the link never lasts long enough for the whole image.
const UPLOAD_BYTES_PER_SECOND: f64 = 2_000_000.0;

fn main() -> Outcome {
    let stage = Stage::set()?;
    let link = Link::of(&stage);
    let client = stage.client()?.device_id("field-station").start()?;
    let mut station = Station::new(&client)?;

    println!("-- Morning: a camera image and yesterday's log file are to be sent");
    let (log, image) = (log_of_a_day(), picture(IMAGE_BYTES));
    let log_file = stage.file("yesterday.log");
    fs::write(&log_file, &log)?;
    station.camera.enqueue_message(image.as_slice())?;
    station.logs.enqueue_file(log_file.as_path())?;
    // Its content is stored.
    fs::remove_file(&log_file)?;
    link.wait_until_amid_a_block()?;

    for outage in 1..=OUTAGES {
        link.take_away(&client)?;
        println!("-- Outage {outage}: readings grow stale; then come fresh ones, and an alarm");
        let stale = station.measure(STALE_READINGS)?;
        station.tell_states()?;
        thread::sleep(OUTAGE);
        station.stale_readings.extend(stale);
        station.measure(FRESH_READINGS)?;
        station.raise_alarm(format!("outage {outage}: the door is open"))?;
        show(&client.status());

        link.give_back()?;
        println!("-- The link is back");
        station.measure_and_send()?;
        link.wait_until_amid_a_block()?;
        show(&client.status());
    }

    println!("-- Evening: the link lasts");
    client.wait_enqueued_messages_sent_timeout(4 * PATIENCE)?;
    if let Some(platform) = &stage.platform {
        println!("The Platform received:");
        let received = platform.distinct_messages();
        check_alarms(&received, &station.alarms)?;
        check_readings(&received, &station, client.status().expired_messages)?;
        check_states(
            &received,
            &station.states,
            client.status().replaced_messages,
        )?;
        check_whole("image", &in_stream(&received, "camera"), &image)?;
        check_blocks(&platform.storage_writes())?;
        check_whole("log file", &in_stream(&received, "logs"), log.as_bytes())?;
    }
    client.close();
    Ok(())
}

/// The device's senders, and what it stored, for the comparison with what arrives.
struct Station {
    alarm_sender: StreamSender,
    reading_sender: StreamSender,
    state_sender: StreamSender,
    camera: StreamSender,
    logs: StreamSender,
    alarms: Vec<String>,
    readings: Vec<String>,
    states: Vec<String>,
    /// Those that an outage has outlasted.
    stale_readings: HashSet<String>,
}

impl Station {
    fn new(client: &DeviceClient) -> Result<Station> {
        let sender = |stream, options| client.create_stream_sender_with("field", stream, options);
        let options = SenderOptions::new;
        let log_options = options()
            .priority(Priority::Bulk)
            .compression(Compression::Fastest);
        Ok(Station {
            alarm_sender: sender("alarms", options().priority(Priority::Urgent))?,
            reading_sender: sender("readings", options().time_to_live(LIFETIME))?,
            state_sender: sender("state", options().keep_latest())?,
            camera: sender("camera", options().priority(Priority::Low))?,
            logs: sender("logs", log_options)?,
            alarms: Vec::new(),
            readings: Vec::new(),
            states: Vec::new(),
            stale_readings: HashSet::new(),
        })
    }

    fn raise_alarm(&mut self, alarm: String) -> Result<()> {
        self.alarm_sender.enqueue_message(alarm.as_str())?;
        self.alarms.push(alarm);
        Ok(())
    }

    /// Stores so many readings, and returns them.
    fn measure(&mut self, count: usize) -> Result<Vec<String>> {
        let readings: Vec<String> = (0..count).map(|_| self.next_reading()).collect();
        self.reading_sender.enqueue_messages(readings.clone())?;
        Ok(readings)
    }

    /// Returns when the reading is sent, and with it all before it that were not stale.
    fn measure_and_send(&mut self) -> Result<()> {
        let reading = self.next_reading();
        match self.reading_sender.send_message_timeout(reading, PATIENCE) {
            // It took the link longer to come back than a reading lives.
            Err(Error::Expired) => Ok(()),
            sent => sent,
        }
    }

    /// The pump changes its state several times.
    fn tell_states(&mut self) -> Result<()> {
        for _ in 0..STATES {
            let state = format!("state {}", self.states.len());
            self.state_sender.enqueue_message(state.as_str())?;
            self.states.push(state);
        }
        Ok(())
    }

    fn next_reading(&mut self) -> String {
        let reading = format!("reading {}", self.readings.len());
        self.readings.push(reading.clone());
        reading
    }
}

/// The device's link. That to the embedded Platform is slow, and breaks where that hurts.
struct Link<'a> {
    platform: Option<&'a Platform>,
}

impl Link<'_> {
    fn of(stage: &Stage) -> Link<'_> {
        let platform = stage.platform.as_ref();
        if let Some(platform) = platform {
            platform.storage_rate(Some(UPLOAD_BYTES_PER_SECOND));
        }
        Link { platform }
    }

    /// Returns when the device has noticed: until then something may be in flight, and never expires.
    fn take_away(&self, client: &DeviceClient) -> Outcome {
        let Some(platform) = self.platform else {
            return ask("Take the network away");
        };
        platform.accept_connections(false)?;
        platform.cut_storage_after(Some(1));
        platform.close_connections();
        wait_until("the device has a link", || !client.status().is_connected)
    }

    fn give_back(&self) -> Outcome {
        let Some(platform) = self.platform else {
            return ask("Give the network back");
        };
        platform.cut_storage_after(None);
        Ok(platform.accept_connections(true)?)
    }

    /// Returns when another block has come up, and the next is under way.
    fn wait_until_amid_a_block(&self) -> Outcome {
        let Some(platform) = self.platform else {
            return Ok(());
        };
        let up_before = whole_blocks(&platform.storage_writes()).len();
        let is_amid_a_block = |writes: &[StorageWrite]| {
            let is_begun = |it: &StorageWrite| it.status.is_none() && it.received_bytes > 0;
            whole_blocks(writes).len() > up_before && writes.last().is_some_and(is_begun)
        };
        platform.wait_for_storage_writes(is_amid_a_block, PATIENCE)?;
        Ok(())
    }
}

fn ask(what: &str) -> Outcome {
    println!("-- {what}, and press Enter");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// A line a second.
fn log_of_a_day() -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut line = |second: u32| {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (speed, pressure) = (random.u32(1400..1600), random.u32(95_000..105_000));
        format!("{hour:02}:{minute:02}:{second:02} {speed} rpm, {pressure} Pa\n")
    };
    (0..24 * 3600).map(&mut line).collect()
}

fn show(status: &Status) {
    print!(
        "{} Messages pending, {} readings too old",
        status.pending_messages, status.expired_messages
    );
    match status.upload {
        Some(upload) => println!(
            "; {} of {} bytes uploaded",
            upload.uploaded_bytes, upload.total_bytes
        ),
        None => println!(),
    }
}

fn in_stream<'a>(received: &'a [Received], stream: &str) -> Vec<&'a Received> {
    let is_in_it = |message: &&Received| message.stream.as_deref() == Some(stream);
    received.iter().filter(is_in_it).collect()
}

fn texts(messages: &[&Received]) -> Vec<String> {
    messages.iter().map(|message| message.text()).collect()
}

/// Each is there, and went over the connection that the outage ended with before everything else.
fn check_alarms(received: &[Received], stored: &[String]) -> Outcome {
    let alarms = in_stream(received, "alarms");
    check(texts(&alarms) == stored, "the alarms are not those raised")?;
    for alarm in alarms {
        let mut over_connection = received
            .iter()
            .filter(|it| it.connection == alarm.connection);
        let before = over_connection.position(|it| it.sequence == alarm.sequence);
        // What was in flight when the link broke is sent again first.
        let is_first = before.is_some_and(|before| before <= 1);
        check(is_first, "an alarm had to wait")?;
    }
    println!("  {} alarms, each first after its outage", stored.len());
    Ok(())
}

/// Each is there in its order, or was too old and counted; none that was stale is there.
fn check_readings(received: &[Received], station: &Station, expired: u64) -> Outcome {
    let readings = texts(&in_stream(received, "readings"));
    let mut stored = station.readings.iter();
    let in_order = readings.iter().all(|it| stored.any(|stored| it == stored));
    check(in_order, "the readings are not those stored, in order")?;
    let is_stale = |it: &String| station.stale_readings.contains(it);
    check(!readings.iter().any(is_stale), "a stale reading was sent")?;
    let not_sent = station.readings.len() - readings.len();
    check(
        not_sent as u64 == expired,
        "not each reading is accounted for",
    )?;
    println!("  {} readings; {expired} were too old", readings.len());
    Ok(())
}

/// The newest of each outage is there, and the others are counted.
fn check_states(received: &[Received], stored: &[String], replaced: u64) -> Outcome {
    let states = texts(&in_stream(received, "state"));
    let newest: Vec<&String> = stored.chunks(STATES).filter_map(<[_]>::last).collect();
    check(states.iter().eq(newest), "the states are not the newest")?;
    let not_sent = stored.len() - states.len();
    check(
        not_sent as u64 == replaced,
        "not each state is accounted for",
    )?;
    println!(
        "  {} states; newer ones took the place of {replaced}",
        states.len()
    );
    Ok(())
}

fn check_whole(name: &str, received: &[&Received], stored: &[u8]) -> Outcome {
    let [message] = received else {
        return Err(format!("not one {name} came").into());
    };
    check(message.is_external(), "it was not uploaded")?;
    check(message.payload == stored, "it is not the one stored")?;
    println!("  the {name}, whole: {} bytes", stored.len());
    Ok(())
}

/// What was stored of blocks, by content and number.
fn whole_blocks(writes: &[StorageWrite]) -> Vec<(&str, &str)> {
    let whole = writes.iter().filter(|write| write.status == Some(201));
    whole
        .filter_map(|write| match &write.kind {
            WriteKind::Block(id) => Some((write.blob_name.as_str(), id.as_str())),
            _ => None,
        })
        .collect()
}

/// None was sent again that had come up, and each outage interrupted one at most.
fn check_blocks(writes: &[StorageWrite]) -> Outcome {
    let whole = whole_blocks(writes);
    let distinct: HashSet<_> = whole.iter().collect();
    check(distinct.len() == whole.len(), "a block came up twice")?;
    let is_block = |write: &&StorageWrite| matches!(write.kind, WriteKind::Block(_));
    let interrupted = writes.iter().filter(is_block).count() - whole.len();
    check(interrupted <= OUTAGES, "an outage cost several blocks")?;
    println!(
        "    in {} blocks, {interrupted} of them begun anew",
        whole.len()
    );
    Ok(())
}
