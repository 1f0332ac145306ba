//! What goes wrong with one block, or with the list of them, costs no other block.

use super::*;

/// Content of three blocks; and the requests for it that there are if nothing goes wrong.
pub(super) fn in_blocks() -> (Vec<u8>, [usize; 2]) {
    let content = (0..5_u32 << 19).map(|number| (number % 251) as u8);
    (content.collect(), [3, 1])
}

const BLOCK_STEPS: [Route; 2] = [Route::BlockPut, Route::BlockListPut];

/// What goes wrong twice in a step of an upload in blocks costs those two requests of it, and no other.
fn assert_repeats_only(faults: impl FnOnce(&Platform), route: Route, what: &str) {
    let stage = Stage::new();
    faults(&stage.platform);
    let client = stage.start();
    let (content, mut counts) = in_blocks();
    sender(&client).enqueue_message(content.clone()).unwrap();
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    waited.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let messages = stage.platform.messages();
    assert_eq!(messages.len(), 1, "{what}");
    assert!(messages[0].payload == content, "{what}");
    counts[usize::from(route == Route::BlockListPut)] += 2;
    let requests = BLOCK_STEPS.map(|route| stage.platform.http_request_count(route));
    assert_eq!(requests, counts, "{what}");
    assert_eq!(
        stage.platform.http_request_count(Route::BlobPut),
        0,
        "{what}"
    );
    assert_backs_off(&stage, Route::FileUpload, what);
    assert_told(&stage, 2, what);
}

#[test]
fn a_status_that_may_pass_costs_no_block_but_its_own() {
    let cases = BLOCK_STEPS
        .into_iter()
        .flat_map(|route| [408, 429, 500, 503].map(|status| (route, status)));
    each(cases, |(route, status)| {
        let fault = |platform: &Platform| platform.http_status(route, status, None, 2);
        assert_repeats_only(fault, route, &format!("{route:?} {status}"));
    });
}

#[test]
fn a_broken_answer_or_a_page_costs_no_block_but_its_own() {
    let answers = || {
        let pages = [200, 302, 403, 511].map(|status| ("a page", page(status)));
        broken_http().into_iter().chain(pages)
    };
    let cases = BLOCK_STEPS
        .into_iter()
        .flat_map(|route| answers().map(move |(what, answer)| (route, what, answer)));
    each(cases, |(route, what, answer)| {
        let fault = |platform: &Platform| platform.http_raw(route, answer, 2);
        assert_repeats_only(fault, route, &format!("{route:?}, {what}"));
    });
}

#[test]
fn an_upload_that_gets_on_between_its_interruptions_does_not_back_off() {
    const CUTS: usize = 5;
    let stage = Stage::new();
    let content: Vec<u8> = (0..7_u32 << 20)
        .map(|number| (number % 251) as u8)
        .collect();
    let client = stage.start();
    let cut = || stage.platform.cut_storage_after(Some((1 << 20) + 300_000));
    cut();
    sender(&client).enqueue_message(content.clone()).unwrap();
    for number in 1..=CUTS {
        let told = stage
            .platform
            .wait_for_request(Route::FileNotification, number, PATIENCE);
        told.unwrap();
        if number < CUTS {
            cut();
        }
    }
    client
        .wait_enqueued_messages_sent_timeout(2 * PATIENCE)
        .unwrap();
    assert!(stage.platform.messages()[0].payload == content);
    let pauses = pauses(&stage.platform, Route::FileUpload);
    assert_eq!(pauses.len(), CUTS, "{pauses:?}");
    // One that doubles would be of 8 s at least.
    assert!(pauses[CUTS - 1] < Duration::from_secs(8), "{pauses:?}");
}

#[test]
fn blocks_that_cannot_be_put_together_are_set_aside_after_five_times() {
    let stage = Stage::new();
    stage
        .platform
        .http_status(Route::BlockListPut, 400, None, 5);
    let client = stage.start();
    let (content, [blocks, _]) = in_blocks();
    sender(&client).enqueue_message(content).unwrap();
    sender(&client).enqueue_message("behind").unwrap();
    let waited = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    assert!(matches!(waited, Err(Error::SetAside)), "{waited:?}");
    let requests = BLOCK_STEPS.map(|route| stage.platform.http_request_count(route));
    assert_eq!(requests, [5 * blocks, 5]);
    assert_eq!(stage.received(), ["behind"]);
    assert_eq!(client.status().upload, None);
}
