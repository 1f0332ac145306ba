use crossbeam_channel::{Receiver, Sender, unbounded as channel};
use serde_json::{Value, json};

use super::*;
use crate::clock::ShiftedClock;

const LIMIT: Duration = Duration::from_secs(30);

struct Wire(Sender<Answer>);

impl Answers for Wire {
    fn answer(&self, answer: Answer) {
        // A test that looks at no answer is gone.
        drop(self.0.send(answer));
    }
}

struct Rig {
    methods: Methods,
    answers: Receiver<Answer>,
    clock: Arc<ShiftedClock>,
    connection: Cancellation,
}

impl Rig {
    fn new(options: MethodOptions) -> Rig {
        let (sender, answers) = channel();
        let clock = Arc::new(ShiftedClock::default());
        let wire = Arc::new(Wire(sender));
        Rig {
            methods: Methods::new(options, None, wire, Arc::clone(&clock) as Arc<dyn Clock>),
            answers,
            clock,
            connection: Cancellation::default(),
        }
    }

    fn call(&self, name: &str, body: &str) {
        self.methods.receive(Call {
            name: name.to_owned(),
            body: body.to_owned().into(),
            request_id: "1f".to_owned(),
            connection: 7,
            cancellation: self.connection.clone(),
        });
    }

    fn answer(&self) -> (u16, Value) {
        let answer = self.answers.recv_timeout(LIMIT).unwrap();
        assert_eq!((answer.connection, answer.request_id.as_str()), (7, "1f"));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn close(&self) {
        self.methods.close(Instant::now() + LIMIT);
    }

    /// Behind this, there is no answer that was not looked at.
    fn assert_unanswered(&self) {
        self.close();
        assert!(self.answers.try_recv().is_err());
    }
}

fn options<const N: usize>(handlers: [(&str, Arc<Handler>); N]) -> MethodOptions {
    MethodOptions {
        by_name: handlers
            .map(|(name, handler)| (name.to_owned(), handler))
            .into(),
        ..MethodOptions::default()
    }
}

fn handler(
    run: impl Fn(&MethodRequest) -> Result<MethodResponse, MethodError> + Send + Sync + 'static,
) -> Arc<Handler> {
    Arc::new(run)
}

/// A handler that tells that it runs, then waits to be let go.
fn held() -> (Arc<Handler>, Receiver<()>, Sender<()>) {
    let (running, runs) = channel();
    let (release, released) = channel::<()>();
    let handler = handler(move |_| {
        running.send(())?;
        released.recv_timeout(LIMIT)?;
        Ok(MethodResponse::ok(Value::Null))
    });
    (handler, runs, release)
}

#[test]
fn a_handler_gets_the_payload_and_its_answer_goes_back() {
    let double = handler(|request| {
        let number: u64 = request.deserialize()?;
        Ok(MethodResponse::new(
            201,
            json!({ request.name(): 2 * number }),
        ))
    });
    let rig = Rig::new(options([("double", double)]));
    rig.call("double", "21");
    assert_eq!(rig.answer(), (201, json!({ "double": 42 })));
}

#[test]
fn an_empty_body_is_null() {
    let echo = handler(|request| Ok(MethodResponse::ok(request.payload().clone())));
    let rig = Rig::new(options([("echo", echo)]));
    rig.call("echo", "");
    assert_eq!(rig.answer(), (200, Value::Null));
}

#[test]
fn other_names_go_to_the_handler_of_all_others_or_are_unknown() {
    let by_name = handler(|_| Ok(MethodResponse::ok("by name")));
    let others = handler(|request| Ok(MethodResponse::ok(request.name())));
    let rig = Rig::new(MethodOptions {
        others: Some(others),
        ..options([("restart", Arc::clone(&by_name))])
    });
    rig.call("restart", "");
    assert_eq!(rig.answer(), (200, json!("by name")));
    rig.call("a/b", "");
    assert_eq!(rig.answer(), (200, json!("a/b")));

    let rig = Rig::new(options([("restart", by_name)]));
    rig.call("Restart", "");
    assert_eq!(rig.answer().0, 404);
}

#[test]
fn the_log_names_the_method_and_nothing_more_of_a_name_that_is_none() {
    let rig = Rig::new(options([]));
    let name = format!("reboot\n{}", "x".repeat(1000));
    let lines = crate::log_lines::of(|| rig.call(&name, ""));
    let shown = format!("\"reboot\\n{}…\"", "x".repeat(57));
    let expected = format!("the cloud called the method {shown}, which this device does not have");
    assert_eq!(lines, [expected]);
}

#[test]
fn a_body_that_is_no_json_is_refused_before_the_handler() {
    let rig = Rig::new(options([("any", handler(|_| panic!("called")))]));
    for body in ["{", "x", "1 2", "\u{1}"] {
        rig.call("any", body);
        assert_eq!(rig.answer().0, 400, "{body:?}");
    }
}

#[test]
fn what_fails_answers_500_and_tells_nothing_of_why() {
    let rig = Rig::new(options([
        ("fails", handler(|_| Err("the password is hunter2".into()))),
        ("panics", handler(|_| panic!("the password is hunter2"))),
        (
            "is large",
            handler(|_| Ok(MethodResponse::ok("x".repeat(128 << 10)))),
        ),
    ]));
    for name in ["fails", "panics", "is large"] {
        rig.call(name, "");
        let (status, body) = rig.answer();
        assert_eq!(status, 500, "{name}");
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }
}

#[test]
fn the_largest_answer_goes_through() {
    let large = handler(|_| Ok(MethodResponse::ok("x".repeat((128 << 10) - 2))));
    let rig = Rig::new(options([("large", large)]));
    rig.call("large", "");
    assert_eq!(rig.answer().0, 200);
}

#[test]
fn more_calls_than_places_are_answered_at_once_and_the_rest_still_runs() {
    let (handler, runs, release) = held();
    let rig = Rig::new(MethodOptions {
        threads: 1,
        ..options([("held", handler)])
    });
    rig.call("held", "");
    runs.recv_timeout(LIMIT).unwrap();
    for _ in 0..QUEUE_LENGTH {
        rig.call("held", "");
    }
    assert!(rig.answers.try_recv().is_err());
    rig.call("held", "");
    assert_eq!(rig.answer().0, 503);
    for _ in 0..=QUEUE_LENGTH {
        release.send(()).unwrap();
    }
    for _ in 0..=QUEUE_LENGTH {
        assert_eq!(rig.answer().0, 200);
    }
}

#[test]
fn as_many_run_at_once_as_there_are_threads() {
    let (entered, entries) = channel();
    let barrier = Arc::new(std::sync::Barrier::new(4));
    let handler = handler(move |_| {
        entered.send(())?;
        barrier.wait();
        Ok(MethodResponse::ok(Value::Null))
    });
    let rig = Rig::new(options([("meet", handler)]));
    for _ in 0..4 {
        rig.call("meet", "");
    }
    for _ in 0..4 {
        entries.recv_timeout(LIMIT).unwrap();
        assert_eq!(rig.answer().0, 200);
    }
}

#[test]
fn a_call_whose_connection_ended_is_cancelled_and_its_answer_dropped() {
    let (running, runs) = channel();
    let waits = handler(move |request| {
        running.send(())?;
        let begin = Instant::now();
        while !request.is_cancelled() {
            assert!(begin.elapsed() < LIMIT);
            std::thread::yield_now();
        }
        Ok(MethodResponse::ok(Value::Null))
    });
    let rig = Rig::new(options([("waits", waits)]));
    rig.call("waits", "");
    runs.recv_timeout(LIMIT).unwrap();
    rig.connection.cancel();
    // One that has not begun is not run at all.
    rig.call("waits", "");
    rig.assert_unanswered();
    assert!(runs.try_recv().is_err());
}

#[test]
fn a_call_that_waited_longer_than_any_hub_is_not_run() {
    let (handler, runs, release) = held();
    let rig = Rig::new(MethodOptions {
        threads: 1,
        ..options([("held", handler)])
    });
    rig.call("held", "");
    runs.recv_timeout(LIMIT).unwrap();
    rig.call("held", "");
    rig.clock.sleep(GIVEN_UP_AFTER);
    release.send(()).unwrap();
    assert_eq!(rig.answer().0, 200);
    // Its queue is worked off when a later call, of the only thread, is answered.
    rig.call("unknown", "");
    assert_eq!(rig.answer().0, 404);
    rig.call("held", "");
    runs.recv_timeout(LIMIT).unwrap();
    release.send(()).unwrap();
    assert_eq!(rig.answer().0, 200);
    rig.assert_unanswered();
}

#[test]
fn close_waits_for_a_handler_tells_it_and_runs_no_other() {
    let (running, runs) = channel();
    let waits = handler(move |request| {
        running.send(())?;
        let begin = Instant::now();
        while !request.is_cancelled() {
            assert!(begin.elapsed() < LIMIT);
            std::thread::yield_now();
        }
        Ok(MethodResponse::ok("ended"))
    });
    let rig = Rig::new(MethodOptions {
        threads: 1,
        ..options([("waits", waits)])
    });
    rig.call("waits", "");
    runs.recv_timeout(LIMIT).unwrap();
    rig.call("waits", "");
    rig.close();
    assert_eq!(rig.answer(), (200, json!("ended")));
    rig.call("waits", "");
    rig.assert_unanswered();
    assert!(runs.try_recv().is_err());
}

#[test]
fn close_leaves_a_handler_behind_that_does_not_end() {
    let (handler, runs, release) = held();
    let rig = Rig::new(options([("held", handler)]));
    rig.call("held", "");
    runs.recv_timeout(LIMIT).unwrap();
    rig.methods.close(Instant::now());
    release.send(()).unwrap();
    assert_eq!(rig.answer().0, 200);
}

#[test]
fn a_handler_can_close_the_client() {
    let rig = Arc::new(std::sync::OnceLock::<Rig>::new());
    let inside = Arc::clone(&rig);
    let close = handler(move |_| {
        let rig = inside.get().ok_or("not yet")?;
        assert!(rig.methods.is_own_thread());
        rig.close();
        Ok(MethodResponse::ok("closed"))
    });
    rig.get_or_init(|| Rig::new(options([("close", close)])));
    let rig = rig.get().unwrap();
    rig.call("close", "");
    assert_eq!(rig.answer(), (200, json!("closed")));
    assert!(!rig.methods.is_own_thread());
}

#[test]
fn options_that_contradict_themselves_are_refused() {
    let any = || handler(|_| Ok(MethodResponse::ok(Value::Null)));
    let twice = options([("a", any()), ("b", any()), ("a", any())]);
    let reserved = options([("!remote-access", any())]);
    let empty = options([("", any())]);
    let threads = |threads| MethodOptions {
        threads,
        ..MethodOptions::default()
    };
    for options in [twice, reserved, empty, threads(0), threads(THREADS_MAX + 1)] {
        let error = options.validate().unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    }
    options([("a", any()), ("b/c", any())]).validate().unwrap();
}
