//! Sixteen threads and a callback share one client and one sender while the hub comes and goes.
//!
//! `SEED` repeats a run, as far as threads can be repeated; `LOAD_SECONDS` sets how long it takes (60
//! unless set).

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use parking_lot::Mutex;
use serde_json::json;
use spotflow_device::{Compression, DeviceClient, Error, StreamSender};

use crate::ledger::{Accepted, reconcile};
use crate::support::{DEVICE, Stage, sender};
use crate::watchdog::{Steps, Watchdog};
use crate::weather;

const THREADS: usize = 16;
/// Content that is uploaded: so many bytes, and one in so many single Messages.
const LARGE: usize = 260_000;
const LARGE_EVERY: u16 = 150;
/// No call takes as long: those that wait have limits of a fraction of a second.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// More than this is not left pending, so that the backlog drains at the end.
const PENDING_MAX: u64 = 1000;
/// What is then still pending drains in seconds; the longest back-off is a minute.
const DRAINED_WITHIN: Duration = Duration::from_secs(180);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What one thread does, and how many Messages it got accepted.
struct Worker {
    name: String,
    client: DeviceClient,
    sender: StreamSender,
    random: Rng,
    steps: Steps,
    accepted: u64,
}

impl Worker {
    fn texts(&self, count: u64) -> Vec<String> {
        (self.accepted..self.accepted + count)
            .map(|number| format!("{} {number}", self.name))
            .collect()
    }

