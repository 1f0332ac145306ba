//! Direct methods: called at most once, answered in time and over the same connection, or not at all.

mod support;

use std::time::{Duration, Instant};

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use spotflow_emulator::{DropReason, Error, MethodOutcome, Platform};
use support::{Client, Credentials, DEADLINE, device};

const METHODS: &str = "$iothub/methods/POST/#";
const LIMIT: usize = 128 * 1024;

fn listening(platform: &Platform) -> (Client, Credentials) {
    let credentials = device(platform, "dev-1");
    let (mut client, _) = Client::connect(platform, &credentials);
    client.subscribe(METHODS, QoS::AtMostOnce);
    (client, credentials)
}

fn request_id(call: &Publish) -> String {
    call.topic.split_once("/?$rid=").unwrap().1.to_owned()
}

fn answer(client: &mut Client, call: &Publish, status: u16, body: &[u8]) {
    let topic = format!("$iothub/methods/res/{status}/?$rid={}", request_id(call));
    client.publish(&topic, 1, body);
    client.until(|packet| matches!(packet, Packet::PubAck(_)));
}

#[test]
fn a_call_reaches_only_a_device_that_is_connected_and_listens() {
    let platform = Platform::start().unwrap();
    let call = || platform.call_method("dev-1", "m", "{}", DEADLINE);
    assert!(matches!(call(), Err(Error::UnknownDevice(_))));
    let credentials = device(&platform, "dev-1");
    assert!(matches!(call(), Err(Error::NotConnected(_))));
    let (mut client, _) = Client::connect(&platform, &credentials);
    assert!(matches!(call(), Err(Error::NotConnected(_))));
    client.subscribe(METHODS, QoS::AtMostOnce);
    client.unsubscribe(METHODS);
    assert!(matches!(call(), Err(Error::NotConnected(_))));
    assert!(platform.method_calls().is_empty());
}

#[test]
fn many_calls_are_under_way_and_answered_in_any_order() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = listening(&platform);
    let begin = |name: &str| {
        platform
            .begin_method("dev-1", name, name, DEADLINE)
            .unwrap()
    };
    let numbers = [begin("1"), begin("2"), begin("3")];
    let mut calls = [(); 3].map(|()| client.receive_publish());
    calls.reverse();
    for call in &calls {
        answer(&mut client, call, 200, &call.payload);
    }
    for (number, body) in numbers.into_iter().zip([b"1", b"2", b"3"]) {
        let answer = platform.wait_for_method(number, DEADLINE).unwrap();
        assert_eq!((answer.status, answer.payload.as_slice()), (200, &body[..]));
    }
}

#[test]
fn a_body_may_be_empty_both_ways() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = listening(&platform);
    let number = platform.begin_method("dev-1", "m", "", DEADLINE).unwrap();
    let call = client.receive_publish();
    assert!(call.payload.is_empty());
    answer(&mut client, &call, 200, b"");
    let answer = platform.wait_for_method(number, DEADLINE).unwrap();
    assert_eq!((answer.status, answer.payload.len()), (200, 0));
}

#[test]
fn what_is_too_large_or_no_json_does_not_pass() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = listening(&platform);
    let string = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
    let begin = |payload: Vec<u8>| platform.begin_method("dev-1", "m", payload, DEADLINE);
    assert!(matches!(
        begin(string(LIMIT + 1)),
        Err(Error::MethodPayloadTooLarge(_))
    ));
    for (body, passes) in [
        (string(LIMIT), true),
        (string(LIMIT + 1), false),
        (b"no JSON".to_vec(), false),
    ] {
        let number = begin(string(LIMIT)).unwrap();
        let call = client.receive_publish();
        assert_eq!(call.payload.len(), LIMIT);
        answer(&mut client, &call, 200, &body);
        match platform.wait_for_method(number, DEADLINE) {
            Ok(answer) => assert!(passes && answer.payload == body),
            Err(Error::BadMethodAnswer { .. }) => assert!(!passes),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_late_answer_is_dropped() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = listening(&platform);
    let short = Duration::from_millis(50);
    let start = Instant::now();
    let late = platform.call_method("dev-1", "m", "{}", short).unwrap_err();
    assert!(matches!(late, Error::Timeout(_)), "{late}");
    assert!(start.elapsed() >= short);
    let call = client.receive_publish();
    answer(&mut client, &call, 200, b"{}");
    let dropped = platform
        .wait_for_dropped_method_answers(1, DEADLINE)
        .unwrap();
    assert_eq!(dropped[0].reason, DropReason::Late);
    assert_eq!(dropped[0].request_id, request_id(&call));
    assert_eq!(platform.method_calls()[0].outcome, MethodOutcome::GivenUp);
}

#[test]
fn an_answer_counts_only_over_the_connection_of_its_call_and_only_once() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = listening(&platform);
    let first = platform.begin_method("dev-1", "m", "1", DEADLINE).unwrap();
    let lost = client.receive_publish();
    let (mut client, session_present) = Client::connect(&platform, &credentials);
    assert!(session_present, "the subscription stays");
    let second = platform.begin_method("dev-1", "m", "2", DEADLINE).unwrap();
    let call = client.receive_publish();
    assert_eq!(call.payload, "2", "the first one is not sent again");

    answer(&mut client, &lost, 200, b"1");
    answer(&mut client, &call, 201, b"2");
    answer(&mut client, &call, 202, b"3");
    client.deliver("$iothub/methods/res/200/?$rid=stray", 2, b"");
    let dropped = platform
        .wait_for_dropped_method_answers(3, DEADLINE)
        .unwrap();
    assert_eq!(
        dropped
            .iter()
            .map(|dropped| (dropped.reason, dropped.connection))
            .collect::<Vec<_>>(),
        [
            (DropReason::OtherConnection, 2),
            (DropReason::Repeated, 2),
            (DropReason::Unknown, 2)
        ]
    );
    assert_eq!(
        platform.wait_for_method(second, DEADLINE).unwrap().status,
        201
    );
    let waits = platform.wait_for_method(first, Duration::from_millis(10));
    assert!(matches!(waits, Err(Error::Timeout(_))));
    let outcomes: Vec<_> = platform
        .method_calls()
        .into_iter()
        .map(|call| call.outcome)
        .collect();
    assert_eq!(outcomes[0], MethodOutcome::Waiting);
    assert!(matches!(outcomes[1], MethodOutcome::Answered { .. }));
}
