//! What befalls the hub and the API while the device works: seeded, a little every few milliseconds.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;
use spotflow_emulator::{AckMode, CutPoint, Platform, Route};

use crate::support::DEVICE;
use crate::watchdog::Steps;

const BACK_WITHIN: Duration = Duration::from_secs(5);
const SERVER_UNAVAILABLE: u8 = 3;

/// Lets one thing after the other happen until `end`, then everything is well again.
pub fn blow(platform: &Platform, mut random: Rng, end: Instant, steps: &Steps) {
    let mut version = 0;
    while Instant::now() < end {
        steps.enter("a fault, or a pause");
        happen(platform, &mut random);
        // Faults on faults would only lengthen the back-off, and the device would do little.
        let back = platform.wait_for_connected(DEVICE, true, BACK_WITHIN);
        if back.is_err() {
            calm(platform);
        }
        version += 1;
        platform
            .set_desired(DEVICE, &json!({ "version": version }))
            .expect("the device is registered");
        pause(&mut random, 1..150);
    }
    calm(platform);
}

fn happen(platform: &Platform, random: &mut Rng) {
    match random.u8(0..13) {
        0 => platform.close_connections(),
        1 | 2 => {
            let points = [CutPoint::BeforeAck, CutPoint::AfterAck];
            platform.cut_after_messages(random.u64(1..50), points[random.usize(0..2)]);
        }
        3 => {
            platform.refuse_connects(SERVER_UNAVAILABLE, Some(random.u64(1..3)));
            platform.close_connections();
        }
        4 => platform.acknowledge(AckMode::After(Duration::from_millis(random.u64(1..5)))),
        5 => {
            platform.acknowledge(AckMode::Withhold);
            pause(random, 1..300);
            if random.bool() {
                platform.close_connections();
            }
            platform.acknowledge(AckMode::Immediately);
            platform.release_acknowledgements();
        }
        6 => {
            platform.accept_connections(false).expect("the door closes");
            platform.close_connections();
            pause(random, 1..300);
            platform.accept_connections(true).expect("the door opens");
        }
        7 => {
            platform.forget_sessions();
            platform.close_connections();
        }
        8 => {
            // The next connection needs a registration, which fails first.
            platform.http_status(Route::Register, 503, None, random.u64(1..3));
            platform
                .expire_sas(DEVICE)
                .expect("the device is registered");
        }
        9 => {
            platform.go_silent(true);
            pause(random, 1..300);
            platform.go_silent(false);
        }
        10 => platform.throttle_twin(random.u64(1..3)),
        11 => {
            let steps = [Route::FileUpload, Route::BlobPut, Route::FileNotification];
            platform.http_status(steps[random.usize(0..3)], 503, None, 1);
        }
        _ => calm(platform),
    }
}

fn calm(platform: &Platform) {
    platform.cut_after_messages(0, CutPoint::AfterAck);
    platform.refuse_connects(0, None);
    platform.acknowledge(AckMode::Immediately);
    platform.release_acknowledgements();
    platform.clear_http_faults();
    platform.accept_connections(true).expect("the door opens");
    platform.go_silent(false);
}

fn pause(random: &mut Rng, milliseconds: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(random.u64(milliseconds)));
}
