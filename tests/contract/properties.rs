//! Desired Properties: the Platform's latest word, also offline.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use spotflow_device::{DesiredProperties, DeviceClient, Error};
use spotflow_emulator::{Direction, PacketKind};

use crate::support::{DEVICE, PATIENCE, Seen, Stage, eventually, sender};

fn values(properties: &DesiredProperties) -> Value {
    Value::Object(properties.values().clone())
}

/// The versions and values that the callback was given.
type Told = Arc<Seen<(u64, Value)>>;

fn started_with_callback(stage: &Stage) -> (DeviceClient, Told) {
    let told = Seen::new();
    let seen = Arc::clone(&told);
    let client = stage
        .device()
        .on_desired_properties(move |properties| {
            seen.push((properties.version(), values(&properties)))
        })
        .start()
        .unwrap();
    (client, told)
}

/// A device that has read its twin, so that all the hub sends it now are updates.
fn synchronised(stage: &Stage) -> DeviceClient {
    let client = stage.start();
    assert_eq!(client.get_desired_properties().unwrap().version(), 1);
    client
}

fn wait_version(client: &DeviceClient, version: u64) {
    eventually("the version arrives", || {
        client.get_desired_properties().unwrap().version() == version
    });
}

/// How many requests the device made of its twin: each an unacknowledged publish.
fn twin_requests(stage: &Stage) -> usize {
    let packets = stage.platform.packets(DEVICE);
    packets
        .iter()
        .filter(|packet| {
            packet.direction == Direction::FromDevice
                && packet.kind == PacketKind::Publish
                && packet.packet_id.is_none()
        })
        .count()
}

#[test]
fn the_callback_is_told_the_first_version_and_every_update() {
    let stage = Stage::new();
    let (_client, told) = started_with_callback(&stage);
    told.wait(|(version, values)| *version == 1 && *values == json!({}));
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"a": 1, "b": {"c": 2}}))
        .unwrap();
    told.wait(|news| *news == (version, json!({"a": 1, "b": {"c": 2}})));
    let version = stage
        .platform
        .patch_desired(DEVICE, &json!({"a": null, "b": {"d": 3}}))
        .unwrap();
    told.wait(|news| *news == (version, json!({"b": {"c": 2, "d": 3}})));
    assert_eq!(told.all().len(), 3, "each once");
}

#[test]
fn the_stored_version_is_told_right_after_the_start_also_offline() {
    let stage = Stage::new();
    let client = synchronised(&stage);
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"kept": true}))
        .unwrap();
    wait_version(&client, version);
    client.close();
    stage.platform.accept_connections(false).unwrap();
    let (client, told) = started_with_callback(&stage);
    let offline = client.get_desired_properties().unwrap();
    assert_eq!(
        (offline.version(), values(&offline)),
        (version, json!({"kept": true}))
    );
    assert_eq!(told.wait(|_| true), (version, json!({"kept": true})));
    assert!(!client.status().is_connected);
}

#[test]
fn a_slow_callback_sees_the_latest_version_only() {
    let stage = Stage::new();
    let (entered, versions) = (Seen::new(), Seen::new());
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock();
    let callback = {
        let (entered, versions, gate) = (
            Arc::clone(&entered),
            Arc::clone(&versions),
            Arc::clone(&gate),
        );
        move |properties: DesiredProperties| {
            entered.push(());
            drop(gate.lock());
            versions.push(properties.version());
        }
    };
    let client = stage
        .device()
        .on_desired_properties(callback)
        .start()
        .unwrap();
    entered.wait(|()| true);
    let mut last = 0;
    for i in 0..10 {
        last = stage
            .platform
            .set_desired(DEVICE, &json!({ "i": i }))
            .unwrap();
    }
    wait_version(&client, last);
    drop(held);
    versions.wait(|version| *version == last);
    let versions = versions.all();
    assert_eq!(versions.len(), 2, "{versions:?}");
}

#[test]
fn a_panic_in_the_callback_is_survived() {
    let stage = Stage::new();
    let told = Seen::new();
    let seen = Arc::clone(&told);
    let client = stage
        .device()
        .on_desired_properties(move |properties| {
            seen.push(properties.version());
            assert!(properties.version() != 2, "a test's panic");
        })
        .start()
        .unwrap();
    for version in [1, 2, 3] {
        told.wait(|told| *told == version);
        stage
            .platform
            .set_desired(DEVICE, &json!({ "v": version }))
            .unwrap();
    }
    wait_version(&client, 4);
    sender(&client).send_message("goes on").unwrap();
}

#[test]
fn a_callback_may_use_the_client() {
    let stage = Stage::new();
    let slot: Arc<Mutex<Option<DeviceClient>>> = Arc::default();
    let callback = {
        let slot = Arc::clone(&slot);
        move |properties: DesiredProperties| {
            if let Some(client) = slot.lock().as_ref() {
                client
                    .update_reported_properties(properties.values())
                    .unwrap();
                sender(client).send_message("from the callback").unwrap();
            }
        }
    };
    let client = stage
        .device()
        .on_desired_properties(callback)
        .start()
        .unwrap();
    client.get_desired_properties().unwrap();
    *slot.lock() = Some(client.clone());
    stage
        .platform
        .set_desired(DEVICE, &json!({"mode": "on"}))
        .unwrap();
    let mode_is_on = |reported: &Value| *reported == json!({"mode": "on"});
    stage
        .platform
        .wait_for_reported(DEVICE, mode_is_on, PATIENCE)
        .unwrap();
    stage.platform.wait_for_messages(1, PATIENCE).unwrap();
    client.close();
    drop(slot.lock().take());
}

