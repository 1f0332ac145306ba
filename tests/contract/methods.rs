//! Direct methods: the cloud calls a function of the device, which holds up nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};
use spotflow_device::{Error, MethodError, MethodRequest, MethodResponse};
use spotflow_emulator::{DropReason, MethodAnswer};

use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

type Answer = Result<MethodResponse, MethodError>;

/// Calls a method as soon as the device can be called.
fn call(stage: &Stage, name: &str, body: &str) -> (u16, Value) {
    stage.wait_callable();
    let answer = stage
        .platform
        .call_method(DEVICE, name, body, PATIENCE)
        .unwrap();
    parts(&answer)
}

fn parts(answer: &MethodAnswer) -> (u16, Value) {
    (
        answer.status,
        serde_json::from_slice(&answer.payload).unwrap(),
    )
}

/// A handler that tells that it runs, and waits to be let go.
fn held() -> (
    impl Fn(&MethodRequest) -> Answer + Send + Sync + 'static,
    Receiver<()>,
    Sender<()>,
) {
    let (running, runs) = unbounded();
    let (release, released) = unbounded::<()>();
    let handler = move |_: &MethodRequest| {
        running.send(())?;
        released.recv_timeout(PATIENCE)?;
        Ok(MethodResponse::ok("held"))
    };
    (handler, runs, release)
}

#[test]
fn the_cloud_calls_a_method_and_gets_its_answer() {
    let stage = Stage::new();
    let _client = stage
        .device()
        .on_method("add", |request| {
            let (a, b): (i64, i64) = request.deserialize()?;
            Ok(MethodResponse::new(201, json!({ "sum": a + b })))
        })
        .on_other_methods(|request| {
            Ok(MethodResponse::ok(json!([
                request.name(),
                request.payload()
            ])))
        })
        .start()
        .unwrap();
    assert_eq!(call(&stage, "add", "[19, 23]"), (201, json!({ "sum": 42 })));
    assert_eq!(call(&stage, "a/b c", "null"), (200, json!(["a/b c", null])));
    assert_eq!(call(&stage, "empty", ""), (200, json!(["empty", null])));
}

#[test]
fn what_cannot_be_answered_by_a_handler_is_answered_with_the_documented_status() {
    let stage = Stage::new();
    let _client = stage
        .device()
        .on_method("fails", |_| Err("the password is hunter2".into()))
        .on_method("panics", |_| panic!("on purpose"))
        .on_method("is large", |_| {
            Ok(MethodResponse::ok("x".repeat(128 << 10)))
        })
        .start()
        .unwrap();
    for (name, body, status) in [
        ("fails", "1", 500),
        ("panics", "1", 500),
        ("is large", "1", 500),
        ("fails", "{", 400),
        ("is unknown", "1", 404),
    ] {
        let (answered, body) = call(&stage, name, body);
        assert_eq!(answered, status, "{name}: {body}");
        assert!(body["detail"].is_string(), "{name}: {body}");
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }
}

#[test]
fn more_calls_than_places_are_refused_at_once() {
    let stage = Stage::new();
    let (handler, runs, release) = held();
    let _client = stage
        .device()
        .on_method("held", handler)
        .method_threads(1)
        .start()
        .unwrap();
    stage.wait_callable();
    let begin = || {
        stage
            .platform
            .begin_method(DEVICE, "held", "1", PATIENCE)
            .unwrap()
    };
    let mut calls = vec![begin()];
    runs.recv_timeout(PATIENCE).unwrap();
    calls.extend((0..64).map(|_| begin()));
    let refused = stage
        .platform
        .call_method(DEVICE, "held", "1", PATIENCE)
        .unwrap();
    assert_eq!(parts(&refused).0, 503);
    for call in calls {
        release.send(()).unwrap();
        let answer = stage.platform.wait_for_method(call, PATIENCE).unwrap();
        assert_eq!(parts(&answer), (200, json!("held")));
    }
}

#[test]
fn a_handler_that_takes_long_holds_up_neither_messages_nor_properties() {
    let stage = Stage::new();
    let (handler, runs, release) = held();
    let client = stage.device().on_method("held", handler).start().unwrap();
    stage.wait_callable();
    let call = stage
        .platform
        .begin_method(DEVICE, "held", "1", PATIENCE)
        .unwrap();
    runs.recv_timeout(PATIENCE).unwrap();
    sender(&client).send_message("while it runs").unwrap();
    let version = stage
        .platform
        .set_desired(DEVICE, &json!({ "a": 1 }))
        .unwrap();
    eventually("properties come while it runs", || {
        client
            .get_desired_properties()
            .is_ok_and(|properties| properties.version() == version)
    });
    assert_eq!(stage.received(), ["while it runs"]);
    release.send(()).unwrap();
    let answer = stage.platform.wait_for_method(call, PATIENCE).unwrap();
    assert_eq!(parts(&answer).0, 200);
}

