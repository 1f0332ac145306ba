//! Secrets stay secret whatever fails: no piece of a token, a SAS or an upload link in a line of the log
//! (at trace level, but for ureq's, which are looked at up to debug level), a text of an error, or a Debug
//! output.
//!
//! Every other test here and in the contract looks at its log alike, at the end of its `Stage`.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use spotflow_device::{DeviceClient, DeviceClientBuilder, Error, Message};
use spotflow_emulator::{Approval, Platform, RawAnswer, Route};

use crate::support::leaks::{Leaks, Text};
use crate::support::{
    DEVICE, LogCapture, LogLine, PATIENCE, Seen, Stage, eventually, in_a_process_of_its_own,
    registration, sender,
};

/// What precedes or is around secrets: whatever it is that follows, it should not be there.
const MARKS: [&str; 4] = [
    "SharedAccessSignature sr=",
    "sig=",
    "DeviceToken ",
    "sr=hub",
];

type Scenario = Box<dyn Fn(&mut Watch) + Send>;

/// More would take long, as the device waits twice as long after each.
const BROKEN_AT_ONCE: usize = 3;

/// All that is said to people, and the secrets beside those of the Stages.
struct Watch {
    said: Arc<Seen<String>>,
    secrets: Vec<String>,
}

impl Watch {
    fn new() -> Watch {
        LogCapture::install();
        Watch {
            said: Seen::new(),
            secrets: Vec::new(),
        }
    }

    /// A secret for an answer that no Platform gives.
    fn invent(&mut self) -> String {
        let secret = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        self.secrets.push(secret.clone());
        secret
    }

    fn learn(&mut self, stage: &Stage) {
        self.secrets.extend(stage.platform.secrets());
    }

    fn said(&self, value: &(impl Debug + ?Sized)) {
        self.said.push(format!("{value:?}"));
        self.said.push(format!("{value:#?}"));
    }

    fn error(&self, error: &Error) {
        self.said(error);
        self.said.push(error.chain().to_string());
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            self.said(error);
            self.said.push(error.to_string());
            cause = error.source();
        }
    }

    fn status(&self, client: &DeviceClient) {
        self.said(&client.status());
        if let Some(error) = client.status().last_error {
            self.error(&error);
        }
    }

    /// The Stage's device, which tells here all that it tells its application.
    fn device(&self, stage: &Stage) -> DeviceClientBuilder {
        let (operations, changes) = (Arc::clone(&self.said), Arc::clone(&self.said));
        let desired = Arc::clone(&self.said);
        stage
            .device()
            .on_provisioning(move |operation| operations.push(format!("{operation:?} {operation}")))
            .on_connection_change(move |change| changes.push(format!("{change:?}")))
            .on_desired_properties(move |properties| desired.push(format!("{properties:?}")))
    }

    fn texts(&self) -> Vec<Text> {
        let logged = LogCapture::install().lines();
        let logged = logged.into_iter().map(|line| Text {
            source: line.target,
            text: line.text,
        });
        let said = self.said.all().into_iter().map(|text| Text {
            source: "said".to_owned(),
            text,
        });
        logged.chain(said).collect()
    }

    fn leaks(&self) -> Vec<String> {
        let texts = self.texts();
        assert!(texts.len() > 100, "there is something to look at");
        let mut leaks = Leaks::of(self.secrets.iter().cloned()).find(&texts);
        for Text { source, text } in texts {
            let marks = MARKS.iter().filter(|mark| text.contains(**mark));
            leaks.extend(marks.map(|mark| format!("{mark:?} in {source}: {text:?}")));
        }
        leaks
    }
}

/// An answer that says what it was asked with, as a server that explains too much does.
fn answer(status: u16, body: &str) -> RawAnswer {
    let length = body.len();
    // Refusals count only in the Platform's form.
    RawAnswer::new(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ))
}

