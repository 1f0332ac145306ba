//! A Message that the hub closes the connection on does not stop the rest, and a connection that is
//! lost for other reasons sets nothing aside.
//!
//! The shortest keep-alive makes the trials short: see `src/link/suspects.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error, SetAsideMessage};
use spotflow_emulator::{CutPoint, Message, Platform};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

/// A trial takes ten to twenty seconds, one of two in a row about thirty.
const TRIAL: Duration = Duration::from_secs(120);

fn start(stage: &Stage, window: usize) -> DeviceClient {
    let device = stage.device().keep_alive(Duration::from_secs(5));
    device.in_flight_window(window).start().unwrap()
}

/// Closes the connection on these Messages; each time is seen.
fn refuse(
    platform: &Platform,
    refused: impl Fn(&Message) -> bool + Send + Sync + 'static,
) -> Arc<Seen<String>> {
    let times = Seen::new();
    let seen = Arc::clone(&times);
    platform.close_on_message(move |message| {
        let refuses = refused(message);
        if refuses {
            seen.push(message.text());
        }
        refuses
    });
    times
}

fn wait_until(times: &Seen<String>, enough: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + TRIAL;
    while !enough(&times.all()) {
        assert!(Instant::now() < deadline, "only {:?}", times.all());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn is_poison(message: &Message) -> bool {
    message.text().starts_with("poison")
}

/// The Messages that the Platform keeps.
fn kept(stage: &Stage) -> Vec<String> {
    let messages = stage.platform.distinct_messages();
    messages.iter().map(Message::text).collect()
}

/// Waits until everything is sent or set aside, and returns what is.
fn wait_set_aside(client: &DeviceClient) -> Vec<SetAsideMessage> {
    let waited = client.wait_enqueued_messages_sent_timeout(TRIAL);
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
    let set_aside = client.set_aside_messages().unwrap();
    let status = client.status();
    assert_eq!(status.pending_messages, 0);
    assert_eq!(status.set_aside_messages, set_aside.len() as u64);
    set_aside
}

fn a_refused_message_is_set_aside(window: usize) {
    let stage = Stage::new();
    let client = start(&stage, window);
    let sender = sender(&client);
    let times = refuse(&stage.platform, is_poison);
    let set_aside = std::thread::scope(|scope| {
        sender.enqueue_messages(["1", "2", "3"]).unwrap();
        let sending = scope.spawn(|| sender.send_message("poison"));
        times.wait(|_| true);
        sender.enqueue_messages(["4", "5", "6"]).unwrap();
        let set_aside = wait_set_aside(&client);
        let sent = sending.join().unwrap();
        assert!(matches!(sent, Err(Error::SetAside)), "{sent:?}");
        set_aside
    });
    let [poison] = set_aside.as_slice() else {
        panic!("{set_aside:?}");
    };
    assert_eq!(poison.payload_bytes, "poison".len() as u64);
    let reason = &poison.reason;
    assert!(reason.contains("the hub closed the connection"), "{reason}");
    assert_eq!(kept(&stage), ["1", "2", "3", "4", "5", "6"]);

    stage.platform.accept_all_messages();
    assert_eq!(client.retry_set_aside_messages(&[poison.id]).unwrap(), 1);
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    assert_eq!(kept(&stage).last().map(String::as_str), Some("poison"));
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn a_message_that_the_hub_refuses_is_set_aside_and_those_around_it_arrive_in_order() {
    std::thread::scope(|scope| {
        for window in [1, 16] {
            scope.spawn(move || a_refused_message_is_set_aside(window));
        }
    });
}

#[test]
fn two_refused_messages_in_a_row_are_both_set_aside() {
    let stage = Stage::new();
    let client = start(&stage, 1);
    refuse(&stage.platform, is_poison);
    sender(&client)
        .enqueue_messages(["1", "poison 1", "poison 2", "2", "3"])
        .unwrap();
    assert_eq!(wait_set_aside(&client).len(), 2);
    assert_eq!(kept(&stage), ["1", "2", "3"]);
}

#[test]
fn a_refused_link_to_large_content_is_set_aside() {
    let stage = Stage::new();
    let client = start(&stage, 1);
    let sender = sender(&client);
    refuse(&stage.platform, Message::is_external);
    let large = vec![b'x'; 300_000];
    sender.enqueue_message("1").unwrap();
    sender.enqueue_message(large.clone()).unwrap();
    sender.enqueue_message("2").unwrap();
    let set_aside = wait_set_aside(&client);
    assert_eq!(set_aside.len(), 1);
    assert_eq!(kept(&stage), ["1", "2"]);

    stage.platform.accept_all_messages();
    client.retry_set_aside_messages(&[set_aside[0].id]).unwrap();
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    assert_eq!(stage.platform.messages().pop().unwrap().payload, large);
}

#[test]
fn a_refused_message_that_the_hub_takes_in_time_is_sent_in_its_turn() {
    let stage = Stage::new();
    let client = start(&stage, 1);
    let times = refuse(&stage.platform, is_poison);
    sender(&client)
        .enqueue_messages(["1", "poison", "2"])
        .unwrap();
    // Three of these are before the trial, which takes five.
    wait_until(&times, |times| times.len() >= 6);
    stage.platform.accept_all_messages();
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    assert_eq!(kept(&stage), ["1", "poison", "2"]);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn the_status_says_that_messages_are_held_back_and_why() {
    let stage = Stage::new();
    let client = start(&stage, 1);
    let times = refuse(&stage.platform, is_poison);
    sender(&client).enqueue_messages(["poison", "2"]).unwrap();
    wait_until(&times, |times| times.len() >= 3);
    eventually("it is held back", || client.status().held_back.is_some());
    let status = client.status();
    assert!(status.held_back.unwrap().contains("the hub keeps closing"));
    assert!(status.held_back_age.unwrap() < TRIAL);
    stage.platform.accept_all_messages();
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    eventually("it is not any more", || client.status().held_back.is_none());
    assert_eq!(client.status().held_back_age, None);
}

#[test]
fn a_hub_that_refuses_every_message_has_none_set_aside() {
    let stage = Stage::new();
    let client = start(&stage, 1);
    let times = refuse(&stage.platform, |_| true);
    sender(&client).enqueue_messages(["1", "2", "3"]).unwrap();
    // The second and the third were to bear witness.
    wait_until(&times, |times| times.iter().any(|text| text == "3"));
    assert_eq!(client.pending_messages_count(), 3);
    stage.platform.accept_all_messages();
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    assert_eq!(kept(&stage), ["1", "2", "3"]);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn connections_that_are_cut_at_random_set_nothing_aside() {
    const CUTS: usize = 20;
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let stage = Stage::new();
    let client = start(&stage, 1);
    let sender = sender(&client);
    let mut enqueued = Vec::new();
    for cut in 1..=CUTS {
        stage
            .platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .unwrap();
        match random.u8(0..3) {
            0 => stage.platform.close_connections(),
            1 => stage
                .platform
                .cut_after_messages(random.u64(1..4), CutPoint::BeforeAck),
            _ => stage
                .platform
                .cut_after_messages(random.u64(1..4), CutPoint::AfterAck),
        }
        let texts: Vec<String> = (0..3).map(|i| format!("{cut} {i}")).collect();
        sender.enqueue_messages(texts.clone()).unwrap();
        enqueued.extend(texts);
        // Some cuts in a row without an acknowledgement, and the next attempt comes a minute later.
        stage.platform.wait_for_connections(cut + 1, TRIAL).unwrap();
    }
    stage.platform.cut_after_messages(0, CutPoint::BeforeAck);
    client.wait_enqueued_messages_sent_timeout(TRIAL).unwrap();
    assert_eq!(kept(&stage), enqueued);
    assert_eq!(client.status().set_aside_messages, 0);
}
