use super::*;
use crate::error::Chain;
use crate::http::peer::{Peer, json};
use crate::identity::HubDeviceId;
use spotflow_emulator::Route;
use spotflow_fuzz::fuzz;

fn place(host_name: &str, blob_name: &str, sas_token: &str) -> Place {
    Place {
        correlation_id: "1".into(),
        host_name: host_name.into(),
        container_name: "files".into(),
        blob_name: blob_name.into(),
        sas_token: sas_token.into(),
    }
}

/// A hub and blob store in one: answers the three steps with these statuses.
fn peer(place: u16, put: u16, notification: u16) -> Peer {
    let peer = Peer::start();
    let body = json!({
        "correlationId": "corr", "hostName": peer.platform.instance(),
        "containerName": "device-uploads", "blobName": "ws:dev/uuid", "sasToken": "?sv=1&sig=hunter2",
    });
    let answers = [
        (Route::FileUpload, json(place, &body.to_string())),
        (Route::BlobPut, json(put, "")),
        (Route::FileNotification, json(notification, "")),
    ];
    for (route, answer) in answers {
        peer.platform.http_raw(route, answer, u64::MAX);
    }
    peer
}

fn run(peer: &Peer, content: &[u8]) -> Result<(), UploadError> {
    let credentials = HubCredentials {
        host_name: peer.platform.instance(),
        device: HubDeviceId::parse("ws:dev").unwrap(),
        sas: Secret::new("SharedAccessSignature sr=h&sig=hunter2&se=1"),
        lifetime: None,
    };
    let agent = peer.agent();
    let hub = UploadHub::new(&agent, &credentials).unwrap();
    let place = hub.ask_for_place("uuid")?;
    let body = StreamedBody {
        bytes: content.len() as u64,
        reader: &mut &content[..],
    };
    match place.put(&agent, body) {
        Ok(()) => hub.notify_success(&place.correlation_id),
        Err(error) => {
            hub.notify_failure(&place.correlation_id).unwrap();
            Err(error)
        }
    }
}

#[test]
fn the_three_steps_are_taken_in_order() {
    let content: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let peer = peer(200, 201, 204);
    run(&peer, &content).unwrap();
    let [ask, put, notify] = &peer.requests()[..] else {
        panic!("not three requests");
    };
    assert!(
        ask.head
            .starts_with("POST /devices/ws:dev/files?api-version=2020-03-13 ")
    );
    assert!(
        ask.head
            .contains(": SharedAccessSignature sr=h&sig=hunter2&se=1\r\n")
    );
    assert_eq!(ask.json(), json!({ "blobName": "uuid" }));
    assert!(
        put.head
            .starts_with("PUT /device-uploads/ws:dev/uuid?sv=1&sig=hunter2 ")
    );
    assert!(put.head.contains("x-ms-blob-type: BlockBlob\r\n"));
    assert!(!put.head.to_ascii_lowercase().contains("authorization"));
    assert!(put.body == content);
    assert!(
        notify
            .head
            .starts_with("POST /devices/ws:dev/files/notifications?api-version=2020-03-13 ")
    );
    let done = json!({
        "correlationId": "corr", "isSuccess": true, "statusCode": 200, "statusDescription": "Done",
    });
    assert_eq!(notify.json(), done);
}

#[test]
fn a_failed_put_can_be_notified_and_tells_whether_to_try_again() {
    for (status, transient) in [(403, true), (503, true), (400, false)] {
        let peer = peer(200, status, 204);
        let error = run(&peer, b"x").unwrap_err();
        assert_eq!(
            matches!(error, UploadError::Transient(_)),
            transient,
            "{error:?}"
        );
        assert!(!format!("{error:?} {}", Chain(error.error())).contains("hunter2"));
        let notification = peer.request().json();
        assert_eq!(notification["isSuccess"], json!(false));
        assert_eq!(notification["correlationId"], json!("corr"));
    }
}

#[test]
fn a_hub_that_refuses_the_sas_wants_a_new_registration() {
    for status in [401, 403, 404] {
        let peer = peer(status, 201, 204);
        let error = run(&peer, b"x").unwrap_err();
        assert!(
            matches!(error, UploadError::CredentialsRefused(_)),
            "{error:?}"
        );
        assert_eq!(peer.requests().len(), 1);
    }
}

