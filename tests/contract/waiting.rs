//! Waiting is exact and prompt.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error};
use spotflow_emulator::AckMode;

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

const SHORT: Duration = Duration::from_millis(50);
/// What ends at once may take so long on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A registered device on a Platform that is not reachable any more.
fn offline() -> (Stage, DeviceClient) {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    (stage, client)
}

/// A call that waits.
type Wait<'a> = dyn Fn() -> Result<(), Error> + Sync + 'a;

#[test]
fn a_wait_is_for_what_was_enqueued_before_it_only() {
    let stage = Stage::new();
    // Slower than the other thread stores: a wait for everything would never end.
    stage
        .platform
        .acknowledge(AckMode::After(Duration::from_millis(200)));
    let client = stage.start();
    let sender = sender(&client);
    sender.enqueue_messages(["1", "2", "3"]).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                sender.enqueue_message("later").unwrap();
            }
        });
        let result = client.wait_enqueued_messages_sent_timeout(PATIENCE);
        let pending = client.pending_messages_count();
        stop.store(true, Ordering::Relaxed);
        result.unwrap();
        assert!(pending > 0, "the other thread's are still pending");
        producer.join().unwrap();
    });
    assert!(
        stage
            .received()
            .starts_with(&["1".into(), "2".into(), "3".into()])
    );
}

#[test]
fn with_nothing_pending_it_returns_at_once() {
    let (_stage, client) = offline();
    let begun = Instant::now();
    client.wait_enqueued_messages_sent().unwrap();
    client
        .wait_enqueued_messages_sent_timeout(Duration::ZERO)
        .unwrap();
    assert!(begun.elapsed() < AT_ONCE);
}

#[test]
fn a_time_limit_ends_the_wait_and_the_messages_stay() {
    let (stage, client) = offline();
    let sender = sender(&client);
    sender.enqueue_message("1").unwrap();
    for limit in [Duration::ZERO, SHORT] {
        let result = client.wait_enqueued_messages_sent_timeout(limit);
        assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
    }
    let begun = Instant::now();
    let result = sender.send_message_timeout("2", SHORT);
    assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
    assert!((SHORT..AT_ONCE).contains(&begun.elapsed()));
    assert_eq!(client.pending_messages_count(), 2);
    stage.platform.accept_connections(true).unwrap();
    client
        .wait_enqueued_messages_sent_timeout(Duration::MAX)
        .unwrap();
    assert_eq!(stage.received(), ["1", "2"]);
}

#[test]
fn an_interruption_ends_every_wait_and_the_client_goes_on() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    stage.platform.withhold_twin_answers(true);
    let interrupted = Arc::new(AtomicBool::new(false));
    let check = Arc::clone(&interrupted);
    let client = stage
        .device()
        .cloud_messages(true)
        .interrupt_check(move || check.load(Ordering::Relaxed))
        .start()
        .unwrap();
    let sender = sender(&client);
    sender.enqueue_message("1").unwrap();
    let waits: [(&str, &Wait<'_>); 4] = [
        ("wait", &|| client.wait_enqueued_messages_sent()),
        ("send", &|| sender.send_message("2")),
        ("properties", &|| client.get_desired_properties().map(drop)),
        ("cloud", &|| {
            client.receive_cloud_message(PATIENCE).map(drop)
        }),
    ];
    thread::scope(|scope| {
        let waiting: Vec<_> = waits
            .iter()
            .map(|(name, wait)| (name, scope.spawn(wait)))
            .collect();
        eventually("both are stored", || client.pending_messages_count() == 2);
        assert!(waiting.iter().all(|(_, thread)| !thread.is_finished()));
        interrupted.store(true, Ordering::Relaxed);
        for (name, thread) in waiting {
            let result = thread.join().unwrap();
            assert!(
                matches!(result, Err(Error::Interrupted)),
                "{name}: {result:?}"
            );
        }
    });
    interrupted.store(false, Ordering::Relaxed);
    sender.enqueue_message("3").unwrap();
    stage.platform.acknowledge(AckMode::Immediately);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(stage.received(), ["1", "2", "3"]);
}

