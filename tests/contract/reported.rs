//! Reported Properties: stored when stated, and brought to the Platform as what differs.

use serde_json::{Value, json};
use spotflow_device::DeviceClient;

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

fn wait_reported(stage: &Stage, wanted: &Value) {
    let is_there = |reported: &Value| reported == wanted;
    stage
        .platform
        .wait_for_reported(DEVICE, is_there, PATIENCE)
        .unwrap();
}

fn wait_confirmed(client: &DeviceClient) {
    eventually("the Platform confirms", || {
        !client.any_pending_reported_properties_updates()
    });
}

fn patches(stage: &Stage) -> Vec<Value> {
    stage.platform.reported_patches(DEVICE).unwrap()
}

#[test]
fn the_whole_document_is_stated_and_the_difference_is_sent() {
    let stage = Stage::new();
    let client = stage.start();
    let first = json!({"same": 1, "goes": 2, "deep": {"goes": 1, "stays": [1, 2]}});
    client.update_reported_properties(&first).unwrap();
    wait_reported(&stage, &first);
    wait_confirmed(&client);
    let second = json!({"same": 1, "new": true, "deep": {"stays": [1, 2]}});
    client.update_reported_properties(&second).unwrap();
    wait_reported(&stage, &second);
    wait_confirmed(&client);
    // What the Platform has already is not sent again.
    client.update_reported_properties(&second).unwrap();
    assert!(!client.any_pending_reported_properties_updates());
    client.update_reported_properties(&json!({})).unwrap();
    wait_reported(&stage, &json!({}));
    assert_eq!(
        patches(&stage),
        [
            first,
            json!({"goes": null, "new": true, "deep": {"goes": null}}),
            json!({"same": null, "new": null, "deep": null}),
        ]
    );
}

#[test]
fn a_null_means_that_the_property_is_absent() {
    let stage = Stage::new();
    let client = stage.start();
    client
        .update_reported_properties(&json!({"a": 1, "b": {"c": 2}}))
        .unwrap();
    wait_confirmed(&client);
    client
        .update_reported_properties(&json!({"a": null, "b": {"c": null, "d": 3}}))
        .unwrap();
    wait_reported(&stage, &json!({"b": {"d": 3}}));
    wait_confirmed(&client);
}

#[test]
fn what_is_pending_at_the_end_is_sent_by_the_next_run() {
    let stage = Stage::new();
    let client = stage.start();
    client
        .update_reported_properties(&json!({"a": 1, "b": 1}))
        .unwrap();
    wait_confirmed(&client);
    stage.cut_off();
    client
        .update_reported_properties(&json!({"overtaken": 1}))
        .unwrap();
    client.update_reported_properties(&json!({"a": 2})).unwrap();
    assert!(client.any_pending_reported_properties_updates());
    client.close();

    let client = stage.start();
    assert!(
        client.any_pending_reported_properties_updates(),
        "known before the link is up"
    );
    stage.platform.accept_connections(true).unwrap();
    wait_reported(&stage, &json!({"a": 2}));
    wait_confirmed(&client);
    assert_eq!(patches(&stage)[1..], [json!({"a": 2, "b": null})]);
}

#[test]
fn what_the_platform_could_not_take_now_is_sent_again() {
    for status in [429, 500, 503] {
        let stage = Stage::new();
        let client = stage.start();
        client.get_desired_properties().unwrap();
        stage.platform.twin_status(status, 1);
        client.update_reported_properties(&json!({"a": 1})).unwrap();
        wait_reported(&stage, &json!({"a": 1}));
        wait_confirmed(&client);
        assert_eq!(stage.platform.connection_count(), 1, "{status}");
    }
}

#[test]
fn what_the_platform_refuses_is_dropped_and_the_next_statement_goes() {
    let stage = Stage::new();
    let client = stage.start();
    client.get_desired_properties().unwrap();
    stage.platform.twin_status(400, 1);
    client
        .update_reported_properties(&json!({"bad": 1}))
        .unwrap();
    wait_confirmed(&client);
    assert_eq!(patches(&stage), [] as [Value; 0]);
    client
        .update_reported_properties(&json!({"good": 1}))
        .unwrap();
    wait_reported(&stage, &json!({"good": 1}));
    // Nor does the next run come back to it.
    client.close();
    let client = stage.start();
    sender(&client).send_message("connected").unwrap();
    wait_confirmed(&client);
    assert_eq!(patches(&stage), [json!({"good": 1})]);
}

#[test]
fn a_patch_whose_answer_was_lost_ends_right() {
    let stage = Stage::new();
    let client = stage.start();
    client.get_desired_properties().unwrap();
    stage.platform.withhold_twin_answers(true);
    client.update_reported_properties(&json!({"a": 1})).unwrap();
    // The Platform has applied it; the device cannot know.
    wait_reported(&stage, &json!({"a": 1}));
    assert!(client.any_pending_reported_properties_updates());
    client.update_reported_properties(&json!({"b": 2})).unwrap();
    stage.platform.withhold_twin_answers(false);
    stage.platform.close_connections();
    wait_reported(&stage, &json!({"b": 2}));
    wait_confirmed(&client);
    assert_eq!(
        patches(&stage),
        [json!({"a": 1}), json!({"a": null, "b": 2})]
    );
}

#[test]
fn a_device_that_was_created_anew_is_told_everything_again() {
    let stage = Stage::new();
    let client = stage.start();
    client.update_reported_properties(&json!({"a": 1})).unwrap();
    wait_confirmed(&client);
    stage.platform.reset_twin(DEVICE).unwrap();
    stage.platform.close_connections();
    wait_reported(&stage, &json!({"a": 1}));
    wait_confirmed(&client);
}

#[test]
fn statements_from_many_threads_end_with_one_of_them() {
    let stage = Stage::new();
    let client = stage.start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for i in 0..10 {
                    client
                        .update_reported_properties(&json!({ "thread": thread, "i": i }))
                        .unwrap();
                }
            });
        }
    });
    wait_confirmed(&client);
    let (reported, _) = stage.platform.reported(DEVICE).unwrap();
    assert_eq!(reported["i"], 9);
}