#[test]
fn an_answer_that_names_no_usable_place_is_transient_and_not_repeated() {
    for body in ["", "[]", r#"{"sasToken": ["hunter2"]}"#] {
        let peer = Peer::json(200, body);
        let error = run(&peer, b"x").unwrap_err();
        assert!(matches!(
            error,
            UploadError::Transient(Error::Protocol { .. })
        ));
        assert!(!format!("{error:?} {}", Chain(error.error())).contains("hunter2"));
    }
}

fn link(host_name: &str, blob_name: &str, sas_token: &str) -> Option<String> {
    let (host, target) = place(host_name, blob_name, sas_token).address()?;
    Some(format!("{}{target}", host.authority(HTTPS_PORT)))
}

#[test]
fn the_link_is_made_of_the_hubs_answer() {
    let link = link("blob.example:8443", "ws:dev/u-1", "?sv=1&sig=a%2B=");
    let expected = "blob.example:8443/files/ws:dev/u-1?sv=1&sig=a%2B=";
    assert_eq!(link.as_deref(), Some(expected));
}

#[test]
fn a_hostile_place_cannot_redirect_or_split_the_request() {
    for host in ["", "a/b", "u@a", "a?b", "a b", "a\r\nX: y"] {
        assert_eq!(link(host, "b", "?s"), None, "{host:?}");
    }
    for token in ["?a b", "?a\r\nX: y", "?a#b", "?ä"] {
        assert_eq!(link("h", "b", token), None, "{token:?}");
    }
    let link = link("h", "a?b#c d%\r\n", "?s");
    assert_eq!(link.as_deref(), Some("h/files/a%3Fb%23c%20d%25%0D%0A?s"));
}

#[test]
fn statuses_tell_whether_to_try_again() {
    for status in [408, 429, 500, 503, 302, 100] {
        assert!(
            matches!(refusal(status), UploadError::Transient(_)),
            "{status}"
        );
    }
    for status in [400, 404, 409, 413] {
        assert!(
            matches!(refusal(status), UploadError::Permanent(_)),
            "{status}"
        );
    }
}

#[test]
fn fuzz_a_place_is_an_address_of_its_own_host_or_none() {
    fuzz("a place for content", |choices| {
        let fields = [
            ("correlationId", "hunter2-correlation"),
            ("hostName", "blob.example:8443"),
            ("containerName", "files"),
            ("blobName", "ws:dev/a-name"),
            (
                "sasToken",
                "?sv=2018-03-28&sr=b&sig=hunter2%2B%3D&se=2026-11-22T12%3A00%3A00Z&sp=rw",
            ),
        ];
        let mut answer = json!({ "other": choices.json(1) });
        for (field, value) in fields {
            match choices.byte() % 16 {
                0 => {}
                1 => answer[field] = choices.json(1),
                2 => answer[field] = choices.text().into(),
                3..=7 => answer[field] = choices.damaged_text(value).into(),
                _ => answer[field] = value.into(),
            }
        }
        let mut body = answer.to_string().into_bytes();
        if choices.one_in(4) {
            choices.damage(&mut body);
        }
        let Ok(place) = serde_json::from_slice::<Place>(&body) else {
            return;
        };
        let Some((host, target)) = place.address() else {
            return;
        };
        // One line of a request, and nothing in it that ends the path or the query before its end.
        assert!(
            target.bytes().all(|b| b.is_ascii_graphic() && b != b'#'),
            "{target:?}"
        );
        let (path, query) = target.split_once('?').unwrap();
        assert!(path.starts_with('/'));
        let query_sent = place
            .sas_token
            .strip_prefix('?')
            .unwrap_or(&place.sas_token);
        assert_eq!(query, query_sent);
        let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
        let expected = format!("/{}/{}", place.container_name, place.blob_name);
        assert_eq!(decoded, expected.as_bytes());
        let shown = host.authority(HTTPS_PORT);
        assert_eq!(
            Host::parse(&shown, HTTPS_PORT).as_ref(),
            Ok(&host),
            "{shown}"
        );
        assert!(!shown.contains(['/', '@', '?', '#', ' ']), "{shown}");
    });
}
