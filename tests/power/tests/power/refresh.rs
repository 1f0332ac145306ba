//! The Registration Token is refreshed again and again, and the power fails: the Platform takes the newest
//! token and the one before, so one of these must be there, or the device needs an approval.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use rusqlite::Connection;
use spotflow_emulator::{Platform, Route};

use crate::device::{Device, PATIENCE, POWER_SAFE, Run, options};
use crate::disk::{Disk, Fate};
use crate::recorder::Operation;
use crate::reopening::{DATABASE, Start, write};
use crate::survey::{Place, seed, survivals};

const LIFETIME: Duration = Duration::from_secs(2);
const REFRESHES: usize = 5;

fn refreshed() -> Run {
    let platform = Platform::builder().registration_token_lifetime(Some(LIFETIME));
    let platform = platform.start().expect("the Platform");
    let device = Device::in_directory(POWER_SAFE, platform, tempfile::tempdir());
    let client = device.start();
    device
        .platform
        .wait_for_request(Route::Refresh, REFRESHES, PATIENCE)
        .expect("the token is refreshed");
    client.close();
    device.end("refreshed")
}

/// The tokens that came to the device, in their order, and the operation that first wrote each.
fn tokens(run: &Run) -> Vec<(String, usize)> {
    let holds =
        |bytes: &[u8], token: &str| bytes.windows(token.len()).any(|it| it == token.as_bytes());
    let written = |token: &str| {
        run.recording.operations.iter().position(
            |operation| matches!(operation, Operation::Write { bytes, .. } if holds(bytes, token)),
        )
    };
    let secrets = run.platform.secrets().into_iter();
    let others = |secret: &String| *secret != run.platform.provisioning_token();
    let mut tokens: Vec<(String, usize)> = secrets
        .filter(others)
        .filter_map(|token| written(&token).map(|at| (token, at)))
        .collect();
    tokens.sort_by_key(|(_, at)| *at);
    tokens
}

fn token_in(directory: &Path) -> Option<String> {
    let file = Connection::open(directory.join(DATABASE)).expect("the database");
    let sql = "SELECT registration_token FROM device";
    file.query_row(sql, (), |row| row.get(0)).ok().flatten()
}

#[test]
fn a_power_cut_during_token_refreshes_leaves_a_token_that_the_platform_takes() {
    let run = refreshed();
    let tokens = tokens(&run);
    assert!(tokens.len() >= REFRESHES, "{} tokens", tokens.len());
    let seed = seed();
    println!(
        "refreshed: {} tokens, SEED={seed} SURVIVALS={}",
        tokens.len(),
        survivals()
    );
    let mut random = Rng::with_seed(seed);
    run.platform
        .accept_connections(false)
        .expect("the door closes");
    let registered_at = run.ledger.registered_at.expect("it was started");
    let mut disk = Disk::new(&run.recording);
    let mut behind = [0; 2];
    for (at, operation) in run.recording.operations.iter().enumerate() {
        // A token that is about to be written is the Platform's newest already.
        let issued = tokens.iter().filter(|(_, written)| *written <= at).count();
        for _ in 0..3 * survivals() {
            let fate = Fate::random(&mut random);
            let place = format!("refreshed, cut before operation {at}, {fate:?}");
            let place = Place(&place);
            let directory = write(&disk.survive(fate, &mut random));
            let (platform, is_registered) = (&run.platform, at >= registered_at);
            let start = Start {
                options: &|database: &Path| options(platform, POWER_SAFE, database),
                is_registered,
                probes: false,
            };
            start.on(directory.path());
            if is_registered {
                let found = token_in(directory.path()).expect("a token");
                let found = tokens.iter().position(|(token, _)| *token == found);
                let age = issued - 1 - found.expect("a token of the Platform's").min(issued - 1);
                assert!(age <= 1, "the Platform has issued {age} since");
                behind[age] += 1;
            }
            drop(place);
        }
        disk.apply(operation);
    }
    println!(
        "refreshed: {} starts with the newest token, {} with the one before",
        behind[0], behind[1]
    );
    assert!(behind[1] > 0, "no cut came in time");
}
