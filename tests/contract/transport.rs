//! MQTT at its own port or over WebSocket: which is used when, and that nothing else differs.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use serde_json::json;
use spotflow_device::{DeviceClient, Error, Transport};
use spotflow_emulator::Transport::{Mqtt, WebSocket};
use spotflow_emulator::{AckMode, Blockage, CutPoint, Message, Platform, Route, Way};

use crate::support::{DEVICE, LogCapture, PATIENCE, Stage, eventually, sender};

const BLOCKAGES: [Blockage; 4] = [
    Blockage::Refused,
    Blockage::Silent,
    Blockage::Cut,
    Blockage::Foreign,
];
/// Within which a device is connected when one way is open.
const LIMIT: Duration = Duration::from_secs(15);

/// What each Message came over. (A connection that was left in silence may come through later.)
fn seen(stage: &Stage) -> Vec<spotflow_emulator::Transport> {
    let connections = stage.platform.connections();
    let over = |message: Message| {
        let of_message = connections
            .iter()
            .find(|it| it.number == message.connection);
        of_message.unwrap().transport
    };
    let messages = stage.platform.messages();
    messages.into_iter().map(over).collect()
}

/// Runs a device until it has sent a Message; returns how long that took.
fn run(stage: &Stage) -> Duration {
    let begun = Instant::now();
    let client = stage.start();
    sender(&client).send_message("in").unwrap();
    let took = begun.elapsed();
    let used = match seen(stage).last() {
        Some(WebSocket) => Transport::WebSocket,
        _ => Transport::Mqtt,
    };
    assert_eq!(client.status().transport, Some(used));
    client.close();
    took
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

fn distinct(stage: &Stage) -> Vec<String> {
    let messages = stage.platform.distinct_messages();
    messages.iter().map(|message| message.text()).collect()
}

fn over_web_socket(stage: &Stage) -> DeviceClient {
    let device = stage.device().transport(Transport::WebSocket);
    device.start().unwrap()
}

#[test]
fn mqtt_goes_to_its_own_port_where_that_is_open() {
    let stage = Stage::new();
    run(&stage);
    run(&stage);
    assert_eq!(seen(&stage), [Mqtt, Mqtt]);
}

#[test]
fn where_mqtts_port_is_blocked_it_goes_over_websocket_which_is_remembered() {
    std::thread::scope(|scope| {
        for blockage in BLOCKAGES {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.block(Way::Mqtt, blockage).unwrap();
                let took = run(&stage);
                assert!(took < LIMIT, "{blockage:?}: {took:?}");
                stage.platform.unblock(Way::Mqtt).unwrap();
                run(&stage);
                assert_eq!(seen(&stage), [WebSocket, WebSocket], "{blockage:?}");
            });
        }
    });
}

#[test]
fn where_websocket_does_not_come_through_any_more_it_goes_back_to_mqtts_port() {
    std::thread::scope(|scope| {
        for blockage in BLOCKAGES {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.platform.block(Way::Mqtt, Blockage::Refused).unwrap();
                run(&stage);
                stage.platform.unblock(Way::Mqtt).unwrap();
                stage.platform.block(Way::WebSocket, blockage).unwrap();
                let took = run(&stage);
                assert!(took < LIMIT, "{blockage:?}: {took:?}");
                stage.platform.unblock(Way::WebSocket).unwrap();
                run(&stage);
                assert_eq!(seen(&stage), [WebSocket, Mqtt, Mqtt], "{blockage:?}");
            });
        }
    });
}

#[test]
fn a_device_that_runs_changes_its_way_with_the_network_and_says_so() {
    let said = || {
        let lines = LogCapture::install().lines();
        let other = |line: &&_| -> bool {
            let line: &crate::support::LogLine = line;
            line.level == log::Level::Info
                && line.text.contains("from now on by MQTT over WebSocket")
        };
        lines.iter().filter(other).count()
    };
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message("0").unwrap();
    assert_eq!(client.status().transport, Some(Transport::Mqtt));
    let before = said();
    stage.platform.block(Way::Mqtt, Blockage::Silent).unwrap();
    stage.platform.close_connections();
    sender.send_message("1").unwrap();
    assert_eq!(client.status().transport, Some(Transport::WebSocket));
    assert!(said() > before);
    stage.platform.unblock(Way::Mqtt).unwrap();
    stage.platform.close_connections();
    sender.send_message("2").unwrap();
    stage.platform.block(Way::WebSocket, Blockage::Cut).unwrap();
    stage.platform.close_connections();
    sender.send_message("3").unwrap();
    assert_eq!(client.status().transport, Some(Transport::Mqtt));
    assert_eq!(seen(&stage), [Mqtt, WebSocket, WebSocket, Mqtt]);
    assert_eq!(distinct(&stage), numbers(4));
}

#[test]
fn a_way_that_is_chosen_is_the_only_one() {
    for (choice, way) in [
        (Transport::Mqtt, Way::Mqtt),
        (Transport::WebSocket, Way::WebSocket),
    ] {
        let stage = Stage::new();
        stage.platform.block(way, Blockage::Refused).unwrap();
        let client = stage.device().transport(choice).start().unwrap();
        let fails = || client.status().last_error.is_some();
        eventually("the attempt fails", fails);
        stage.platform.unblock(way).unwrap();
        sender(&client).send_message("in").unwrap();
        let expected = if way == Way::Mqtt { Mqtt } else { WebSocket };
        assert_eq!(seen(&stage), [expected]);
    }
}

