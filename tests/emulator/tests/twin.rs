//! Twins, cloud-to-device messages and direct methods.

mod support;

use std::num::NonZeroU16;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, PubAck, Publish};
use serde_json::{Value, json};
use spotflow_emulator::{Error, Event, Platform};
use support::{Client, Credentials, DEADLINE, device};

const ANSWERS: &str = "$iothub/twin/res/#";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

fn connected(platform: &Platform) -> (Client, Credentials) {
    let credentials = device(platform, "dev-1");
    (Client::connect(platform, &credentials).0, credentials)
}

/// Sends a request and returns the answer's topic and body, whatever order it and the PUBACK come in.
fn request(client: &mut Client, topic: &str, payload: &[u8]) -> (String, Value) {
    client.publish(topic, 5, payload);
    let packets = [client.receive(), client.receive()];
    assert!(packets.contains(&Packet::PubAck(PubAck::new(5))));
    let answer = packets.into_iter().find_map(|packet| match packet {
        Packet::Publish(publish) => Some((publish.topic.clone(), body(&publish))),
        _ => None,
    });
    answer.unwrap()
}

fn body(publish: &Publish) -> Value {
    serde_json::from_slice(&publish.payload).unwrap_or(Value::Null)
}

#[test]
fn a_twin_is_read_and_reported_to() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    client.subscribe(ANSWERS, QoS::AtMostOnce);
    let (topic, twin) = request(&mut client, "$iothub/twin/GET/?$rid=a", b"");
    assert_eq!(topic, "$iothub/twin/res/200/?$rid=a");
    assert_eq!(
        twin,
        json!({"desired": {"$version": 1}, "reported": {"$version": 1}})
    );

    let reported = "$iothub/twin/PATCH/properties/reported/?$rid=b";
    let (topic, _) = request(&mut client, reported, br#"{"speed": 3, "gone": 1}"#);
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=b&$version=2");
    request(&mut client, reported, br#"{"gone": null}"#);
    assert_eq!(
        platform.reported("dev-1").unwrap(),
        (json!({"speed": 3}), 3)
    );
    assert_eq!(platform.reported_patches("dev-1").unwrap().len(), 2);

    for bad in [&b"{"[..], b"[1]", br#"{"a.b": 1}"#] {
        let (topic, _) = request(&mut client, reported, bad);
        assert!(topic.starts_with("$iothub/twin/res/400/?$rid=b"), "{topic}");
    }
    assert_eq!(platform.reported("dev-1").unwrap().1, 3);
    platform
        .wait_for_reported("dev-1", |reported| reported["speed"] == 3, DEADLINE)
        .unwrap();
    let late = platform
        .wait_for_reported("dev-1", |_| false, Duration::ZERO)
        .unwrap_err();
    assert!(late.to_string().contains("speed"), "{late}");
}

#[test]
fn desired_properties_are_pushed_to_who_listens() {
    let platform = Platform::start().unwrap();
    let (mut client, credentials) = connected(&platform);
    platform
        .set_desired("dev-1", &json!({"a": 1, "b": {"c": 2}}))
        .unwrap();
    client.subscribe(DESIRED, QoS::AtLeastOnce);
    assert_eq!(
        platform
            .set_desired("dev-1", &json!({"b": {"c": 3}}))
            .unwrap(),
        3
    );
    let push = client.receive_publish();
    assert_eq!(
        push.topic,
        "$iothub/twin/PATCH/properties/desired/?$version=3"
    );
    assert_eq!(
        body(&push),
        json!({"a": null, "b": {"c": 3}, "$version": 3})
    );
    assert_eq!(push.qos, QoS::AtLeastOnce);
    assert_eq!(
        platform
            .patch_desired(&credentials.hub_id, &json!({"d": 4}))
            .unwrap(),
        4
    );
    assert_eq!(
        body(&client.receive_publish()),
        json!({"d": 4, "$version": 4})
    );
    assert_eq!(
        platform.desired("dev-1").unwrap(),
        (json!({"b": {"c": 3}, "d": 4}), 4)
    );

    platform
        .send_raw_desired_patch("dev-1", 2, &json!({"stale": true}))
        .unwrap();
    let push = client.receive_publish();
    assert_eq!(body(&push), json!({"stale": true, "$version": 2}));
    platform.reset_twin("dev-1").unwrap();
    assert_eq!(platform.desired("dev-1").unwrap(), (json!({}), 1));

    let invalid = platform.set_desired("dev-1", &json!({"a b": 1}));
    assert!(matches!(invalid, Err(Error::InvalidProperties(_))));
    assert!(matches!(
        platform.set_desired("nobody", &json!({})),
        Err(Error::UnknownDevice(_))
    ));
}

#[test]
fn twin_requests_are_throttled_failed_and_left_unanswered() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    client.subscribe(ANSWERS, QoS::AtMostOnce);
    platform.throttle_twin(1);
    let get = "$iothub/twin/GET/?$rid=1";
    assert!(
        request(&mut client, get, b"")
            .0
            .starts_with("$iothub/twin/res/429/")
    );
    assert!(
        request(&mut client, get, b"")
            .0
            .starts_with("$iothub/twin/res/200/")
    );
    platform.twin_status(503, 1);
    let reported = "$iothub/twin/PATCH/properties/reported/?$rid=2";
    assert!(
        request(&mut client, reported, b"{}")
            .0
            .starts_with("$iothub/twin/res/503/")
    );

    platform.withhold_twin_answers(true);
    client.deliver(get, 6, b"");
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
    platform.withhold_twin_answers(false);
    assert!(
        request(&mut client, get, b"")
            .0
            .starts_with("$iothub/twin/res/200/")
    );
}

