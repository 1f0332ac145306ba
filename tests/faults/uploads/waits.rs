//! What waits while an upload does, and what goes on.

use super::blocks::in_blocks;
use super::*;

#[test]
fn content_that_the_storage_does_not_take_holds_up_its_own_lane_alone() {
    let stage = Stage::new();
    // Of content that is small enough to go as a whole.
    let route = Route::BlobPut;
    stage.platform.http_status(route, 503, None, 1_000);
    let client = stage.start();
    let of = |priority| {
        let options = SenderOptions::new().priority(priority);
        client.create_stream_sender_with(None, None, options)
    };
    let (high, low) = (of(Priority::High).unwrap(), of(Priority::Low).unwrap());
    high.enqueue_message(large()).unwrap();
    high.enqueue_message("behind").unwrap();
    let refused = stage.platform.wait_for_request(route, 2, PATIENCE);
    refused.unwrap();
    let (content, _) = in_blocks();
    // While the other one waits for its next attempt, or is being tried.
    for number in 1..=2 {
        low.enqueue_message(content.clone()).unwrap();
        let arrived = stage.platform.wait_for_messages(number, PATIENCE);
        arrived.unwrap();
    }
    eventually("they are sent, and no other", || {
        client.pending_messages_count() == 2
    });
    stage.platform.clear_http_faults();
    client
        .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
        .unwrap();
    let payloads = stage.platform.messages().into_iter();
    let payloads: Vec<Vec<u8>> = payloads.map(|it| it.payload.to_vec()).collect();
    assert!(payloads == [content.clone(), content, large(), b"behind".to_vec()]);
    assert_eq!(client.status().set_aside_messages, 0);
}

#[test]
fn an_outage_of_the_uploads_leaves_everything_else_alone() {
    let stage = Stage::new();
    let client = stage.start();
    sender(&client).send_message("before").unwrap();
    stage
        .platform
        .http_status(Route::FileUpload, 503, None, 1_000);
    enqueue(&client);
    stage
        .platform
        .wait_for_request(Route::FileUpload, 3, PATIENCE)
        .unwrap();
    let registrations = stage.platform.http_request_count(Route::Register);
    client
        .update_reported_properties(&json!({"works": true}))
        .unwrap();
    eventually("the report is confirmed", || {
        !client.any_pending_reported_properties_updates()
    });
    stage.platform.expire_sas(DEVICE).unwrap();
    let renewed = stage
        .platform
        .wait_for_request(Route::Register, registrations + 1, PATIENCE);
    renewed.unwrap();
    eventually("it is connected again", || client.status().is_connected);
    assert_eq!(stage.received(), ["before"]);
    stage.platform.clear_http_faults();
    client
        .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
        .unwrap();
    assert_eq!(stage.platform.messages().len(), 3);
    assert_eq!(stage.received().pop().unwrap(), "behind");
}

/// The time on a processor of this process's threads of that name.
#[cfg(target_os = "linux")]
fn cpu_time(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let of_name = tasks
        .map(|task| task.unwrap().path())
        .filter(|task| read(task.join("comm")).trim_end() == name);
    let nanoseconds: u64 = of_name
        .filter_map(|task| {
            read(task.join("schedstat"))
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}

#[cfg(target_os = "linux")]
#[test]
fn an_upload_that_waits_takes_no_processor_time() {
    let name = "uploads::waits::an_upload_that_waits_takes_no_processor_time";
    in_a_process_of_its_own(name, || {
        let cases = [
            (Route::FileUpload, 300_000),
            (Route::BlockPut, MUCH),
            (Route::BlobPut, MUCH),
        ];
        for (route, content) in cases {
            let stage = Stage::new();
            stage.platform.refuse_blocks(route == Route::BlobPut);
            stage.platform.http_hang(route, true);
            let client = stage.start();
            sender(&client).enqueue_message(vec![7; content]).unwrap();
            stage.platform.wait_for_request(route, 1, PATIENCE).unwrap();
            // Until it has filled what there is of buffers, and is at rest.
            let at_rest = || {
                let before = cpu_time("spotflow-upload");
                std::thread::park_timeout(Duration::from_millis(500));
                cpu_time("spotflow-upload") - before < Duration::from_millis(2)
            };
            eventually("the upload is at rest", at_rest);
            client.close();
        }
    });
}
