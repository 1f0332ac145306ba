//! The whole client against the embedded Platform, on clocks that are wrong, jump, or stood still: see
//! also `tests/system/tests/system/clocks.rs`, where a device runs as a process of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spotflow_emulator::{Builder, PacketKind, PacketSeen, Platform, Route};

use crate::clock::ShiftedClock;
use crate::error::Chain;
use crate::{Compression, DeviceClient, DeviceClientBuilder, Error, SenderOptions, StreamSender};

const PATIENCE: Duration = Duration::from_secs(30);
const DEVICE: &str = "test-device";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEARS_50: Duration = Duration::from_secs(50 * 365 * 86_400);
/// An hour after 1970 began: where a machine without a real-time clock wakes up.
const BOOT_MS: i64 = 3_600_000;

/// A device, its clock, and its Platform, whose clock is right.
struct Stage {
    platform: Platform,
    directory: tempfile::TempDir,
    clock: Arc<ShiftedClock>,
}

impl Stage {
    fn new(builder: Builder) -> Stage {
        Stage {
            platform: builder.start().unwrap(),
            directory: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
        }
    }

    fn start(&self) -> DeviceClient {
        self.start_with(|builder| builder)
    }

    fn start_with(
        &self,
        options: impl FnOnce(DeviceClientBuilder) -> DeviceClientBuilder,
    ) -> DeviceClient {
        let database = self.directory.path().join("device.db");
        let mut builder = DeviceClient::builder(self.platform.provisioning_token(), database)
            .instance(self.platform.instance())
            .ca_file(self.platform.ca_file())
            .device_id(DEVICE)
            .on_provisioning(|_| {});
        builder = options(builder);
        builder.options.clock = Arc::clone(&self.clock) as Arc<_>;
        builder.start().unwrap()
    }

    /// The device is approved and has sent a Message, with a clock that is right, and is switched off.
    fn approve(&self) {
        let client = self.start();
        sender(&client).send_message("approved").unwrap();
        client.close();
    }

    /// The machine is suspended, and wakes up: its boot-time clock's timer fires.
    fn suspend(&self, client: &DeviceClient, time: Duration) {
        self.clock.sleep(time);
        client.core().mailbox.wake();
    }

    fn received(&self) -> Vec<String> {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let messages = self.platform.messages();
        messages.iter().map(|it| text(&it.payload)).collect()
    }

    fn connects(&self) {
        self.platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .unwrap();
    }

    fn asks(&self, route: Route, count: usize) {
        self.platform
            .wait_for_request(route, count, PATIENCE)
            .unwrap();
    }

    fn count(&self, route: Route) -> usize {
        self.platform.http_request_count(route)
    }
}

fn sender(client: &DeviceClient) -> StreamSender {
    client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .unwrap()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn says(client: &DeviceClient, text: &str) -> bool {
    let error = client.status().last_error;
    error.is_some_and(|error| {
        matches!(error, Error::Tls { .. }) && Chain(&error).to_string().contains(text)
    })
}

#[test]
fn a_device_that_boots_in_1970_says_why_it_is_offline_and_connects_when_the_clock_is_set() {
    let stage = Stage::new(Platform::builder());
    stage.approve();
    stage.clock.set_wall(BOOT_MS);
    let began = Instant::now();
    let client = stage.start();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "the start waits for no clock"
    );
    eventually("it says that the clock may be behind", || {
        says(&client, "is this machine's clock behind?")
    });
    sender(&client).enqueue_message("from 1970").unwrap();
    let status = client.status();
    assert!(!status.is_connected);
    assert!(status.oldest_pending_age.unwrap() < HOUR);

    stage.clock.set_wall_offset(0);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["approved", "from 1970"]);
    assert_eq!(stage.platform.operations().len(), 1, "no further approval");
}

#[test]
fn a_clock_that_is_set_in_the_middle_of_a_run_makes_no_message_older_than_it_is() {
    let stage = Stage::new(Platform::builder());
    stage.approve();
    stage.clock.set_wall(BOOT_MS);
    let client = stage.start();
    let lasting = |time_to_live| {
        let options = SenderOptions::new().time_to_live(time_to_live);
        client.create_stream_sender_with(None, "test", options)
    };
    let sender = lasting(HOUR).unwrap();
    sender.enqueue_message("two hours old").unwrap();
    stage.suspend(&client, 2 * HOUR);
    sender.enqueue_message("just stored").unwrap();
    stage.clock.set_wall_offset(0);
    lasting(DAY).unwrap().send_message("behind").unwrap();
    assert_eq!(stage.received()[1..], ["just stored", "behind"]);
}