#[test]
fn the_hub_can_be_made_to_lie() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    client.subscribe(ANSWERS, QoS::AtMostOnce);
    platform.answer_twin_reads_with([b"{".to_vec(), Vec::new()]);
    let mut read = || {
        client.deliver("$iothub/twin/GET/?$rid=1", 5, b"");
        let answer = client.receive_publish();
        (answer.topic, answer.payload)
    };
    let topic = "$iothub/twin/res/200/?$rid=1".to_owned();
    assert_eq!(read(), (topic.clone(), b"{".to_vec().into()));
    assert_eq!(read(), (topic.clone(), Vec::new().into()));
    assert!(read().1.starts_with(b"{\"desired\""));

    for packet_id in [None, NonZeroU16::new(7)] {
        platform
            .publish_to_device("dev-1", "no/topic", packet_id, "payload")
            .unwrap();
        let publish = client.receive_publish();
        assert_eq!(publish.topic, "no/topic");
        assert_eq!(publish.payload, "payload");
        assert_eq!(publish.pkid, packet_id.map_or(0, NonZeroU16::get));
    }
    let unknown = platform.publish_to_device("nobody", "no/topic", None, "");
    assert!(matches!(unknown, Err(Error::UnknownDevice(_))));
}

#[test]
fn cloud_messages_wait_until_they_are_acknowledged() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    for number in 0..50 {
        platform
            .send_cloud_message("dev-1", format!("{number}"), &[("k k", "v/v")])
            .unwrap();
    }
    assert!(matches!(
        platform.send_cloud_message("dev-1", "", &[]),
        Err(Error::QueueFull(50))
    ));

    let (mut client, _) = Client::connect(&platform, &credentials);
    client.subscribe(
        &format!("devices/{}/messages/devicebound/#", credentials.hub_id),
        QoS::AtLeastOnce,
    );
    let first: Vec<Publish> = (0..50).map(|_| client.receive_publish()).collect();
    assert_eq!(first[49].payload, "49");
    assert_eq!(
        first[0].topic,
        format!(
            "devices/{}/messages/devicebound/k%20k=v%2Fv",
            credentials.hub_id
        )
    );
    assert!(!first[0].dup);
    for publish in &first[..48] {
        client.send(&Packet::PubAck(PubAck::new(publish.pkid)));
    }
    platform
        .wait_for_cloud_messages("dev-1", 2, DEADLINE)
        .unwrap();

    drop(client);
    platform
        .wait_for_connected("dev-1", false, DEADLINE)
        .unwrap();
    let (mut client, session_present) = Client::connect(&platform, &credentials);
    assert!(session_present);
    for before in &first[48..] {
        let again = client.receive_publish();
        assert_eq!(
            (again.pkid, &again.payload, again.dup),
            (before.pkid, &before.payload, true)
        );
        client.send(&Packet::PubAck(PubAck::new(again.pkid)));
    }
    platform
        .wait_for_cloud_messages("dev-1", 0, DEADLINE)
        .unwrap();
    platform.send_cloud_message("dev-1", "new", &[]).unwrap();
    assert_eq!(client.receive_publish().payload, "new");
}