/// Broken answers in which there are secrets: cut, too long, no JSON, no HTTP, of other types.
fn broken(secret: &str) -> Vec<RawAnswer> {
    let sas = format!("SharedAccessSignature sr=hub&sig={secret}&se=1");
    vec![
        answer(200, &json!({"connectionString": [secret], "registrationToken": [secret]}).to_string()),
        answer(200, &json!({"connectionString": format!("DeviceId=w:d;SharedAccessSignature={sas}")}).to_string()),
        answer(200, &json!({"connectionString": format!("HostName=h;DeviceId={secret};SharedAccessSignature={sas}")}).to_string()),
        answer(200, &json!({"registrationToken": {"token": secret}, "sasToken": sas}).to_string()),
        answer(200, &format!("{sas} {secret}")),
        answer(500, &json!({"title": 5, "detail": [secret]}).to_string()),
        answer(200, &format!("{secret}{}", " ".repeat(70_000))),
        RawAnswer::new(format!("HTTP/1.1 200 X\r\nContent-Length: 999\r\n\r\n{secret}")),
        RawAnswer::new(format!("HTTP/1.1 200 X\r\nContent-Length: {secret}\r\n\r\n")),
        RawAnswer::new(format!("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{secret}x\r\n")),
        RawAnswer::new(format!("{secret} {sas}\r\n\r\n")),
        RawAnswer::new(secret).reset(),
    ]
}

