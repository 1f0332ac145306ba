//! Content of more than one block goes up in blocks: what the storage has is not sent again.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use spotflow_device::{DeviceClient, Error, Priority, SenderOptions, UploadStatus};
use spotflow_emulator::{HttpAnswer, Platform, Route, StorageWrite, WriteKind};

use crate::support::{PATIENCE, Seen, Stage, eventually, sender};

const BLOCK: usize = 1 << 20;

/// Each block of it is different.
fn content(bytes: usize) -> Vec<u8> {
    let word = |number: usize| (number as u32).wrapping_mul(0x9E37_79B9).to_le_bytes();
    (0..bytes.div_ceil(4)).flat_map(word).take(bytes).collect()
}

fn send(client: &DeviceClient, content: &[u8]) {
    let sender = sender(client);
    sender.enqueue_message(content).unwrap();
    sender.enqueue_message("behind").unwrap();
}

fn assert_arrives(stage: &Stage, client: &DeviceClient, content: &[u8]) {
    client
        .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
        .unwrap();
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].payload == content, "it is there as a whole");
    assert_eq!(messages[1].payload, b"behind");
    let status = client.status();
    assert_eq!((status.upload, status.set_aside_messages), (None, 0));
}

fn counts(platform: &Platform) -> [usize; 3] {
    [Route::BlobPut, Route::BlockPut, Route::BlockListPut]
        .map(|route| platform.http_request_count(route))
}

/// How often each block came, by its blob and id: as a whole, and in part.
fn blocks(writes: &[StorageWrite]) -> HashMap<(String, String), (usize, usize)> {
    let mut blocks = HashMap::<_, (usize, usize)>::new();
    for write in writes {
        if let WriteKind::Block(id) = &write.kind {
            let times = blocks
                .entry((write.blob_name.clone(), id.clone()))
                .or_default();
            match write.status {
                Some(201) => times.0 += 1,
                _ => times.1 += 1,
            }
        }
    }
    blocks
}

/// Every block came as a whole once, and was interrupted so often in all.
fn assert_none_repeated(platform: &Platform, count: usize, interrupted: usize) {
    let blocks = blocks(&platform.storage_writes());
    assert_eq!(blocks.len(), count, "{blocks:?}");
    assert!(blocks.values().all(|(whole, _)| *whole == 1), "{blocks:?}");
    let partly: usize = blocks.values().map(|(_, partly)| partly).sum();
    assert_eq!(partly, interrupted, "{blocks:?}");
}

#[test]
fn content_goes_as_a_whole_up_to_a_block_and_else_in_blocks() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    sender.send_message(content(BLOCK)).unwrap();
    assert_eq!(counts(&stage.platform), [1, 0, 0]);
    for (bytes, expected) in [(BLOCK + 1, [1, 2, 1]), (3 * BLOCK, [1, 5, 2])] {
        sender.send_message(content(bytes)).unwrap();
        assert_eq!(counts(&stage.platform), expected);
        let message = stage.platform.messages().pop().unwrap();
        assert!(message.payload == content(bytes), "{bytes}");
    }
    let uploads = stage.platform.uploads();
    let told: Vec<_> = uploads.iter().map(|it| (it.blocks, it.success)).collect();
    assert_eq!(told, [(0, Some(true)), (2, Some(true)), (3, Some(true))]);
    assert_eq!(client.status().upload, None);
}