#[test]
fn a_clock_that_is_set_while_many_are_prepared_makes_none_of_them_older_than_it_is() {
    let stage = Stage::new(Platform::builder());
    stage.approve();
    stage.clock.set_wall(BOOT_MS);
    let client = stage.start();
    stage.suspend(&client, 2 * HOUR);
    let options = SenderOptions::new().time_to_live(HOUR);
    let lasting = client.create_stream_sender_with(None, None, options);
    let prepared = ["first", "second"].into_iter().inspect(|text| {
        if *text == "second" {
            stage.clock.set_wall_offset(0);
        }
    });
    lasting.unwrap().enqueue_messages(prepared).unwrap();
    sender(&client).send_message("behind").unwrap();
    assert_eq!(stage.received()[1..], ["first", "second", "behind"]);
}

#[test]
fn a_method_may_take_longer_than_a_hub_may_owe_an_answer() {
    let stage = Stage::new(Platform::builder());
    let (running, runs) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = crate::sync::Mutex::new(released);
    let client = stage.start_with(|builder| {
        builder.on_method("slow", move |_| {
            running.send(())?;
            released.lock().recv_timeout(PATIENCE)?;
            Ok(crate::MethodResponse::ok("done"))
        })
    });
    stage.connects();
    sender(&client).send_message("before").unwrap();
    eventually("the device can be called", || {
        let filters = stage.platform.subscriptions(DEVICE);
        filters.iter().any(|filter| filter.contains("methods"))
    });
    let call = stage.platform.begin_method(DEVICE, "slow", "", PATIENCE);
    let call = call.unwrap();
    runs.recv_timeout(PATIENCE).unwrap();
    stage.suspend(&client, Duration::from_secs(90));
    release.send(()).unwrap();
    let answer = stage.platform.wait_for_method(call, PATIENCE).unwrap();
    assert_eq!(
        (answer.status, answer.payload.as_slice()),
        (200, &b"\"done\""[..])
    );
    assert_eq!(client.status().reconnects, 0);
}

#[test]
fn an_attempt_against_a_wrong_clock_backs_off_as_any_other() {
    let stage = Stage::new(Platform::builder());
    stage.approve();
    stage.clock.set_wall(BOOT_MS);
    let client = stage.start();
    // Each failure is newer than the last: one that came at every turn of a loop would never be old.
    eventually("there is a pause between two attempts", || {
        let status = client.status();
        status
            .last_error_age
            .is_some_and(|age| age > Duration::from_secs(1))
    });
    assert_eq!(stage.count(Route::Register), 1, "no request gets through");
}

#[test]
fn a_clock_beyond_every_certificate_is_said_to_be_ahead_and_heals_as_well() {
    let stage = Stage::new(Platform::builder());
    stage.approve();
    // The emulator's certificate is valid until 4096.
    stage
        .clock
        .set_wall_offset(43 * YEARS_50.as_millis() as i64);
    let client = stage.start();
    eventually("it says that the clock may be ahead", || {
        says(&client, "clock is ahead")
    });
    stage.clock.set_wall_offset(0);
    sender(&client).send_message("healed").unwrap();
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_stored_token_that_only_seems_expired_is_used_and_needs_no_approval() {
    let lifetime = Some(2 * DAY);
    let stage = Stage::new(Platform::builder().registration_token_lifetime(lifetime));
    stage.approve();
    stage.clock.set_wall_offset(YEARS_50.as_millis() as i64);
    let client = stage.start();
    sender(&client).send_message("from 2076").unwrap();
    let status = client.status();
    assert!(
        status.connection_age < HOUR && status.last_error.is_none(),
        "{status:?}"
    );
    assert_eq!(stage.platform.operations().len(), 1);
    assert_eq!(stage.count(Route::Register), 2, "once a start");
    assert_eq!(stage.count(Route::Refresh), 0, "not early");
}

#[test]
fn a_wall_clock_that_jumps_about_changes_nothing() {
    const MESSAGES: usize = 300;
    let stage = Stage::new(Platform::builder());
    let client = stage.start();
    stage.connects();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let hour_ms = HOUR.as_millis() as i64;
            let offsets = [hour_ms, -hour_ms, 0, YEARS_50.as_millis() as i64, hour_ms];
            for offset_ms in offsets.into_iter().cycle() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                stage.clock.set_wall_offset(offset_ms);
                thread::park_timeout(Duration::from_millis(3));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let status = client.status();
                let ages = [Some(status.connection_age), status.oldest_pending_age];
                let sane = |age: &Duration| *age < HOUR / 2;
                if !ages.iter().flatten().all(sane) {
                    over.store(true, Ordering::SeqCst);
                    panic!("{status:?}");
                }
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        let sender = sender(&client);
        for number in 0..MESSAGES {
            sender.enqueue_message(number.to_string()).unwrap();
        }
        let sent = client.wait_enqueued_messages_sent_timeout(PATIENCE);
        over.store(true, Ordering::SeqCst);
        sent.unwrap();
    });
    let expected: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(stage.received(), expected);
    assert_eq!(stage.platform.connection_count(), 1);
    assert_eq!(stage.count(Route::Register), 1);
    assert_eq!(stage.count(Route::Refresh), 0);
    assert!(client.status().last_error.is_none());
}