/// From the first start to the end, with all that goes wrong at the API on the way.
fn registration_fails_in_every_way(watch: &mut Watch) {
    let stage = Stage::new();
    let token = stage.platform.provisioning_token();
    // What the Platform repeats of the token, whole, is blotted out.
    let echo = json!({"title": "Bad", "detail": format!("DeviceToken {token}")}).to_string();
    for route in [Route::Init, Route::Complete, Route::Register] {
        stage.platform.http_status(route, 503, None, 1);
    }
    stage.platform.http_raw(
        Route::Init,
        answer(503, &echo.replace("DeviceToken ", "")),
        1,
    );
    let client = watch.device(&stage).start().unwrap();
    let sender = sender(&client);
    sender.send_message("a reading").unwrap();
    watch.said(&client);
    watch.said(&sender);
    watch.said(&client.get_desired_properties());
    watch.said(&Message::new("a payload"));

    stage.platform.refuse_connects(5, Some(1));
    stage.platform.close_connections();
    sender.send_message("another reading").unwrap();

    // The device was deleted meanwhile: provisioned anew.
    stage.platform.revoke_registration_tokens(DEVICE).unwrap();
    stage.platform.expire_sas(DEVICE).unwrap();
    sender.send_message("a third reading").unwrap();
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// A call that a new device makes is answered by nonsense with secrets in it, some times over.
fn answers_are_broken(watch: &mut Watch, route: Route, first: usize) {
    let stage = Stage::new();
    let secret = watch.invent();
    for answer in broken(&secret).into_iter().skip(first).take(BROKEN_AT_ONCE) {
        stage.platform.http_raw(route, answer, 1);
    }
    let client = watch.device(&stage).start().unwrap();
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// The Registration Token is refreshed, at first without success.
fn refreshes_fail(watch: &mut Watch) {
    let lifetime = Some(Duration::from_secs(4));
    let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
    let secret = watch.invent();
    let client = watch.device(&stage).start().unwrap();
    for answer in broken(&secret).into_iter().take(BROKEN_AT_ONCE) {
        stage.platform.http_raw(Route::Refresh, answer, 1);
    }
    let refreshed = stage
        .platform
        .wait_for_request(Route::Refresh, BROKEN_AT_ONCE + 1, PATIENCE);
    refreshed.unwrap();
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// Large content is sent where it should not go.
fn uploads_are_misled(watch: &mut Watch) {
    let secret = watch.invent();
    let storage = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = |host: &str, token: &str| {
        json!({
            "correlationId": "correlation", "hostName": host, "containerName": "container",
            "blobName": "blob", "sasToken": token,
        })
        .to_string()
    };
    let link = format!("?sv=1&sig={secret}&sp=rw");
    let address = storage.local_addr().unwrap().to_string();
    let garbled = std::thread::spawn(move || {
        let (mut connection, _) = storage.accept().unwrap();
        connection.read_exact(&mut [0; 5]).unwrap();
        connection
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let places = [
        place(&address, &link),
        place(&link, &link),
        place(&address, &format!("?sig={secret} with a space")),
        place("127.0.0.1:1", &link),
    ];
    an_upload_survives(watch, |platform| {
        for body in places {
            platform.http_body(Route::FileUpload, body, 1);
        }
    });
    garbled.join().unwrap();
}

/// Large content is refused and cut off at each step.
fn uploads_fail(watch: &mut Watch) {
    let secret = watch.invent();
    let link = format!("?sv=1&sig={secret}&sp=rw");
    an_upload_survives(watch, |platform| {
        platform.http_status(Route::FileUpload, 401, None, 1);
        platform.http_raw(Route::BlobPut, answer(413, &link).early(), 1);
        platform.http_raw(Route::BlobPut, answer(500, &link).reset(), 1);
        platform.http_status(Route::BlobPut, 403, None, 1);
        platform.http_status(Route::FileNotification, 500, None, 1);
    });
}

fn an_upload_survives(watch: &mut Watch, faults: impl FnOnce(&Platform)) {
    let stage = Stage::new();
    faults(&stage.platform);
    let client = watch.device(&stage).start().unwrap();
    sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    waited.expect("it arrives in the end");
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// Large content is refused for good, and set aside with a reason.
fn content_is_set_aside(watch: &mut Watch) {
    let stage = Stage::new();
    stage.platform.http_status(Route::BlobPut, 400, None, 5);
    let client = watch.device(&stage).start().unwrap();
    sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
    watch.said(&client.set_aside_messages().unwrap());
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// The network is cut, and the hub is not what it should be.
fn the_network_fails(watch: &mut Watch) {
    let stage = Stage::new();
    let foreign = Platform::start().unwrap();
    let client = watch.device(&stage).start().unwrap();
    stage.cut_off();
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let hub = foreign.hub_host_name();
    let answer = registration(&hub, &hub_device, Duration::from_secs(3600));
    stage.platform.http_body(Route::Register, answer, 1);
    stage.platform.expire_sas(DEVICE).unwrap();
    sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
    stage.platform.accept_connections(true).unwrap();
    eventually("it is told", || {
        matches!(client.status().last_error, Some(Error::Tls { .. }))
    });
    watch.status(&client);
    client.close();
    watch.learn(&stage);
}

/// Starts that fail, for reasons that have to do with tokens.
fn starts_fail(watch: &mut Watch) {
    let stage = Stage::with(Platform::builder().approval(Approval::Manual));
    let (unknown, secret) = (watch.invent(), watch.invent());
    let device = |token: &str| {
        DeviceClient::builder(token, stage.database())
            .instance(stage.platform.instance())
            .ca_file(stage.platform.ca_file())
    };
    let token = stage.platform.provisioning_token();
    watch.error(&device(&unknown).start().unwrap_err());
    watch.error(&device(&format!("{secret}\nX: y")).start().unwrap_err());
    watch.error(
        &device(&token)
            .instance(format!("user:{secret}@host"))
            .start()
            .unwrap_err(),
    );
    watch.error(
        &device(&token)
            .device_id(format!("{secret}/"))
            .start()
            .unwrap_err(),
    );
    let echo = json!({"title": "Bad", "detail": format!("the token {token} is bad")}).to_string();
    stage.platform.http_raw(Route::Init, answer(400, &echo), 1);
    watch.error(&device(&token).start().unwrap_err());
    let platform = &stage.platform;
    std::thread::scope(|scope| {
        let start = scope.spawn(|| watch.device(&stage).start().unwrap_err());
        let operation = platform.wait_for_operation(PATIENCE).unwrap();
        platform.refuse(&operation.id).unwrap();
        watch.error(&start.join().unwrap());
    });
    watch.learn(&stage);
}

#[test]
fn no_secret_is_logged_or_shown_whatever_fails() {
    in_a_process_of_its_own(
        "secrets::no_secret_is_logged_or_shown_whatever_fails",
        || {
            let mut scenarios: Vec<Scenario> = vec![
                Box::new(registration_fails_in_every_way),
                Box::new(refreshes_fail),
                Box::new(uploads_are_misled),
                Box::new(uploads_fail),
                Box::new(content_is_set_aside),
                Box::new(the_network_fails),
                Box::new(starts_fail),
            ];
            for route in [Route::Init, Route::Complete, Route::Register] {
                for first in (0..broken("").len()).step_by(BROKEN_AT_ONCE) {
                    scenarios.push(Box::new(move |watch| {
                        answers_are_broken(watch, route, first)
                    }));
                }
            }
            let watches: Vec<Watch> = std::thread::scope(|scope| {
                let start = |scenario: Scenario| {
                    scope.spawn(move || {
                        let mut watch = Watch::new();
                        scenario(&mut watch);
                        watch
                    })
                };
                let running: Vec<_> = scenarios.into_iter().map(start).collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            let mut all = Watch::new();
            for watch in watches {
                all.secrets.extend(watch.secrets);
                watch
                    .said
                    .all()
                    .into_iter()
                    .for_each(|text| all.said.push(text));
            }
            assert!(all.secrets.len() > 30, "{}", all.secrets.len());
            assert_eq!(all.leaks(), [""; 0]);

            // The check itself: each kind of leak, where it could show.
            for mark in MARKS {
                let leaking = Watch::new();
                leaking.said.push(format!("{mark}x"));
                assert_eq!(leaking.leaks().len(), 1, "{mark}");
            }
            let secret = all.invent();
            all.said.push(format!("an answer with {secret} in it"));
            assert_eq!(all.leaks().len(), 1);
        },
    );
}

#[test]
fn a_test_that_logs_a_secret_fails() {
    let plants: [fn(&str); 5] = [
        |secret| log::trace!("an answer with {secret} in it"),
        |secret| log::trace!("{}", &secret[3..17]),
        |secret| {
            for row in secret.as_bytes().chunks(8) {
                log::trace!("{}", String::from_utf8_lossy(row));
            }
        },
        |secret| {
            for row in secret.as_bytes().chunks(16) {
                log::trace!("{row:02x?}");
            }
        },
        |secret| log::debug!("{:?}", secret.as_bytes()),
    ];
    for plant in plants {
        let stage = Stage::new();
        let client = stage.start();
        assert_eq!(stage.log.leaks(), [""; 0]);
        for secret in stage.platform.secrets() {
            let stage = Stage::with(Platform::builder().provisioning_token(secret.clone()));
            plant(&secret);
            assert_ne!(stage.log.leaks(), [""; 0]);
            let ended = catch_unwind(AssertUnwindSafe(|| drop(stage)));
            assert!(ended.is_err(), "it is found at the end");
        }
        client.close();
        // It was planted in this one's time, too.
        assert!(catch_unwind(AssertUnwindSafe(|| drop(stage))).is_err());
    }
}

#[test]
fn a_client_warns_of_an_http_log_that_would_hold_secrets_which_these_tests_would_find() {
    let name = "secrets::a_client_warns_of_an_http_log_that_would_hold_secrets_which_these_tests_would_find";
    in_a_process_of_its_own(name, || {
        let log = LogCapture::install();
        let warnings = || {
            let lines = log.lines().into_iter();
            let is_warning = |line: &LogLine| line.level == log::Level::Warn;
            lines
                .filter(|line| is_warning(line) && line.text.contains("ureq"))
                .count()
        };
        let run = || {
            let stage = Stage::new();
            let client = stage.start();
            sender(&client).send_message(vec![7; 300_000]).unwrap();
            client.close();
            stage
        };
        drop(run());
        assert_eq!(warnings(), 0);
        for (number, target) in ["ureq_proto", "ureq::util"].into_iter().enumerate() {
            log.trace(Some(target));
            let stage = run();
            assert_ne!(stage.log.leaks(), [""; 0], "{target}");
            assert_eq!(warnings(), number + 1, "one a start");
            log.trace(None);
            let ended = catch_unwind(AssertUnwindSafe(|| drop(stage)));
            assert!(ended.is_err(), "it is found at the end");
        }
    });
}