#[test]
fn a_cut_costs_no_block_that_was_up_before() {
    let stage = Stage::new();
    stage
        .platform
        .cut_storage_after(Some(2 * BLOCK as u64 + 1_000));
    let client = stage.start();
    let content = content(5 * BLOCK - 7);
    send(&client, &content);
    let cut = |writes: &[StorageWrite]| writes.len() == 4 && writes[3].status == Some(201);
    stage
        .platform
        .wait_for_storage_writes(cut, PATIENCE)
        .unwrap();
    stage
        .platform
        .cut_storage_after(Some(BLOCK as u64 + 500_000));
    assert_arrives(&stage, &client, &content);
    assert_none_repeated(&stage.platform, 5, 2);
    assert_eq!(counts(&stage.platform), [0, 7, 1]);
    let uploads = stage.platform.uploads();
    let told: Vec<_> = uploads.iter().map(|upload| upload.success).collect();
    assert_eq!(told, [Some(false), Some(false), Some(true)]);
    assert!(
        uploads
            .iter()
            .all(|it| it.blob_name == uploads[0].blob_name)
    );
}

#[test]
fn an_upload_that_takes_longer_than_its_sas_goes_on_under_newer_ones() {
    let lifetime = Duration::from_secs(2);
    let stage = Stage::with(Platform::builder().upload_sas_lifetime(lifetime));
    let content = content(8 * BLOCK);
    stage.platform.storage_rate(Some(2.0 * BLOCK as f64));
    let client = stage.start();
    send(&client, &content);
    assert_arrives(&stage, &client, &content);
    assert!(stage.platform.uploads().len() >= 2, "one SAS is not enough");
    assert_none_repeated(&stage.platform, 8, 0);
}

#[test]
fn a_restart_goes_on_where_the_upload_was_and_the_status_tells_how_far_it_is() {
    let stage = Stage::new();
    let content = content(5 * BLOCK);
    stage.platform.storage_rate(Some(BLOCK as f64 / 2.0));
    let client = stage.start();
    send(&client, &content);
    let up = |at_least: u64| {
        eventually("blocks are up", || {
            let upload = client.status().upload;
            upload.is_some_and(|upload| upload.uploaded_bytes >= at_least)
        });
        client.status().upload.unwrap()
    };
    let UploadStatus {
        uploaded_bytes,
        total_bytes,
        ..
    } = up(2 * BLOCK as u64);
    assert!(
        uploaded_bytes < total_bytes,
        "{uploaded_bytes} of {total_bytes}"
    );
    assert_eq!(uploaded_bytes % BLOCK as u64, 0);
    assert_eq!(total_bytes, content.len() as u64);
    client.close();

    stage.platform.storage_rate(None);
    stage.platform.http_hang(Route::BlockPut, true);
    let client = stage.start();
    eventually("the next start knows", || {
        let upload = client.status().upload;
        upload.is_some_and(|upload| upload.uploaded_bytes >= uploaded_bytes)
    });
    stage.platform.http_hang(Route::BlockPut, false);
    assert_arrives(&stage, &client, &content);
    let blocks = blocks(&stage.platform.storage_writes());
    let (whole, partly) = blocks
        .values()
        .fold((0, 0), |sum, times| (sum.0 + times.0, sum.1 + times.1));
    // The storage may have had all of the block whose answer the close did not wait for.
    assert!(blocks.len() == 5 && whole + partly <= 6, "{blocks:?}");
}

#[test]
fn the_callback_is_told_the_progress_and_after_a_restart_not_from_zero_and_holds_nothing_up() {
    let stage = Stage::new();
    let content = content(5 * BLOCK - 7);
    let total = content.len() as u64;
    stage.platform.storage_rate(Some(BLOCK as f64 / 2.0));
    let progress = Seen::new();
    let tell = Arc::clone(&progress);
    let device = stage.device();
    let client = device
        .on_upload_progress(move |upload| tell.push(upload))
        .start()
        .unwrap();
    send(&client, &content);
    progress.wait(|upload| upload.uploaded_bytes == 2 * BLOCK as u64);
    client.close();
    let told: Vec<u64> = progress.all().iter().map(|it| it.uploaded_bytes).collect();
    assert_eq!(told[..3], [0, BLOCK as u64, 2 * BLOCK as u64]);
    assert!(progress.all().iter().all(|it| it.total_bytes == total));

    stage.platform.storage_rate(None);
    stage.platform.http_hang(Route::BlockPut, true);
    let progress = Seen::new();
    let tell = Arc::clone(&progress);
    let (go_on, gate) = mpsc::channel::<()>();
    let client = stage
        .device()
        .on_upload_progress(move |upload| {
            tell.push(upload);
            // Until the other end is gone.
            let _ = gate.recv();
        })
        .start()
        .unwrap();
    let resumed = progress.wait(|_| true);
    assert!((told[2]..total).contains(&resumed.uploaded_bytes));
    stage.platform.http_hang(Route::BlockPut, false);
    assert_arrives(&stage, &client, &content);
    drop(go_on);
    progress.wait(|upload| upload.uploaded_bytes == total);
    assert_eq!(progress.all().len(), 2, "the latest only, as it was slow");
}