    fn work_until(mut self, end: Instant) -> (String, u64) {
        while Instant::now() < end {
            self.step();
        }
        (self.name, self.accepted)
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0..8 => self.enqueue_one(),
            8..11 => self.enqueue_many(),
            11..13 => self.send(),
            13 => self.wait(),
            14 => self.look(),
            15 => self.report(),
            16 => {
                self.steps.enter("create_stream_sender");
                let compression = match self.random.bool() {
                    true => Compression::Fastest,
                    false => Compression::Uncompressed,
                };
                self.sender = self
                    .client
                    .create_stream_sender(None, None, compression)
                    .expect("a sender");
            }
            17 => {
                self.steps.enter("StreamSender::clone");
                self.sender = self.sender.clone();
            }
            18 => {
                self.steps.enter("get_desired_properties");
                self.client.get_desired_properties_if_newer(None);
                self.client.device_id();
            }
            _ => {
                self.steps.enter("set_aside_messages");
                let set_aside = self.client.set_aside_messages().expect("the list");
                assert!(set_aside.is_empty(), "{set_aside:?}");
            }
        }
        if self.client.pending_messages_count() > PENDING_MAX {
            self.wait();
        }
    }

    fn enqueue_one(&mut self) {
        self.steps.enter("enqueue_message");
        let [mut text] = self.texts(1).try_into().expect("one");
        if self.random.u16(0..LARGE_EVERY) == 0 {
            text = format!("{text}\n{}", "x".repeat(LARGE));
        }
        self.sender.enqueue_message(text).expect("it is accepted");
        self.accepted += 1;
    }

    fn enqueue_many(&mut self) {
        self.steps.enter("enqueue_messages");
        let count = self.random.u64(0..20);
        let texts = self.texts(count);
        self.sender.enqueue_messages(texts).expect("accepted");
        self.accepted += count;
    }

    fn limit(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(0..100))
    }

    fn send(&mut self) {
        self.steps.enter("send_message_timeout");
        let [text] = self.texts(1).try_into().expect("one");
        let limit = self.limit();
        match self.sender.send_message_timeout(text, limit) {
            Ok(()) | Err(Error::TimedOut) => self.accepted += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn wait(&mut self) {
        self.steps.enter("wait_enqueued_messages_sent_timeout");
        let limit = self.limit();
        match self.client.wait_enqueued_messages_sent_timeout(limit) {
            Ok(()) | Err(Error::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn look(&mut self) {
        self.steps.enter("status");
        let status = self.client.status();
        assert_eq!(status.set_aside_messages, 0, "{status:?}");
    }

    fn report(&mut self) {
        self.steps.enter("update_reported_properties");
        let properties = json!({ "thread": self.name, "number": self.accepted });
        self.client
            .update_reported_properties(&properties)
            .expect("it is stored");
        self.client.any_pending_reported_properties_updates();
    }
}

/// Waits until nothing is pending; the watchdog sees that the waiting itself goes on.
fn drain(client: &DeviceClient, steps: &Steps) {
    let deadline = Instant::now() + DRAINED_WITHIN;
    loop {
        steps.enter("drain");
        match client.wait_enqueued_messages_sent_timeout(Duration::from_secs(1)) {
            Ok(()) => return,
            Err(Error::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "stuck: {:?}", client.status());
    }
}

#[test]
fn sixteen_threads_lose_nothing_and_never_lock_up_while_the_hub_comes_and_goes() {
    let seed = from_environment("SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = from_environment("LOAD_SECONDS").unwrap_or(60);
    println!("SEED={seed} LOAD_SECONDS={seconds}");
    let mut random = Rng::with_seed(seed);
    let watchdog = Watchdog::that_aborts(STUCK_AFTER);
    let stage = Stage::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    let callback: Arc<OnceLock<Mutex<Worker>>> = Arc::default();
    let calls = Arc::clone(&callback);
    let client = stage
        .device()
        .on_desired_properties(move |_| {
            // It is called before the worker is there, too.
            let Some(mut worker) = calls.get().map(|worker| worker.lock()) else {
                return;
            };
            if Instant::now() < end {
                worker.step();
            }
            worker.steps.rest();
        })
        .start()
        .expect("the device starts");
    let shared = sender(&client);
    let mut worker = |name: String| Worker {
        steps: watchdog.worker(name.clone()),
        name,
        client: client.clone(),
        sender: shared.clone(),
        random: random.fork(),
        accepted: 0,
    };
    let workers: Vec<Worker> = (0..THREADS).map(|i| worker(format!("t{i}"))).collect();
    assert!(
        callback
            .set(Mutex::new(worker("callback".to_owned())))
            .is_ok()
    );
    let (weather, main) = (watchdog.worker("weather"), watchdog.worker("main"));
    let mut accepted: Accepted = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(move || worker.work_until(end)))
            .collect();
        weather::blow(&stage.platform, random.fork(), end, &weather);
        drop(weather);
        threads
            .into_iter()
            .map(|thread| {
                main.enter("joining");
                thread.join().expect("no thread panics")
            })
            .collect()
    });
    main.enter("the callback");
    let of_callback = {
        let worker = callback.get().expect("it was set").lock();
        accepted.insert(worker.name.clone(), worker.accepted);
        worker.accepted
    };
    main.enter("update_reported_properties");
    let last = json!({ "all": "done" });
    client.update_reported_properties(&last).expect("stored");
    drain(&client, &main);
    main.enter("wait_for_reported");
    stage
        .platform
        .wait_for_reported(DEVICE, |reported| *reported == last, STUCK_AFTER / 2)
        .expect("the last Reported Properties arrive");
    main.enter("close");
    client.close();
    let received = stage.received();
    let large = received.iter().filter(|text| text.len() > LARGE).count();
    let name = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let received: Vec<String> = received.into_iter().map(name).collect();
    let totals = reconcile(&accepted, &received).unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{} accepted, {} received ({large} uploaded), 0 lost, {} repeated; {} by the callback; {} connections",
        accepted.values().sum::<u64>(),
        totals.distinct,
        totals.repeated,
        of_callback,
        stage.platform.connection_count(),
    );
    assert!(large > 0, "no content was uploaded");
    assert!(of_callback > 0, "the callback has hardly run");
    assert!(
        stage.platform.connection_count() > 2,
        "the hub did not come and go"
    );
}