#[test]
fn after_a_day_of_suspension_the_dead_connection_is_left_at_once_and_the_credentials_renewed() {
    let token_lifetime = Some(36 * HOUR);
    let builder = Platform::builder().registration_token_lifetime(token_lifetime);
    let stage = Stage::new(builder);
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    stage.connects();
    // Its packets go nowhere, as behind a router that has forgotten the connection. The password has
    // expired meanwhile.
    stage.platform.go_silent(true);
    let connections = stage.platform.connection_count();
    stage.suspend(&client, DAY);
    let began = Instant::now();
    eventually("the connection is given up", || {
        !client.status().is_connected
    });
    // Less than the 60 s for which an answer to a ping is waited for.
    assert!(began.elapsed() < Duration::from_secs(20));
    stage.platform.go_silent(false);
    sender(&client).enqueue_message("after").unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["before", "after"]);
    assert!(stage.platform.connection_count() > connections);
    // Both were due half a day ago.
    stage.asks(Route::Register, 2);
    stage.asks(Route::Refresh, 1);
    assert_eq!(stage.platform.operations().len(), 1);
    let status = client.status();
    assert!(status.connection_age < HOUR, "{status:?}");
}

#[test]
fn a_password_that_expired_during_the_suspension_is_replaced() {
    let stage = Stage::new(Platform::builder());
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    stage.platform.expire_sas(DEVICE).unwrap();
    stage.suspend(&client, DAY);
    sender(&client).enqueue_message("after").unwrap();
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    assert_eq!(stage.received(), ["before", "after"]);
    let registrations = stage.count(Route::Register);
    assert!(
        (2..=4).contains(&registrations),
        "{registrations} registrations"
    );
    assert_eq!(stage.platform.operations().len(), 1);
}

#[test]
fn a_short_suspension_keeps_the_connection() {
    let stage = Stage::new(Platform::builder());
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    // The hub owes nothing any more: a twin is read last.
    client.get_desired_properties().unwrap();
    // Longer than a ping is due, shorter than the hub waits for one.
    stage.suspend(&client, Duration::from_secs(150));
    // Awake: what the link did before it looked at the clock counts as done before the suspension.
    let pinged = |packets: &[PacketSeen]| packets.iter().any(|it| it.kind == PacketKind::PingReq);
    let awake = stage.platform.wait_for_packets(DEVICE, pinged, PATIENCE);
    awake.unwrap();
    sender(&client).send_message("after").unwrap();
    let error = client.status().last_error;
    assert_eq!(stage.platform.connection_count(), 1, "{error:?}");
}

#[test]
fn renewals_follow_elapsed_time_whatever_the_clock_on_the_wall_says() {
    let stage = Stage::new(Platform::builder().sas_lifetime(DAY));
    let client = stage.start();
    stage.connects();
    // Back on the wall by ten years, and 13 hours forward in truth.
    stage
        .clock
        .set_wall_offset(-(YEARS_50.as_millis() as i64) / 5);
    stage.suspend(&client, 11 * HOUR);
    sender(&client).send_message("not yet").unwrap();
    assert_eq!(
        stage.count(Route::Register),
        1,
        "half of the day is not over"
    );
    stage.suspend(&client, 2 * HOUR);
    stage.asks(Route::Register, 2);
}

#[test]
fn what_the_platform_refuses_for_good_is_asked_again_within_an_hour_without_a_restart() {
    let stage = Stage::new(Platform::builder());
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    // Both tokens are refused, in the Platform's own form.
    for route in [Route::Register, Route::Init] {
        stage.platform.http_status(route, 401, None, u64::MAX);
    }
    stage.platform.expire_sas(DEVICE).unwrap();
    eventually("it is told", || {
        matches!(
            client.status().last_error,
            Some(Error::InvalidToken {
                token: "Provisioning Token"
            })
        )
    });
    sender(&client).enqueue_message("kept").unwrap();
    let refusals = || {
        let requests = stage.platform.http_requests().into_iter();
        requests
            .filter(|it| it.route == Route::Init && it.status == Some(401))
            .count()
    };
    let before = refusals();
    stage.suspend(&client, HOUR + HOUR / 60);
    eventually("it asks again", || refusals() > before);
    stage.platform.clear_http_faults();
    // The hour may begin only now: the last refusal is still on its way.
    let came_back = (0..10).any(|_| {
        stage.suspend(&client, HOUR + HOUR / 60);
        let limit = Duration::from_secs(3);
        client.wait_enqueued_messages_sent_timeout(limit).is_ok()
    });
    assert!(came_back);
    assert_eq!(stage.received(), ["before", "kept"]);
    assert_eq!(stage.platform.operations().len(), 1, "no further approval");
}
