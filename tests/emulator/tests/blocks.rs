//! Uploads in blocks, and what the storage does wrong with them.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use spotflow_emulator::{Platform, Route, StorageWrite, WriteKind};
use support::upload::{id, notify, open, put, put_block, put_list, url};
use support::{Answer, Client, Credentials, DEADLINE, call, device};

fn stage() -> (Platform, Credentials, Value) {
    let platform = Platform::start().unwrap();
    let credentials = device(&platform, "dev-1");
    let place = open(&platform, &credentials, "blob").json();
    (platform, credentials, place)
}

/// The storage's code for an error, and the answer's status.
fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.content_type, "application/xml");
    let (_, rest) = answer.body.split_once("<Code>").unwrap();
    (
        answer.status,
        rest.split_once("</Code>").unwrap().0.to_owned(),
    )
}

#[test]
fn blocks_become_the_content_of_a_message() {
    let (platform, credentials, place) = stage();
    let ids = [id(1), id(2), id(3)];
    for (id, content) in ids.iter().zip([&b"one "[..], b"two ", b"three"]) {
        assert_eq!(put_block(&platform, &place, id, content).status, 201);
    }
    assert_eq!(
        put_block(&platform, &place, &ids[1], b"TWO ").status,
        201,
        "again"
    );
    let blocks = platform.uncommitted_blocks("dev-1", "blob");
    assert_eq!(
        blocks.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(),
        [4, 4, 5]
    );
    assert_eq!(platform.uploads()[0].bytes, None, "not committed");
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(put_list(&platform, &place, &ids).status, 201);
    assert_eq!(notify(&platform, &credentials, &place, true), 204);
    assert!(platform.uncommitted_blocks("dev-1", "blob").is_empty());

    let (mut client, _) = Client::connect(&platform, &credentials);
    let topic = credentials.events("has-externalized-payload=true");
    client.deliver(&topic, 1, br#"{"link":"blob"}"#);
    assert_eq!(platform.messages()[0].text(), "one TWO three");
    let upload = &platform.uploads()[0];
    assert_eq!(
        (upload.bytes, upload.blocks, upload.success),
        (Some(13), 3, Some(true))
    );
    let routes = [Route::BlobPut, Route::BlockPut, Route::BlockListPut];
    assert_eq!(
        routes.map(|route| platform.http_request_count(route)),
        [0, 4, 1]
    );
}

#[test]
fn every_write_is_told_with_its_size() {
    let (platform, credentials, place) = stage();
    put_block(&platform, &place, &id(1), b"block");
    put_list(&platform, &place, &[&id(2)]);
    put(&platform, &place, b"whole");
    let writes = platform.storage_writes();
    let told: Vec<_> = writes
        .iter()
        .map(|write| (write.kind.clone(), write.received_bytes, write.status))
        .collect();
    let list = 38 + "<BlockList><Latest></Latest></BlockList>".len() as u64 + id(2).len() as u64;
    assert_eq!(
        told,
        [
            (WriteKind::Block(id(1)), 5, Some(201)),
            (WriteKind::BlockList, list, Some(400)),
            (WriteKind::Blob, 5, Some(201))
        ]
    );
    assert_eq!(writes[0].hub_id, credentials.hub_id);
    assert_eq!(writes[0].blob_name, "blob");
    assert_eq!(writes[0].content_length, 5);
}

#[test]
fn an_expired_sas_is_refused_and_blocks_stay_for_a_newer_one() {
    let (platform, credentials, place) = stage();
    assert_eq!(put_block(&platform, &place, &id(1), b"one").status, 201);
    platform.expire_upload_sas();
    let refused = put_block(&platform, &place, &id(2), b"two");
    assert_eq!(error(&refused), (403, "AuthenticationFailed".to_owned()));
    assert!(
        refused
            .body
            .contains("Signature not valid in the specified time frame")
    );
    assert_eq!(put(&platform, &place, b"x"), 403);

    let newer = open(&platform, &credentials, "blob").json();
    assert_eq!(put_block(&platform, &newer, &id(2), b"two").status, 201);
    assert_eq!(put_list(&platform, &newer, &[&id(1), &id(2)]).status, 201);
    let uploads = platform.uploads();
    assert_eq!((uploads[0].bytes, uploads[1].bytes), (None, Some(6)));

    let platform = Platform::builder()
        .upload_sas_lifetime(Duration::ZERO)
        .start()
        .unwrap();
    let credentials = device(&platform, "dev-1");
    let place = open(&platform, &credentials, "blob").json();
    assert_eq!(put(&platform, &place, b"x"), 403);
}

#[test]
fn an_older_sas_works_as_long_as_it_is_valid() {
    let (platform, credentials, place) = stage();
    open(&platform, &credentials, "blob");
    assert_eq!(put_block(&platform, &place, &id(1), b"one").status, 201);
    let other = open(&platform, &credentials, "other").json();
    let wrong = put_list(
        &platform,
        &serde_json::json!({
            "hostName": place["hostName"],
            "containerName": place["containerName"],
            "blobName": place["blobName"],
            "sasToken": other["sasToken"],
        }),
        &[],
    );
    assert_eq!(error(&wrong), (403, "AuthenticationFailed".to_owned()));
}

#[test]
fn what_azure_does_not_take_is_refused() {
    let (platform, _, place) = stage();
    let refusal = |answer: Answer| error(&answer);
    assert_eq!(
        refusal(put_list(&platform, &place, &["MDAwMDA5"])),
        (400, "InvalidBlockList".to_owned())
    );
    assert_eq!(
        refusal(put_block(&platform, &place, "no-base64", b"")),
        (400, "InvalidQueryParameterValue".to_owned())
    );
    put_block(&platform, &place, &id(1), b"x");
    assert_eq!(
        refusal(put_block(&platform, &place, "MDAx", b"x")),
        (400, "InvalidBlobOrBlock".to_owned())
    );
    let to = |query: &str, body: &[u8]| {
        let url = format!("{}{query}", url(&place));
        refusal(call(&platform, "PUT", &url, &[], body))
    };
    assert_eq!(to("", b"x"), (400, "MissingRequiredHeader".to_owned()));
    assert_eq!(
        to("&comp=block", b"x"),
        (400, "MissingRequiredQueryParameter".to_owned())
    );
    assert_eq!(
        to("&comp=page", b"x"),
        (400, "InvalidQueryParameterValue".to_owned())
    );
    assert_eq!(
        to("&comp=blocklist", b"<"),
        (400, "InvalidXmlDocument".to_owned())
    );
}

#[test]
fn a_body_needs_a_length_that_the_storage_takes() {
    let (platform, _, place) = stage();
    let url = url(&place);
    let (host, path) = url
        .strip_prefix("https://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let status = |header: &str| {
        let mut stream = Client::open(&platform, host).unwrap().into_stream();
        let head = format!(
            "PUT /{path}&comp=block&blockid={} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n\r\n",
            id(1)
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    assert_eq!(status("transfer-encoding: chunked"), "411");
    assert_eq!(status("content-length: 104857601"), "413");
}

#[test]
fn a_storage_without_blocks_takes_blobs_as_a_whole() {
    let (platform, _, place) = stage();
    platform.refuse_blocks(true);
    let refused = put_block(&platform, &place, &id(1), b"x");
    assert_eq!(
        error(&refused),
        (400, "InvalidQueryParameterValue".to_owned())
    );
    let body = refused.body.to_lowercase();
    assert!(
        !body.contains("signature") && !body.contains("expir"),
        "{body}"
    );
    assert_eq!(put(&platform, &place, b"whole"), 201);
    platform.refuse_blocks(false);
    assert_eq!(put_block(&platform, &place, &id(1), b"x").status, 201);
}

#[test]
fn content_is_taken_at_a_rate() {
    let (platform, _, place) = stage();
    platform.storage_rate(Some(100_000.0));
    let start = Instant::now();
    assert_eq!(
        put_block(&platform, &place, &id(1), &[0; 30_000]).status,
        201
    );
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    platform.storage_rate(None);
    assert_eq!(
        put_block(&platform, &place, &id(2), &[0; 10_000_000]).status,
        201
    );
}

/// A connection to the storage, and the head of a request that brings a block of 600,000 bytes.
fn begin_block(platform: &Platform, place: &Value) -> (impl Read + Write, String) {
    let url = url(place);
    let (host, path) = url
        .strip_prefix("https://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let stream = Client::open(platform, host).unwrap().into_stream();
    let head = format!(
        "PUT /{path}&comp=block&blockid={} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 600000\r\n\r\n",
        id(2)
    );
    (stream, head)
}

fn assert_cut(mut stream: impl Read) {
    let end = stream.read_to_end(&mut Vec::new()).unwrap_err().kind();
    assert!(
        [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&end),
        "{end:?}"
    );
}

#[test]
fn a_connection_is_cut_within_the_content_once() {
    let (platform, _, place) = stage();
    platform.cut_storage_after(Some(1_000_000));
    assert_eq!(
        put_block(&platform, &place, &id(1), &[0; 600_000]).status,
        201
    );
    let (mut stream, head) = begin_block(&platform, &place);
    // The connection may end before all is written.
    let _ = stream.write_all(&[head.as_bytes(), &[0; 600_000]].concat());
    assert_cut(stream);
    let writes = platform.storage_writes();
    let last = writes.last().unwrap();
    assert_eq!((last.content_length, last.status), (600_000, None));
    assert!(
        (400_000..600_000).contains(&last.received_bytes),
        "{}",
        last.received_bytes
    );
    assert_eq!(platform.uncommitted_blocks("dev-1", "blob").len(), 1);
    assert_eq!(
        put_block(&platform, &place, &id(2), &[0; 600_000]).status,
        201
    );
}

#[test]
fn a_connection_is_cut_also_when_no_others_are_taken() {
    let (platform, _, place) = stage();
    let (mut stream, head) = begin_block(&platform, &place);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 100_000]).unwrap();
    let is_begun = |writes: &[StorageWrite]| writes.iter().any(|it| it.received_bytes > 0);
    platform
        .wait_for_storage_writes(is_begun, DEADLINE)
        .unwrap();
    platform.accept_connections(false).unwrap();
    platform.cut_storage_after(Some(500_000));
    // The connection may end before all is written.
    let _ = stream.write_all(&[0; 500_000]);
    assert_cut(stream);
    let status = platform.storage_writes()[0].status;
    assert_eq!(status, None);
}

#[test]
fn the_faults_of_http_reach_each_step() {
    let (platform, _, place) = stage();
    for route in [Route::BlockPut, Route::BlockListPut, Route::BlobPut] {
        platform.http_status(route, 503, None, 1);
    }
    assert_eq!(put_block(&platform, &place, &id(1), b"x").status, 503);
    assert_eq!(put_block(&platform, &place, &id(1), b"x").status, 201);
    assert_eq!(put_list(&platform, &place, &[&id(1)]).status, 503);
    assert_eq!(put_list(&platform, &place, &[&id(1)]).status, 201);
    assert_eq!(put(&platform, &place, b"x"), 503);
    assert_eq!(put(&platform, &place, b"x"), 201);
}
