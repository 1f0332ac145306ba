//! However much is queued, memory stays within 4 MB of that of an idle device.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use spotflow_emulator::Platform;

use crate::{Device, number};

const PATIENCE: Duration = Duration::from_secs(300);
const MARGIN_KB: u64 = 4 << 10;

/// A device with a database, whose hub comes and goes; memory is held against what it was when idle.
struct Backlog {
    platform: Platform,
    directory: Arc<tempfile::TempDir>,
    message_bytes: usize,
    idle_kb: u64,
}

impl Backlog {
    /// Queues the Messages offline, in a device that was connected and idle before.
    fn queue(count: usize, message_bytes: usize) -> Backlog {
        let platform = Platform::builder().own_hub_port(true).start().unwrap();
        platform.record_payloads(false);
        let mut backlog = Backlog {
            platform,
            directory: Arc::new(tempfile::tempdir().unwrap()),
            message_bytes,
            idle_kb: 0,
        };
        let mut device = backlog.start(1);
        device.order("queue 1 10");
        device.order("wait");
        backlog.platform.clear_messages();
        backlog.idle_kb = number(&device.order("measure"), "resident_kb");
        backlog
            .platform
            .accept_hub_connections(false)
            .expect("the door closes");
        backlog.platform.close_connections();
        device.order(&format!("queue {count} {message_bytes}"));
        let queued = device.order("measure");
        backlog.check("queued", 1, &queued);
        assert_eq!(number(&queued, "pending"), count as u64);
        device.end();
        backlog
    }

    fn start(&self, window: usize) -> Device {
        let directory = Arc::clone(&self.directory);
        let mut device = Device::start_on(directory, &self.platform, "memory", window);
        device.line();
        device
    }

    /// Starts the device on its backlog, and drains it until the Platform has so many.
    fn drain_until(&self, received: usize, window: usize) {
        self.platform.accept_hub_connections(false).unwrap();
        let mut device = self.start(window);
        self.check("opened", window, &device.order("measure"));
        self.platform.accept_hub_connections(true).unwrap();
        // One was sent before the backlog.
        let with_first = received as u64 + 1;
        self.platform
            .wait_for_received(with_first, PATIENCE)
            .expect("the backlog drains");
        self.check("drained", window, &device.order("measure"));
        device.end();
    }

    fn check(&self, when: &str, window: usize, measured: &HashMap<String, String>) {
        let places_kb = match self.message_bytes {
            0..10_000 => 0,
            bytes => window as u64 * bytes as u64 / 1024,
        };
        for name in ["peak_kb", "resident_kb"] {
            let kb = number(measured, name);
            println!(
                "{when}: {name} {kb}, idle {}, window {window}",
                self.idle_kb
            );
            assert!(
                kb <= self.idle_kb + MARGIN_KB + places_kb,
                "{when}: {name} is {kb}, idle was {}",
                self.idle_kb
            );
        }
    }

    /// All Messages arrived, in order; a repeat directly follows its original, by what closing and
    /// starting with another window allows.
    fn check_received(&self, count: usize) {
        let messages = self.platform.messages();
        let mut next = 0;
        for message in messages {
            let number: usize = message.message_id.as_deref().unwrap().parse().unwrap();
            assert!(number <= next, "{number} came before {next}");
            next = next.max(number + 1);
        }
        assert_eq!(next, count, "none lost");
    }
}

#[test]
fn with_100_000_messages_queued_memory_stays_within_4_mb_of_idle() {
    let backlog = Backlog::queue(100_000, 200);
    backlog.drain_until(20_000, 1);
    backlog.drain_until(100_000, 16);
    backlog.check_received(100_000);
}

#[test]
fn with_2_000_messages_of_200_kb_queued_memory_stays_within_4_mb_of_idle_and_the_window() {
    let backlog = Backlog::queue(2000, 200_000);
    backlog.drain_until(1000, 1);
    backlog.drain_until(2000, 16);
    backlog.check_received(2000);
}