#[test]
fn an_older_patch_is_ignored() {
    let stage = Stage::new();
    let client = synchronised(&stage);
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"a": 1}))
        .unwrap();
    wait_version(&client, version);
    let requests = twin_requests(&stage);
    for stale in [1, version] {
        stage
            .platform
            .send_raw_desired_patch(DEVICE, stale, &json!({"a": "stale"}))
            .unwrap();
    }
    // The next update shows that the stale ones were read before it.
    let next = stage
        .platform
        .patch_desired(DEVICE, &json!({"b": 2}))
        .unwrap();
    wait_version(&client, next);
    assert_eq!(
        values(&client.get_desired_properties().unwrap()),
        json!({"a": 1, "b": 2})
    );
    assert_eq!(twin_requests(&stage), requests);
}

#[test]
fn after_a_gap_or_nonsense_the_whole_twin_is_read_again() {
    let stage = Stage::new();
    let client = synchronised(&stage);
    for (version, patch) in [
        (9, json!({"ghost": 1})),
        (2, json!([1])),
        (2, json!("text")),
    ] {
        let requests = twin_requests(&stage);
        stage
            .platform
            .send_raw_desired_patch(DEVICE, version, &patch)
            .unwrap();
        eventually("the twin is read", || twin_requests(&stage) > requests);
        let desired = client.get_desired_properties().unwrap();
        assert_eq!(
            (desired.version(), values(&desired)),
            (1, json!({})),
            "{patch}"
        );
    }
    stage
        .platform
        .set_desired(DEVICE, &json!({"a": 1}))
        .unwrap();
    wait_version(&client, 2);
    assert_eq!(
        values(&client.get_desired_properties().unwrap()),
        json!({"a": 1})
    );
}

#[test]
fn what_changed_while_away_is_read_after_every_reconnect() {
    let stage = Stage::new();
    let (client, told) = started_with_callback(&stage);
    told.wait(|_| true);
    for round in 0..3 {
        stage.cut_off();
        let version = stage
            .platform
            .set_desired(DEVICE, &json!({ "round": round }))
            .unwrap();
        stage.platform.accept_connections(true).unwrap();
        told.wait(|news| *news == (version, json!({ "round": round })));
    }
    assert_eq!(client.status().reconnects, 3);
}

#[test]
fn a_read_is_right_even_if_its_version_is_lower() {
    let stage = Stage::new();
    let (client, told) = started_with_callback(&stage);
    for i in 0..4 {
        stage
            .platform
            .set_desired(DEVICE, &json!({ "i": i }))
            .unwrap();
    }
    wait_version(&client, 5);
    stage.platform.reset_twin(DEVICE).unwrap();
    stage
        .platform
        .set_desired(DEVICE, &json!({"anew": true}))
        .unwrap();
    stage.platform.close_connections();
    told.wait(|news| *news == (2, json!({"anew": true})));
    assert_eq!(client.get_desired_properties().unwrap().version(), 2);
}

#[test]
fn a_read_that_is_throttled_or_not_answered_is_made_again() {
    let stage = Stage::new();
    stage.platform.twin_status(429, 1);
    let client = stage.start();
    assert_eq!(client.get_desired_properties().unwrap().version(), 1);
    stage.platform.twin_status(503, 1);
    stage.platform.close_connections();
    stage.platform.wait_for_connections(2, PATIENCE).unwrap();
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"a": 1}))
        .unwrap();
    wait_version(&client, version);

    stage.platform.withhold_twin_answers(true);
    stage.platform.close_connections();
    stage.platform.wait_for_connections(3, PATIENCE).unwrap();
    // Messages do not wait for an answer.
    sender(&client).send_message("meanwhile").unwrap();
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({"a": 2}))
        .unwrap();
    stage.platform.withhold_twin_answers(false);
    stage.platform.close_connections();
    wait_version(&client, version);
}

#[test]
fn only_a_newer_version_is_given_on_request() {
    let stage = Stage::new();
    stage.platform.withhold_twin_answers(true);
    let client = stage.start();
    assert_eq!(client.get_desired_properties_if_newer(None), None);
    stage.platform.withhold_twin_answers(false);
    stage.platform.close_connections();
    let first = client.get_desired_properties().unwrap();
    assert_eq!(
        client.get_desired_properties_if_newer(None),
        Some(first.clone())
    );
    assert_eq!(
        client.get_desired_properties_if_newer(first.version()),
        None
    );
    assert_eq!(
        client.get_desired_properties_if_newer(first.version() - 1),
        Some(first)
    );
}

#[test]
fn the_wait_for_the_first_properties_ends_with_an_interrupt_or_close() {
    let stage = Stage::new();
    stage.platform.withhold_twin_answers(true);
    let asked = Arc::new(Mutex::new(false));
    let flag = Arc::clone(&asked);
    let client = stage
        .device()
        .interrupt_check(move || *flag.lock())
        .start()
        .unwrap();
    let wait = |client: &DeviceClient| client.get_desired_properties();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&client));
        stage
            .platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .unwrap();
        *asked.lock() = true;
        assert!(matches!(waiting.join().unwrap(), Err(Error::Interrupted)));
        *asked.lock() = false;
        let waiting = scope.spawn(|| wait(&client));
        client.close();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
    assert!(matches!(wait(&client), Err(Error::Closed)));
    assert!(matches!(
        client.update_reported_properties(&json!({})),
        Err(Error::Closed)
    ));
}