#[test]
fn a_cloud_message_comes_again_when_its_lock_ends() {
    let platform = Platform::builder()
        .cloud_message_lock(Duration::from_millis(50))
        .start()
        .unwrap();
    let (mut client, credentials) = connected(&platform);
    let filter = format!("devices/{}/messages/devicebound/#", credentials.hub_id);
    client.subscribe(&filter, QoS::AtLeastOnce);
    platform.send_cloud_message("dev-1", "x", &[]).unwrap();
    let first = client.receive_publish();
    let second = client.receive_publish();
    assert_eq!(
        (first.dup, second.dup, second.pkid),
        (false, true, first.pkid)
    );
    client.send(&Packet::PubAck(PubAck::new(first.pkid)));
    platform
        .wait_for_cloud_messages("dev-1", 0, DEADLINE)
        .unwrap();

    platform.send_cloud_message("dev-1", "y", &[]).unwrap();
    client.until(|packet| matches!(packet, Packet::Publish(publish) if publish.payload == "y"));
    client.unsubscribe_among_others(&filter);
    assert!(platform.cloud_messages_waiting("dev-1") == 1);
}

#[test]
fn a_change_of_desired_properties_is_an_event() {
    let platform = Platform::start().unwrap();
    let _client = connected(&platform);
    let (_, seen) = platform.wait_for_events(0, DEADLINE);
    platform.patch_desired("dev-1", &json!({ "a": 1 })).unwrap();
    let (events, _) = platform.wait_for_events(seen, DEADLINE);
    let [Event::Desired { device, version: 2 }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(device.device_id, "dev-1");
}

#[test]
fn a_direct_method_is_called_and_answered() {
    let platform = Platform::start().unwrap();
    let (mut client, _) = connected(&platform);
    let not_listening = platform.call_method("dev-1", "reboot", "{}", DEADLINE);
    assert!(matches!(not_listening, Err(Error::NotConnected(_))));
    client.subscribe("$iothub/methods/POST/#", QoS::AtMostOnce);

    let device = std::thread::spawn(move || {
        let call = client.receive_publish();
        let rid = call
            .topic
            .strip_prefix("$iothub/methods/POST/a/b/?$rid=")
            .unwrap();
        assert_eq!(call.payload, r#"{"x":1}"#);
        let answer = format!("$iothub/methods/res/404/?$rid={rid}");
        client.deliver("$iothub/methods/res/200/?$rid=stray", 1, b"");
        client.deliver(&answer, 2, b"{}");
        client
    });
    let answer = platform
        .call_method("dev-1", "a/b", r#"{"x":1}"#, DEADLINE)
        .unwrap();
    assert_eq!(
        (answer.status, answer.payload.as_slice()),
        (404, &b"{}"[..])
    );
    let _client = device.join().unwrap();
    let unanswered = platform.call_method("dev-1", "x", "{}", Duration::from_millis(10));
    assert!(matches!(unanswered, Err(Error::Timeout(_))));
}
