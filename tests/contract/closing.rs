//! A client ends cleanly: with a goodbye, without leftovers, within its limits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use spotflow_device::{DeviceClient, Error, StreamSender};
use spotflow_emulator::{AckMode, Approval, PacketKind, Platform, Route};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, in_a_process_of_its_own, sender};

/// The documented limit, and what a busy machine adds.
const CLOSE_LIMIT: Duration = Duration::from_secs(5 + 5);
/// What needs no limit to run out.
const PROMPT: Duration = Duration::from_secs(4);

fn said_goodbye(platform: &Platform) -> bool {
    let packets = platform.packets(DEVICE);
    packets
        .iter()
        .any(|packet| packet.kind == PacketKind::Disconnect)
}

fn wait_goodbye(platform: &Platform) {
    let disconnected = platform.wait_for_packets(
        DEVICE,
        |packets| {
            packets
                .iter()
                .any(|packet| packet.kind == PacketKind::Disconnect)
        },
        PATIENCE,
    );
    disconnected.expect("a DISCONNECT");
    platform
        .wait_for_connected(DEVICE, false, PATIENCE)
        .unwrap();
}

/// The time that a close takes.
fn close(client: &DeviceClient) -> Duration {
    let begun = Instant::now();
    client.close();
    begun.elapsed()
}

/// The library's threads in this process.
#[cfg(target_os = "linux")]
fn own_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        // A thread may end between being listed and being asked.
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("spotflow-") && !name.starts_with("spotflow-emu"))
        .collect()
}

fn assert_closed(client: &DeviceClient, sender: &StreamSender) {
    let results: [(&str, Result<(), Error>); 9] = [
        ("enqueue", sender.enqueue_message("x")),
        ("enqueue many", sender.enqueue_messages(["x"])),
        ("send", sender.send_message("x")),
        ("limited send", sender.send_message_timeout("x", PATIENCE)),
        ("batch", sender.enqueue_batch_completion("b")),
        ("message", sender.enqueue_message_completion("b", "m")),
        ("properties", client.get_desired_properties().map(drop)),
        (
            "report",
            client.update_reported_properties(&json!({"a": 1})),
        ),
        ("cloud", client.receive_cloud_message(PATIENCE).map(drop)),
    ];
    for (name, result) in results {
        assert!(matches!(result, Err(Error::Closed)), "{name}: {result:?}");
    }
}

#[test]
fn a_close_says_goodbye_to_the_hub() {
    let stage = Stage::new();
    let client = stage.start();
    eventually("it is connected", || client.status().is_connected);
    assert!(close(&client) < PROMPT);
    wait_goodbye(&stage.platform);
}

#[test]
fn the_last_handle_closes_a_client_and_a_sender_is_one() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let other_client = client.clone();
    drop(client);
    sender.send_message("1").unwrap();
    drop(other_client);
    let other_sender = sender.clone();
    drop(sender);
    other_sender.send_message("2").unwrap();
    assert!(!said_goodbye(&stage.platform));
    drop(other_sender);
    wait_goodbye(&stage.platform);
    stage.start();
}

#[test]
fn everything_after_a_close_says_so() {
    let stage = Stage::new();
    let client = stage.device().cloud_messages(true).start().unwrap();
    let sender = sender(&client);
    stage.cut_off();
    sender.enqueue_message("pending").unwrap();
    client.close();
    assert_closed(&client, &sender);
    let result = client.wait_enqueued_messages_sent();
    assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    assert_eq!(client.pending_messages_count(), 1);
    assert!(!client.status().is_connected);
    assert_eq!(client.device_id(), DEVICE);
    client.close();
}