#[test]
fn the_end_of_an_upload_is_told_when_the_storage_has_taken_all_of_it() {
    for (last_step, blocks) in [(Route::BlobPut, 1), (Route::BlockListPut, 2)] {
        let stage = Stage::new();
        stage.platform.http_hang(last_step, true);
        let progress = Seen::new();
        let tell = Arc::clone(&progress);
        let device = stage.device();
        let client = device
            .on_upload_progress(move |upload| {
                tell.push((upload.uploaded_bytes, upload.total_bytes));
                panic!("which is survived");
            })
            .start()
            .unwrap();
        let content = content(blocks * BLOCK);
        send(&client, &content);
        let (total, before) = ((blocks * BLOCK) as u64, ((blocks - 1) * BLOCK) as u64);
        progress.wait(|told| *told == (before, total));
        let platform = &stage.platform;
        platform.wait_for_request(last_step, 1, PATIENCE).unwrap();
        assert_eq!(progress.all().last(), Some(&(before, total)));
        platform.http_hang(last_step, false);
        assert_arrives(&stage, &client, &content);
        progress.wait(|told| *told == (total, total));
    }
}

#[test]
fn a_storage_without_blocks_gets_content_as_a_whole() {
    let stage = Stage::new();
    stage.platform.refuse_blocks(true);
    let client = stage.start();
    let content = content(3 * BLOCK);
    send(&client, &content);
    assert_arrives(&stage, &client, &content);
    assert_eq!(counts(&stage.platform), [1, 1, 0]);
    assert_eq!(stage.platform.uploads().len(), 1, "in the same place");

    // It is not asked each time.
    sender(&client).send_message(content.clone()).unwrap();
    assert_eq!(counts(&stage.platform), [2, 1, 0]);

    // When that fails, blocks are worth another try.
    stage.platform.refuse_blocks(false);
    stage.platform.http_status(Route::BlobPut, 503, None, 1);
    sender(&client).send_message(content).unwrap();
    assert_eq!(counts(&stage.platform), [3, 4, 1]);
}

#[test]
fn a_refusal_of_the_first_block_that_names_the_signature_is_no_refusal_of_blocks() {
    for text in [
        "<Error><Code>AuthenticationFailed</Code><Message>the signature</Message></Error>",
        "Expired",
    ] {
        let stage = Stage::new();
        let answer = HttpAnswer::new(403)
            .header("content-type", "application/xml")
            .body(text);
        stage.platform.http_answer(Route::BlockPut, answer, Some(1));
        let client = stage.start();
        let content = content(2 * BLOCK);
        send(&client, &content);
        assert_arrives(&stage, &client, &content);
        assert_eq!(counts(&stage.platform), [0, 3, 1], "{text}");
    }
}

#[test]
fn blocks_that_are_gone_are_sent_anew_under_another_name() {
    let stage = Stage::new();
    stage
        .platform
        .http_status(Route::BlockListPut, 400, None, 1);
    let client = stage.start();
    let content = content(2 * BLOCK);
    send(&client, &content);
    assert_arrives(&stage, &client, &content);
    assert_eq!(counts(&stage.platform), [0, 4, 2]);
    let uploads = stage.platform.uploads();
    assert_eq!(uploads.len(), 2);
    assert_ne!(uploads[0].blob_name, uploads[1].blob_name);
}

