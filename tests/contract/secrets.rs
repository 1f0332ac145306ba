//! Secrets stay secret: no token, SAS value or upload link in a log line, an error or a Debug
//! output; and no file that others can read.
//!
//! The log is looked at from debug level upwards. At trace level the HTTP library prints its
//! requests; whoever turns that on, for that target, sees tokens.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use spotflow_device::{Compression, DeviceClient, Error};
use spotflow_emulator::{Platform, Route};

use crate::support::{
    DEVICE, LogCapture, PATIENCE, Seen, Stage, eventually, in_a_process_of_its_own, registration,
    sender,
};

/// What a scenario said to people, and what must not be in it.
struct Watch {
    log: &'static LogCapture,
    said: Arc<Seen<String>>,
    secrets: Vec<String>,
}

impl Watch {
    fn new() -> Watch {
        Watch {
            log: LogCapture::install(),
            said: Seen::new(),
            secrets: Vec::new(),
        }
    }

    /// Adds a secret, in the forms in which it can show.
    fn keep_secret(&mut self, secret: &str) {
        assert!(
            secret.len() >= 8,
            "too short to be found for certain: {secret:?}"
        );
        let base64_in_a_url = secret
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        self.secrets.extend([secret.to_owned(), base64_in_a_url]);
    }

    fn said(&self, value: &impl Debug) {
        self.said.push(format!("{value:?}"));
    }

    fn error(&self, error: &Error) {
        self.said(error);
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
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

    fn check(&self) {
        let logged = self.log.lines().into_iter().map(|line| line.text);
        let texts: Vec<String> = logged.chain(self.said.all()).collect();
        assert!(texts.len() > 20, "there is something to look at: {texts:?}");
        for text in &texts {
            for secret in &self.secrets {
                assert!(!text.contains(secret.as_str()), "{secret:?} is in {text:?}");
            }
            // Whatever it is that follows, it should not be there.
            for mark in ["SharedAccessSignature sr=", "sig=", "DeviceToken "] {
                assert!(!text.contains(mark), "{mark:?} is in {text:?}");
            }
        }
    }
}

/// The tokens that a database file holds. The client must be closed.
fn stored_tokens(stage: &Stage) -> Vec<String> {
    let database = Connection::open(stage.database()).unwrap();
    let tables: Vec<String> = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut tokens = Vec::new();
    for table in tables {
        let mut statement = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<usize> = (0..statement.column_count())
            .filter(|index| statement.column_name(*index).unwrap().contains("token"))
            .collect();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            tokens.extend(
                columns
                    .iter()
                    .filter_map(|index| row.get::<_, String>(*index).ok()),
            );
        }
    }
    tokens
}