#[test]
fn an_answer_goes_out_on_the_connection_that_brought_the_call_or_not_at_all() {
    let stage = Stage::new();
    let (running, runs) = unbounded();
    let (ended, ends) = unbounded();
    let _client = stage
        .device()
        .on_method("waits", move |request| {
            running.send(())?;
            let begin = Instant::now();
            while !request.is_cancelled() && begin.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            ended.send(request.is_cancelled())?;
            Ok(MethodResponse::ok(Value::Null))
        })
        .on_method("ping", |_| Ok(MethodResponse::ok("pong")))
        .start()
        .unwrap();
    stage.wait_callable();
    stage
        .platform
        .begin_method(DEVICE, "waits", "1", PATIENCE)
        .unwrap();
    runs.recv_timeout(PATIENCE).unwrap();
    stage.platform.close_connections();
    assert!(
        ends.recv_timeout(PATIENCE).unwrap(),
        "the handler was not told"
    );
    // Behind this answer, of the next connection, there is none of the one before.
    eventually("the device can be called again", || {
        let answer = stage
            .platform
            .call_method(DEVICE, "ping", "1", Duration::from_secs(5));
        answer.is_ok_and(|answer| parts(&answer) == (200, json!("pong")))
    });
    assert_eq!(runs.try_iter().count(), 0, "a call is not repeated");
    let dropped = stage.platform.dropped_method_answers();
    let strays: Vec<_> = dropped
        .iter()
        .filter(|answer| !matches!(answer.reason, DropReason::Late))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn methods_are_subscribed_to_only_if_there_are_handlers() {
    let stage = Stage::new();
    let client = stage
        .device()
        .on_method("a", |_| Ok(MethodResponse::ok(1)))
        .start()
        .unwrap();
    stage.wait_callable();
    client.close();
    // The session in the hub has it still.
    let client = stage.start();
    sender(&client)
        .send_message("behind the subscriptions")
        .unwrap();
    eventually("the subscription is given up", || !stage.is_callable());
}

#[test]
fn close_waits_for_a_running_method_and_its_answer_goes_out() {
    let stage = Stage::new();
    let (running, runs) = unbounded();
    let client = stage
        .device()
        .on_method("ends with the client", move |request| {
            running.send(())?;
            let begin = Instant::now();
            while !request.is_cancelled() && begin.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            Ok(MethodResponse::ok("ended"))
        })
        .start()
        .unwrap();
    stage.wait_callable();
    let call = stage
        .platform
        .begin_method(DEVICE, "ends with the client", "1", PATIENCE)
        .unwrap();
    runs.recv_timeout(PATIENCE).unwrap();
    client.close();
    let answer = stage.platform.wait_for_method(call, PATIENCE).unwrap();
    assert_eq!(parts(&answer), (200, json!("ended")));
}

#[test]
fn a_handler_can_use_the_client_and_close_it() {
    let stage = Stage::new();
    let place = Arc::new(std::sync::OnceLock::<spotflow_device::DeviceClient>::new());
    let inside = Arc::clone(&place);
    let client = stage
        .device()
        .on_method("send and close", move |_| {
            let client = inside.get().ok_or("not yet")?;
            sender(client).send_message("from a method")?;
            client.close();
            Ok(MethodResponse::ok("closed"))
        })
        .start()
        .unwrap();
    place.get_or_init(|| client.clone());
    stage.wait_callable();
    stage
        .platform
        .begin_method(DEVICE, "send and close", "1", PATIENCE)
        .unwrap();
    eventually("it is closed", || {
        matches!(sender_error(&client), Some(Error::Closed))
    });
    assert_eq!(stage.received(), ["from a method"]);
}

fn sender_error(client: &spotflow_device::DeviceClient) -> Option<Error> {
    client.get_desired_properties().err()
}

#[test]
fn calls_and_messages_of_many_threads_come_through_together() {
    let stage = Stage::new();
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let client = stage
        .device()
        .on_method("count", move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(MethodResponse::ok(request.payload().clone()))
        })
        .start()
        .unwrap();
    stage.wait_callable();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (stage, client) = (&stage, &client);
            scope.spawn(move || {
                let sender = sender(client);
                for i in 0..50 {
                    sender.enqueue_message(format!("{thread}/{i}")).unwrap();
                    let body = json!([thread, i]);
                    let answer =
                        stage
                            .platform
                            .call_method(DEVICE, "count", body.to_string(), PATIENCE);
                    assert_eq!(parts(&answer.unwrap()), (200, body));
                }
            });
        }
    });
    client.wait_enqueued_messages_sent().unwrap();
    assert_eq!(handled.load(Ordering::Relaxed), 200);
    assert_eq!(stage.received().len(), 200);
}

#[test]
fn options_that_break_a_rule_are_refused_at_the_start() {
    let stage = Stage::new();
    let answer = |_: &MethodRequest| Ok(MethodResponse::ok(1));
    let twice = stage.device().on_method("a", answer).on_method("a", answer);
    let reserved = stage.device().on_method("!remote-access", answer);
    let none = stage.device().on_method("a", answer).method_threads(0);
    for (builder, named) in [
        (twice, "on_method"),
        (reserved, "on_method"),
        (none, "method_threads"),
    ] {
        let error = builder.start().unwrap_err();
        assert!(
            matches!(&error, Error::InvalidArgument { argument, .. } if *argument == named),
            "{error}"
        );
    }
}