#[test]
fn a_list_of_blocks_that_is_cut_is_sent_again_and_no_block() {
    let stage = Stage::new();
    let content = content(2 * BLOCK);
    stage
        .platform
        .cut_storage_after(Some(content.len() as u64 + 50));
    let client = stage.start();
    send(&client, &content);
    assert_arrives(&stage, &client, &content);
    assert_none_repeated(&stage.platform, 2, 0);
    assert_eq!(counts(&stage.platform), [0, 2, 2]);
}

#[test]
fn content_of_a_higher_lane_goes_up_between_two_blocks_and_the_others_are_not_sent_again() {
    let stage = Stage::new();
    stage.platform.http_hang(Route::BlockPut, true);
    let client = stage.start();
    let sender = |priority| {
        let options = SenderOptions::new().priority(priority);
        client.create_stream_sender_with(None, None, options)
    };
    let (bulk, urgent) = (content(5 * BLOCK), content(3 * BLOCK));
    let of_bulk = sender(Priority::Bulk).unwrap();
    of_bulk.enqueue_message(bulk.clone()).unwrap();
    eventually("the first block is on its way", || {
        stage.platform.http_request_count(Route::BlockPut) > 0
    });
    let of_urgent = sender(Priority::Urgent).unwrap();
    of_urgent.enqueue_message(urgent.clone()).unwrap();
    stage.platform.http_hang(Route::BlockPut, false);
    client
        .wait_enqueued_messages_sent_timeout(4 * PATIENCE)
        .unwrap();
    let messages = stage.platform.messages();
    assert!(messages[0].payload == urgent && messages[1].payload == bulk);
    assert_none_repeated(&stage.platform, 8, 0);
}

#[test]
fn what_was_begun_in_blocks_of_another_size_is_begun_anew_under_another_name() {
    let stage = Stage::new();
    let content = content(4 * BLOCK);
    stage.platform.storage_rate(Some(BLOCK as f64 / 2.0));
    let client = stage.start();
    send(&client, &content);
    eventually("a block is up", || {
        let upload = client.status().upload;
        upload.is_some_and(|upload| upload.uploaded_bytes > 0)
    });
    client.close();
    // As a version would have noted it that cuts content otherwise.
    let sql = rusqlite::Connection::open(stage.database()).unwrap();
    let changed = sql.execute(
        "UPDATE document SET text = replace(text, '1048576', '524288') WHERE kind = 'blocks'",
        (),
    );
    assert_eq!(changed.unwrap(), 1);
    drop(sql);
    stage.platform.storage_rate(None);
    let client = stage.start();
    assert_arrives(&stage, &client, &content);
    let uploads = stage.platform.uploads();
    assert_ne!(
        uploads.first().unwrap().blob_name,
        uploads.last().unwrap().blob_name
    );
}

#[test]
fn a_link_that_is_refused_behind_the_first_block_is_no_refusal_of_the_content() {
    let stage = Stage::new();
    let content = content(6 * BLOCK);
    stage.platform.storage_rate(Some(BLOCK as f64));
    let client = stage.start();
    send(&client, &content);
    eventually("a block is up", || {
        let upload = client.status().upload;
        upload.is_some_and(|upload| upload.uploaded_bytes > 0)
    });
    // As a storage says it that gives no reasons.
    let answer = HttpAnswer::new(403);
    stage.platform.http_answer(Route::BlockPut, answer, Some(1));
    eventually("it is refused", || client.status().last_error.is_some());
    let error = client.status().last_error.unwrap();
    assert!(
        matches!(error, Error::Unavailable { status: 403, .. }),
        "{error:?}"
    );
    stage.platform.storage_rate(None);
    assert_arrives(&stage, &client, &content);
    assert_none_repeated(&stage.platform, 6, 0);
}