/// A device's life with all that commonly goes wrong in it.
fn scenario(watch: &mut Watch) {
    let stage = Stage::new();
    watch.keep_secret(&stage.platform.provisioning_token());
    let said = Arc::clone(&watch.said);
    let builder = || {
        let (operations, changes) = (Arc::clone(&said), Arc::clone(&said));
        stage
            .device()
            .on_provisioning(move |operation| operations.push(format!("{operation:?} {operation}")))
            .on_connection_change(move |change| changes.push(format!("{change:?}")))
    };

    // The Platform is out of order at first, then lets the device in.
    stage.platform.http_status(Route::Init, 503, None, 1);
    stage.platform.http_status(Route::Complete, 500, None, 1);
    stage.platform.http_status(Route::Register, 500, None, 1);
    let client = builder().start().unwrap();
    let sender = sender(&client);
    watch.said(&client);
    watch.said(&sender);
    sender.send_message("a reading").unwrap();

    // Uploads fail at each step; one is sent where nobody speaks TLS, one is not told where at all.
    let storage = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = |host: &str| {
        json!({
            "correlationId": "correlation", "hostName": host, "containerName": "container",
            "blobName": "blob", "sasToken": "?sv=1&sig=upload-link-secret&sp=rw",
        })
        .to_string()
    };
    watch.keep_secret("upload-link-secret");
    let broken_place = r#"{"correlationId": "c", "sasToken": "?sig=upload-link-secret"}"#;
    let address = storage.local_addr().unwrap().to_string();
    for body in [
        place(&address),
        place("not a host"),
        broken_place.to_owned(),
    ] {
        stage.platform.http_body(Route::FileUpload, body, 1);
    }
    stage.platform.http_status(Route::BlobPut, 403, None, 1);
    let garbled = std::thread::spawn(move || {
        let (mut connection, _) = storage.accept().unwrap();
        connection.read_exact(&mut [0; 5]).unwrap();
        connection
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    sender.enqueue_message(vec![7; 300_000]).unwrap();
    client.wait_enqueued_messages_sent().unwrap();
    garbled.join().unwrap();
    watch.status(&client);

    // Credentials are refused, expire, and come broken.
    stage.platform.refuse_connects(5, Some(1));
    let sas = "SharedAccessSignature sr=hub&sig=registration-secret&se=1";
    watch.keep_secret("registration-secret");
    for answer in [
        json!({"connectionString": format!("DeviceId=w:d;SharedAccessSignature={sas}")})
            .to_string(),
        json!({"connectionString": ["registration-secret"]}).to_string(),
        format!("registration-secret {sas}"),
    ] {
        stage.platform.http_body(Route::Register, answer, 1);
    }
    stage.platform.expire_sas(DEVICE).unwrap();
    sender.send_message("another reading").unwrap();
    watch.status(&client);
    let before = stored_before_close(&client, &stage);
    before.iter().for_each(|token| watch.keep_secret(token));

    // The device was deleted meanwhile: provisioned anew, with another token.
    let client = builder().start().unwrap();
    stage.platform.revoke_registration_tokens(DEVICE).unwrap();
    stage.platform.expire_sas(DEVICE).unwrap();
    self::sender(&client)
        .send_message("a third reading")
        .unwrap();
    watch.status(&client);
    let after = stored_before_close(&client, &stage);
    assert_ne!(before, after);
    after.iter().for_each(|token| watch.keep_secret(token));

    // Starts that fail, for reasons that have to do with tokens.
    let unknown = "an-unknown-provisioning-token";
    watch.keep_secret(unknown);
    let start = |token: &str, name: &str| {
        DeviceClient::builder(token, stage.directory.path().join(name))
            .instance(stage.platform.instance())
            .ca_file(stage.platform.ca_file())
            .start()
            .unwrap_err()
    };
    watch.error(&start(unknown, "unknown.db"));
    watch.keep_secret("a-token\nwith-an-end-of-line");
    watch.error(&start("a-token\nwith-an-end-of-line", "invalid.db"));
}

/// The hub's password is in the connection string only: it is looked for by its marks.
fn stored_before_close(client: &DeviceClient, stage: &Stage) -> Vec<String> {
    client.close();
    let tokens = stored_tokens(stage);
    assert!(
        tokens.len() >= 2,
        "the Provisioning Token and the Registration Token"
    );
    tokens
}

#[test]
fn no_secret_is_logged_or_shown() {
    in_a_process_of_its_own("secrets::no_secret_is_logged_or_shown", || {
        let mut watch = Watch::new();
        scenario(&mut watch);
        watch.check();

        // The check itself: each kind of leak, where it could show.
        for secret in watch.secrets.clone() {
            let mut leaking = Watch::new();
            leaking.secrets.clone_from(&watch.secrets);
            leaking.said.push(format!("an answer with {secret} in it"));
            assert_fails(&leaking);
        }
        for mark in [
            "?sv=2018&sig=abc",
            "SharedAccessSignature sr=x",
            "DeviceToken x",
        ] {
            let leaking = Watch::new();
            leaking.said.push(mark.to_owned());
            assert_fails(&leaking);
        }
        log::debug!("planted: {}", watch.secrets[0]);
        assert_fails(&watch);
    });
}

fn assert_fails(watch: &Watch) {
    let silent = catch_unwind(AssertUnwindSafe(|| watch.check())).is_ok();
    assert!(!silent, "a leak is found");
}

#[test]
fn a_hub_that_is_not_what_the_registration_says_hears_no_password() {
    let stage = Stage::new();
    let foreign = Platform::start().unwrap();
    let hub_device = format!("{}:{DEVICE}", stage.platform.workspace_id());
    let answer = registration(
        &foreign.hub_host_name(),
        &hub_device,
        std::time::Duration::from_secs(3600),
    );
    stage.platform.http_body(Route::Register, answer, 1);
    let client = stage.start();
    sender(&client).enqueue_message(vec![7; 300_000]).unwrap();
    eventually("it is told", || {
        matches!(client.status().last_error, Some(Error::Tls { .. }))
    });
    client.close();
    assert_eq!(foreign.connection_count(), 0);
    assert!(foreign.http_requests().is_empty());
}

#[cfg(unix)]
#[test]
fn every_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    let client = stage.start();
    let sender = client
        .create_stream_sender(None, None, Compression::Uncompressed)
        .unwrap();
    sender.enqueue_message(vec![7; 300_000]).unwrap();
    stage
        .platform
        .wait_for_connected(DEVICE, true, PATIENCE)
        .unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(stage.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["device.db", "device.db-lock", "device.db-wal"]);
}
