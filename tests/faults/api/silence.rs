//! The HTTP API does not answer, or not to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spotflow_device::Error;
use spotflow_emulator::{Platform, RawAnswer, Route};

use super::{assert_works, last_error};
use crate::cases::each;
use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

/// The documented limits, and what a busy machine adds.
const START_LIMIT: Duration = Duration::from_secs(10 + 8);
const CLOSE_LIMIT: Duration = Duration::from_secs(5 + 5);

#[test]
fn a_registered_device_starts_in_time_whatever_the_silence() {
    type Silence = fn(&Platform);
    let silences: [(&str, Silence); 4] = [
        ("no answer", |platform| {
            platform.http_hang(Route::Register, true)
        }),
        ("a trickle", |platform| {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".repeat(9);
            let answer = RawAnswer::new(answer).trickling(Duration::from_secs(1));
            platform.http_raw(Route::Register, answer, 9);
        }),
        ("half an answer", |platform| {
            let answer = RawAnswer::new("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
            platform.http_raw(Route::Register, answer.then_silence(), 9);
        }),
        ("informational answers only", |platform| {
            let answer = RawAnswer::new("HTTP/1.1 102 Processing\r\n\r\n").then_silence();
            platform.http_raw(Route::Register, answer, 9);
        }),
    ];
    each(silences, |(what, silence)| {
        let stage = Stage::new();
        stage.start().close();
        silence(&stage.platform);
        let begun = Instant::now();
        let client = stage.start();
        assert!(
            begun.elapsed() < START_LIMIT,
            "{what}: {:?}",
            begun.elapsed()
        );
        sender(&client).enqueue_message("stored").unwrap();
        eventually(what, || {
            matches!(last_error(&client), Some(Error::Network { .. }))
        });
        stage.platform.clear_http_faults();
        assert_works(&client);
    });
}

#[test]
fn a_close_does_not_wait_for_any_call() {
    let routes = [
        Route::Register,
        Route::Refresh,
        Route::FileUpload,
        Route::BlobPut,
        Route::FileNotification,
    ];
    each(routes, |route| {
        let lifetime = Some(Duration::from_secs(4));
        let stage = Stage::with(Platform::builder().registration_token_lifetime(lifetime));
        let client = stage.start();
        stage.platform.http_hang(route, true);
        let before = stage.platform.http_request_count(route);
        match route {
            Route::Register => stage.platform.expire_sas(DEVICE).unwrap(),
            Route::Refresh => {}
            _ => sender(&client).enqueue_message(vec![7; 300_000]).unwrap(),
        }
        stage
            .platform
            .wait_for_request(route, before + 1, PATIENCE)
            .unwrap();
        let begun = Instant::now();
        client.close();
        assert!(
            begun.elapsed() < CLOSE_LIMIT,
            "{route:?}: {:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn an_interrupted_start_does_not_wait_for_any_call() {
    each([Route::Init, Route::Complete, Route::Register], |route| {
        let stage = Stage::new();
        stage.platform.http_hang(route, true);
        let interrupted = Arc::new(AtomicBool::new(false));
        let check = Arc::clone(&interrupted);
        let builder = stage
            .device()
            .interrupt_check(move || check.load(Ordering::Relaxed));
        let (result, begun) = std::thread::scope(|scope| {
            let start = scope.spawn(|| builder.start());
            stage.platform.wait_for_request(route, 1, PATIENCE).unwrap();
            let begun = Instant::now();
            interrupted.store(true, Ordering::Relaxed);
            (start.join().unwrap(), begun)
        });
        assert!(matches!(result, Err(Error::Interrupted)), "{route:?}");
        assert!(
            begun.elapsed() < CLOSE_LIMIT,
            "{route:?}: {:?}",
            begun.elapsed()
        );
    });
}
