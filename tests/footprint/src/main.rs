//! A device that counts what it costs: threads, files and sockets over many starts, memory with a
//! backlog, wake-ups while idle. The Platform is in another process, so that nothing of it is counted.
//!
//! ```text
//! spotflow-footprint INSTANCE TOKEN CA_FILE DATABASE starts COUNT
//! spotflow-footprint INSTANCE TOKEN CA_FILE DATABASE memory WINDOW
//! spotflow-footprint INSTANCE TOKEN CA_FILE DATABASE idle SECONDS
//! ```
//!
//! Writes lines of `name=value`. Reads Linux's `/proc`.

mod memory;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spotflow_device::{Compression, DeviceClient, DeviceClientBuilder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [instance, token, ca_file, database, command, number] = arguments.as_slice() else {
        return Err("six arguments are needed; see the source".into());
    };
    let device = Device {
        instance,
        token,
        ca_file,
        database,
    };
    match command.as_str() {
        "starts" => starts(&device, number.parse()?),
        "memory" => memory::on_command(&device, number.parse()?),
        "idle" => idle(&device, Duration::from_secs(number.parse()?)),
        _ => Err(format!("there is no command {command:?}").into()),
    }
}

struct Device<'a> {
    instance: &'a str,
    token: &'a str,
    ca_file: &'a str,
    database: &'a str,
}

impl Device<'_> {
    fn builder(&self) -> DeviceClientBuilder {
        DeviceClient::builder(self.token, self.database)
            .instance(self.instance)
            .ca_file(self.ca_file)
            .on_provisioning(|_| {})
    }
}

/// What a process holds.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    threads: usize,
    files: usize,
    sockets: usize,
}

impl Held {
    fn now() -> Result<Held> {
        let files: Vec<PathBuf> = fs::read_dir("/proc/self/fd")?
            // The directory itself is open, too, and gone again when it is asked for.
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let is_socket = |path: &&PathBuf| path.to_string_lossy().starts_with("socket:");
        Ok(Held {
            threads: fs::read_dir("/proc/self/task")?.count(),
            files: files.len(),
            sockets: files.iter().filter(is_socket).count(),
        })
    }

    fn exceeds(&self, other: &Held) -> bool {
        self.threads > other.threads || self.files > other.files || self.sockets > other.sockets
    }

    fn print(&self, when: &str) -> Result<()> {
        let Held {
            threads,
            files,
            sockets,
        } = self;
        let rss = status_field("VmRSS:")?;
        println!("when={when} threads={threads} files={files} sockets={sockets} resident_kb={rss}");
        Ok(())
    }
}

fn status_field(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("no {name}"))?.parse()?)
}

/// Every other start sends a Message; the others close while the connection is still being made.
fn starts(device: &Device<'_>, count: usize) -> Result<()> {
    let mut first = None;
    for number in 0..count {
        let client = device.builder().start()?;
        if number % 2 == 0 {
            let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
            sender.send_message(number.to_string())?;
        }
        client.close();
        if first.is_none() {
            let held = Held::now()?;
            held.print("first")?;
            first = Some(held);
        }
    }
    let first = first.ok_or("no start at all")?;
    // A name lookup cannot be interrupted: one that was under way may still have to end.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Held::now()?.exceeds(&first) && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Held::now()?.print("last")
}

/// What the threads of the process cost so far.
struct Cost {
    threads: Vec<String>,
    switches: u64,
    cpu: Duration,
}

impl Cost {
    /// Of all threads but the one that asks.
    fn now() -> Result<Cost> {
        let own = fs::read_link("/proc/thread-self")?;
        let mut cost = Cost {
            threads: Vec::new(),
            switches: 0,
            cpu: Duration::ZERO,
        };
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            if task.file_name() == own.file_name() {
                continue;
            }
            cost.threads
                .push(read(&task, "comm")?.trim_end().to_owned());
            for line in read(&task, "status")?.lines() {
                if let Some((name, count)) = line.split_once(':')
                    && name.ends_with("ctxt_switches")
                {
                    cost.switches += count.trim().parse::<u64>()?;
                }
            }
            let schedule = read(&task, "schedstat")?;
            let nanoseconds = schedule.split(' ').next().unwrap_or_default();
            cost.cpu += Duration::from_nanos(nanoseconds.parse()?);
        }
        cost.threads.sort();
        Ok(cost)
    }
}

fn read(task: &Path, name: &str) -> Result<String> {
    Ok(fs::read_to_string(task.join(name))?)
}

/// What the start has cost, when it is over: the thread for HTTP ends by itself, and no thread has run
/// for a second.
fn settled() -> Result<Cost> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut before = Cost::now()?;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_secs(1));
        let after = Cost::now()?;
        if after.threads.len() <= 2 && after.switches == before.switches {
            return Ok(after);
        }
        before = after;
    }
    Err("the device did not come to rest".into())
}

/// Connected, without callbacks, and with nothing to do.
fn idle(device: &Device<'_>, length: Duration) -> Result<()> {
    let client = device.builder().start()?;
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    sender.send_message("connected")?;
    client.get_desired_properties()?;
    let before = settled()?;
    std::thread::sleep(length);
    let after = Cost::now()?;
    println!(
        "threads={} switches={} cpu_us={} switches_before={} cpu_us_before={} connected={} resident_kb={}",
        after.threads.join(","),
        after.switches - before.switches,
        (after.cpu - before.cpu).as_micros(),
        before.switches,
        before.cpu.as_micros(),
        client.status().is_connected,
        status_field("VmRSS:")?,
    );
    client.close();
    Ok(())
}
