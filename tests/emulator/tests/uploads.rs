//! File upload: three calls, a limit, and the content joined to its Message.

mod support;

use serde_json::{Value, json};
use spotflow_emulator::{Platform, Route};
use support::upload::{hub_call, notify, open, put};
use support::{Client, device};

#[test]
fn uploaded_content_is_joined_to_its_message() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let content = vec![42; 3_000_000];
    let place = open(&platform, &credentials, "blob-1").json();
    assert_eq!(place["blobName"], format!("{}/blob-1", credentials.hub_id));
    assert_eq!(put(&platform, &place, &content), 201);
    assert_eq!(notify(&platform, &credentials, &place, true), 204);
    assert_eq!(
        notify(&platform, &credentials, &place, true),
        404,
        "only once"
    );

    let (mut client, _) = Client::connect(&platform, &credentials);
    let topic = credentials.events("batch-id=b&has-externalized-payload=true");
    client.deliver(&topic, 1, br#"{"link":"blob-1"}"#);
    client.deliver(&topic, 2, br#"{"link":"missing"}"#);
    client.deliver(&topic, 3, b"no link");
    let messages = platform.messages();
    assert!(messages[0].is_external() && messages[0].payload == content);
    assert_eq!(messages[0].raw_payload, br#"{"link":"blob-1"}"#);
    assert!(
        messages[1]
            .payload_error
            .as_ref()
            .unwrap()
            .contains("missing")
    );
    assert!(messages[2].payload_error.is_some());
    let upload = &platform.uploads()[0];
    assert_eq!(
        (upload.bytes, upload.success),
        (Some(3_000_000), Some(true))
    );
    let routes = [Route::FileUpload, Route::BlobPut, Route::FileNotification];
    assert_eq!(
        routes.map(|route| platform.http_request_count(route)),
        [1, 1, 2]
    );
}

#[test]
fn ten_uploads_of_a_device_may_be_active() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let places: Vec<Value> = (0..10)
        .map(|number| open(&platform, &credentials, &format!("b{number}")).json())
        .collect();
    let refused = open(&platform, &credentials, "b10");
    assert_eq!(
        (refused.status, refused.json()["errorCode"].clone()),
        (403, json!(403_006))
    );
    let other = device(&platform, "dev-2");
    assert_eq!(open(&platform, &other, "b10").status, 200);
    assert_eq!(notify(&platform, &credentials, &places[3], false), 204);
    assert_eq!(open(&platform, &credentials, "b10").status, 200);
}

#[test]
fn uploads_need_the_right_signatures() {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let mut wrong = credentials.clone();
    wrong.sas.push('x');
    assert_eq!(open(&platform, &wrong, "b").status, 401);
    let unversioned = hub_call(&platform, &credentials, "files", &json!({"blobName": "b"}));
    assert_eq!(unversioned.status, 400);
    assert_eq!(open(&platform, &credentials, "").status, 400);

    let mut place = open(&platform, &credentials, "b").json();
    let right = place["sasToken"].clone();
    place["sasToken"] = json!("?sig=wrong");
    assert_eq!(put(&platform, &place, b"x"), 403);
    place["sasToken"] = right;
    place["blobName"] = json!("other/blob");
    assert_eq!(put(&platform, &place, b"x"), 404);
    platform.expire_sas("dev-1").unwrap();
    assert_eq!(open(&platform, &credentials, "b").status, 401);
}