#[test]
fn a_close_wakes_all_who_wait() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    stage.platform.withhold_twin_answers(true);
    let client = stage.device().cloud_messages(true).start().unwrap();
    let sender = sender(&client);
    sender.enqueue_message("1").unwrap();
    let waits: [(&str, &Wait<'_>); 5] = [
        ("wait", &|| client.wait_enqueued_messages_sent()),
        ("limited wait", &|| {
            client.wait_enqueued_messages_sent_timeout(PATIENCE)
        }),
        ("send", &|| sender.send_message("2")),
        ("properties", &|| client.get_desired_properties().map(drop)),
        ("cloud", &|| {
            client.receive_cloud_message(PATIENCE).map(drop)
        }),
    ];
    thread::scope(|scope| {
        let waiting: Vec<_> = waits
            .iter()
            .map(|(name, wait)| (name, scope.spawn(wait)))
            .collect();
        eventually("both are stored", || client.pending_messages_count() == 2);
        let begun = Instant::now();
        client.close();
        for (name, thread) in waiting {
            let result = thread.join().unwrap();
            assert!(matches!(result, Err(Error::Closed)), "{name}: {result:?}");
        }
        assert!(begun.elapsed() < PATIENCE);
    });
    stage.platform.acknowledge(AckMode::Immediately);
    let client = stage.start();
    client.wait_enqueued_messages_sent().unwrap();
    let texts: Vec<_> = stage
        .platform
        .distinct_messages()
        .iter()
        .map(|m| m.text())
        .collect();
    assert_eq!(texts, ["1", "2"], "what was stored stays stored");
}

#[test]
fn a_send_waits_for_its_own_message_and_all_before() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.device().in_flight_window(2).start().unwrap();
    let sender = sender(&client);
    sender.enqueue_message("before").unwrap();
    thread::scope(|scope| {
        let send = scope.spawn(|| sender.send_message("own"));
        let messages = stage.platform.wait_for_messages(2, PATIENCE).unwrap();
        sender.enqueue_message("behind").unwrap();
        let acknowledge = |index: usize| {
            let packet_id = messages[index].packet_id.and_then(NonZeroU16::new).unwrap();
            stage
                .platform
                .acknowledge_packet(DEVICE, packet_id)
                .unwrap();
        };
        acknowledge(1);
        eventually("its own is recorded", || {
            client.pending_messages_count() == 2
        });
        assert!(!send.is_finished(), "the one before is not acknowledged");
        acknowledge(0);
        send.join().unwrap().unwrap();
        assert_eq!(client.pending_messages_count(), 1, "not for the one behind");
    });
}

#[test]
fn many_threads_send_and_each_returns_when_its_own_is_there() {
    let stage = Stage::new();
    let client = stage.device().in_flight_window(8).start().unwrap();
    let sender = sender(&client);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (sender, platform) = (sender.clone(), &stage.platform);
            scope.spawn(move || {
                for round in 0..10 {
                    let text = format!("{thread} {round}");
                    sender.send_message(text.as_str()).unwrap();
                    assert!(
                        platform
                            .messages()
                            .iter()
                            .any(|message| message.text() == text)
                    );
                }
            });
        }
    });
    assert_eq!(client.pending_messages_count(), 0);
    assert_eq!(stage.received().len(), 80);
}

#[test]
fn many_threads_wait_at_once() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("one").unwrap();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| client.wait_enqueued_messages_sent()))
            .collect();
        stage.platform.wait_for_messages(1, PATIENCE).unwrap();
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        stage.platform.acknowledge(AckMode::Immediately);
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
}

#[test]
fn callbacks_may_send_and_wait() {
    let stage = Stage::new();
    let client = Arc::new(OnceLock::<DeviceClient>::new());
    let answers = Seen::new();
    let (of_callback, answer) = (Arc::clone(&client), Arc::clone(&answers));
    let started = stage
        .device()
        .on_desired_properties(move |properties| {
            // The first call may come before the test has its client.
            let client = of_callback.wait();
            let version = properties.version();
            let sent = sender(client).send_message(format!("version {version}"));
            let waited = sent.and_then(|()| client.wait_enqueued_messages_sent());
            answer.push((version, waited));
        })
        .start()
        .unwrap();
    let client = client.get_or_init(|| started);
    let version = stage
        .platform
        .set_desired(DEVICE, &serde_json::json!({"a": 1}))
        .unwrap();
    let (_, result) = answers.wait(|(answered, _)| *answered == version);
    result.unwrap();
    assert!(stage.received().contains(&format!("version {version}")));
    client.close();
}