#[test]
fn somebody_else_at_the_port_of_https_is_named_and_costs_no_registration() {
    let stage = Stage::new();
    stage.platform.block(Way::Mqtt, Blockage::Refused).unwrap();
    stage
        .platform
        .block(Way::WebSocket, Blockage::Foreign)
        .unwrap();
    let client = stage.start();
    let error = || client.status().last_error;
    eventually("somebody else is named", || {
        let is_named = |error: Error| {
            let text = error.chain().to_string();
            text.contains("status 200 with a page for people") && text.contains("issued by ")
        };
        error().is_some_and(is_named)
    });
    assert!(
        matches!(error(), Some(Error::Protocol { .. })),
        "{:?}",
        error()
    );
    assert!(error().unwrap().is_retryable());
    stage.platform.unblock(Way::WebSocket).unwrap();
    sender(&client).send_message("in").unwrap();
    assert_eq!(stage.platform.http_request_count(Route::Register), 1);
    assert_eq!(stage.platform.http_request_count(Route::Init), 1);
}

#[test]
fn a_login_that_the_hub_refuses_is_not_tried_the_other_way() {
    let stage = Stage::new();
    stage.platform.refuse_connects(3, Some(2));
    let client = stage.start();
    sender(&client).send_message("in").unwrap();
    let connections = stage.platform.connections();
    assert!(connections.iter().all(|it| it.transport == Mqtt));
    assert_eq!(connections.len(), 3);
}

#[test]
fn over_websocket_messages_of_all_sizes_and_properties_arrive_whatever_the_frames_are() {
    for frame_bytes in [None, NonZeroUsize::new(1), NonZeroUsize::new(1000)] {
        let stage = Stage::new();
        stage.platform.websocket_frame_bytes(frame_bytes);
        let client = over_web_socket(&stage);
        let sender = sender(&client);
        // Around a frame, around a TLS record, the largest that goes inline, and one that is uploaded.
        let sizes = [
            0, 1, 125, 126, 16_100, 16_384, 65_535, 65_536, 250_000, 250_001,
        ];
        for size in sizes {
            sender.enqueue_message(vec![7; size]).unwrap();
        }
        client.wait_enqueued_messages_sent().unwrap();
        let arrived = stage.platform.messages();
        let arrived = arrived.iter().map(|message| message.payload.len());
        assert_eq!(arrived.collect::<Vec<_>>(), sizes);

        let desired = json!({"a": "x".repeat(3000)});
        stage.platform.set_desired(DEVICE, &desired).unwrap();
        eventually("the Desired Properties arrive", || {
            let properties = client.get_desired_properties().unwrap();
            properties.values().get("a") == desired.get("a")
        });
        let reported = json!({"b": 1});
        client.update_reported_properties(&reported).unwrap();
        let arrives = |it: &serde_json::Value| *it == reported;
        let arrived = stage.platform.wait_for_reported(DEVICE, arrives, PATIENCE);
        arrived.unwrap();
        assert!(seen(&stage).iter().all(|it| *it == WebSocket));
    }
}

#[test]
fn over_websocket_a_message_is_forgotten_by_its_acknowledgement_and_by_nothing_else() {
    let stage = Stage::new();
    stage.platform.acknowledge(AckMode::Withhold);
    let client = over_web_socket(&stage);
    sender(&client).enqueue_message("kept").unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    assert_eq!(client.pending_messages_count(), 1);
    client.close();
    stage.platform.acknowledge(AckMode::Immediately);
    let client = over_web_socket(&stage);
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(client.pending_messages_count(), 0);
    assert_eq!(stage.received(), ["kept", "kept"]);
    assert!(stage.platform.messages()[1].repeat, "the Platform drops it");
}

#[test]
fn over_websocket_the_order_is_kept_through_cuts_with_any_window() {
    for (window, point) in [
        (1, CutPoint::BeforeAck),
        (1, CutPoint::AfterAck),
        (16, CutPoint::BeforeAck),
    ] {
        let stage = Stage::with(Platform::builder());
        let device = stage.device().transport(Transport::WebSocket);
        let client = device.in_flight_window(window).start().unwrap();
        let sender = sender(&client);
        for round in 0..5 {
            stage.platform.cut_after_messages(7, point);
            let numbers = (0..20).map(|i| (round * 20 + i).to_string());
            sender.enqueue_messages(numbers).unwrap();
            client.wait_enqueued_messages_sent().unwrap();
        }
        if window == 1 {
            assert_eq!(distinct(&stage), numbers(100), "{point:?}");
        }
        let mut next = 0;
        for number in stage.received() {
            let number: usize = number.parse().unwrap();
            assert!(
                number <= next && next - number <= window,
                "{number} after {next}"
            );
            next = next.max(number + 1);
        }
        assert_eq!(next, 100);
        assert!(seen(&stage).iter().all(|it| *it == WebSocket));
    }
}

#[test]
fn over_websocket_the_end_is_said_to_the_hub() {
    let stage = Stage::new();
    let client = over_web_socket(&stage);
    sender(&client).send_message("in").unwrap();
    client.close();
    let ended = || stage.platform.connections()[0].end.clone();
    eventually("the connection has ended", || ended().is_some());
    assert_eq!(ended().as_deref(), Some("DISCONNECT"));
}