#[test]
fn the_file_is_free_at_once_and_holds_what_was_stored() {
    let stage = Stage::new();
    for round in 0..5 {
        let client = stage.start();
        assert_eq!(client.pending_messages_count(), 0);
        sender(&client).send_message(format!("{round}")).unwrap();
        client.close();
        drop(stage.start());
    }
    assert_eq!(stage.received(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_message_in_flight_has_a_chance_to_be_acknowledged() {
    let stage = Stage::new();
    stage
        .platform
        .acknowledge(AckMode::After(Duration::from_millis(300)));
    let client = stage.start();
    sender(&client).enqueue_message("once").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    client.close();
    let client = stage.start();
    assert_eq!(client.pending_messages_count(), 0);
    client.close();
    assert_eq!(stage.received(), ["once"]);
}

#[test]
fn a_close_does_not_wait_long_for_an_acknowledgement() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = stage.start();
    sender(&client).enqueue_message("kept").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    assert!(close(&client) < PROMPT);
    wait_goodbye(&stage.platform);
    let client = stage.start();
    assert_eq!(client.pending_messages_count(), 1);
}

#[test]
fn a_close_does_not_wait_for_a_silent_hub() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("1").unwrap();
    stage.platform.go_silent(true);
    sender.enqueue_message("2").unwrap();
    assert!(close(&client) < PROMPT);
}

#[test]
fn a_close_offline_is_prompt() {
    let stage = Stage::new();
    stage.start().close();
    stage.platform.accept_connections(false).unwrap();
    let client = stage.start();
    sender(&client).enqueue_message("kept").unwrap();
    assert!(close(&client) < PROMPT);
}

#[test]
fn a_close_does_not_wait_for_http_calls() {
    thread::scope(|scope| {
        for route in [Route::FileUpload, Route::BlobPut, Route::Register] {
            scope.spawn(move || {
                let stage = Stage::new();
                let client = stage.start();
                let asked = stage.platform.http_request_count(route);
                stage.platform.http_hang(route, true);
                if route == Route::Register {
                    stage.platform.expire_sas(DEVICE).unwrap();
                }
                sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
                stage
                    .platform
                    .wait_for_request(route, asked + 1, PATIENCE)
                    .unwrap();
                let took = close(&client);
                assert!(took < PROMPT, "{route:?}: {took:?}");
            });
        }
    });
}

#[test]
fn a_start_that_is_interrupted_leaves_nothing_behind() {
    let stage = Stage::with(Platform::builder().approval(Approval::Manual));
    let shown = Arc::new(AtomicBool::new(false));
    let (display, check) = (Arc::clone(&shown), Arc::clone(&shown));
    let result = stage
        .device()
        .on_provisioning(move |_| display.store(true, Ordering::Relaxed))
        .interrupt_check(move || check.load(Ordering::Relaxed))
        .start();
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    // Had it left its lock, the next start would fail.
    let operations = Seen::new();
    let of_display = Arc::clone(&operations);
    thread::scope(|scope| {
        let builder = stage.device().on_provisioning(move |operation| {
            of_display.push(operation.id.clone());
        });
        let start = scope.spawn(move || builder.start());
        let id = operations.wait(|_| true);
        stage.platform.approve(&id, None).unwrap();
        start.join().unwrap().unwrap();
    });
}

#[test]
fn a_callback_may_close_its_client() {
    let stage = Stage::new();
    let client = Arc::new(OnceLock::<DeviceClient>::new());
    let of_callback = Arc::clone(&client);
    let closed = Seen::new();
    let tell = Arc::clone(&closed);
    let started = stage
        .device()
        .on_desired_properties(move |_| {
            let took = close(of_callback.wait());
            tell.push(took);
        })
        .start()
        .unwrap();
    let client = client.get_or_init(|| started);
    let took = closed.wait(|_| true);
    assert!(took < PROMPT, "{took:?}");
    assert_closed_eventually(client);
    wait_goodbye(&stage.platform);
    stage.start();
}

#[test]
fn a_callback_for_the_connection_may_close_its_client() {
    let stage = Stage::new();
    let client = Arc::new(OnceLock::<DeviceClient>::new());
    let of_callback = Arc::clone(&client);
    let closed = Seen::new();
    let tell = Arc::clone(&closed);
    let started = stage
        .device()
        .on_connection_change(move |_| tell.push(close(of_callback.wait())))
        .start()
        .unwrap();
    client.get_or_init(|| started);
    let took = closed.wait(|_| true);
    assert!(took < PROMPT, "{took:?}");
    stage.start();
}

fn assert_closed_eventually(client: &DeviceClient) {
    let sender = sender(client);
    eventually("it is closed", || {
        matches!(sender.enqueue_message("x"), Err(Error::Closed))
    });
}

#[test]
fn a_callback_that_does_not_return_is_left_behind() {
    let stage = Stage::new();
    let (enter, entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let client = stage
        .device()
        .on_desired_properties(move |_| {
            enter.send(()).unwrap();
            // Until the test drops the other end.
            released.recv().ok();
        })
        .start()
        .unwrap();
    entered.recv_timeout(PATIENCE).unwrap();
    let took = close(&client);
    assert!(took < CLOSE_LIMIT, "{took:?}");
    stage.start();
    drop(release);
}

#[test]
fn many_threads_close_at_once() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| while sender.enqueue_message("x").is_ok() {});
        }
        for _ in 0..4 {
            scope.spawn(|| client.close());
        }
    });
    stage.start();
}

#[cfg(target_os = "linux")]
#[test]
fn a_close_ends_every_thread() {
    in_a_process_of_its_own("closing::a_close_ends_every_thread", || {
        let stage = Stage::new();
        stage.platform.http_hang(Route::BlobPut, true);
        let client = stage
            .device()
            .on_desired_properties(|_| {})
            .start()
            .unwrap();
        sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
        stage
            .platform
            .wait_for_request(Route::BlobPut, 1, PATIENCE)
            .unwrap();
        for wanted in [
            "spotflow-link",
            "spotflow-store",
            "spotflow-upload",
            "spotflow-callba",
        ] {
            // A thread gives itself its name.
            eventually(wanted, || own_threads().iter().any(|name| name == wanted));
        }
        client.close();
        // One that was joined can still be listed for a moment.
        eventually("all have ended", || own_threads().is_empty());

        drop(stage.start());
        eventually("all have ended again", || own_threads().is_empty());

        // A start that fails ends its threads, too.
        let result = stage
            .device()
            .interrupt_check(|| true)
            .instance("localhost:1")
            .start();
        assert!(result.is_err());
        eventually("those of a failed start, too", || own_threads().is_empty());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn idle_and_connected_it_has_two_threads() {
    in_a_process_of_its_own("closing::idle_and_connected_it_has_two_threads", || {
        let stage = Stage::new();
        let client = stage.start();
        sender(&client).send_message("1").unwrap();
        eventually("the others have ended", || {
            own_threads() == ["spotflow-store", "spotflow-link"]
                || own_threads() == ["spotflow-link", "spotflow-store"]
        });
    });
}
