//! What it costs a client under load that somebody looks at its database file:
//! `cargo bench --bench looking --features tool`.
//!
//! One thread stores Messages of 200 bytes one by one, power-safe, and the client sends them meanwhile. A look is
//! `status`, `outbox list` and `outbox export` of the program `spotflow-device`, each a process of its own, as from a
//! shell. Each of `ROUNDS` rounds (8 unless set) takes 18 s: alone, a look each second, looks without a pause, and the same
//! backwards, so that a machine which becomes slower or faster meanwhile does so for all of them.

mod support;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spotflow_emulator::Platform;
use support::{Stage, sender};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PHASE: Duration = Duration::from_secs(3);
const PROGRAM: &str = env!("CARGO_BIN_EXE_spotflow-device");
/// The pause between two looks, if there are any.
const KINDS: [(&str, Option<Duration>); 3] = [
    ("alone", None),
    ("a look each second", Some(Duration::from_secs(1))),
    ("looks without a pause", Some(Duration::ZERO)),
];
const TURNS: [usize; 6] = [0, 1, 2, 2, 1, 0];

fn main() -> Result<()> {
    let rounds = std::env::var("ROUNDS").ok();
    let rounds: usize = rounds.map_or(Ok(8), |rounds| rounds.parse())?;
    let stage = Stage::with(Platform::builder());
    let client = stage.device().start()?;
    let sender = sender(&client);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let storing = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                sender.enqueue_message([b'x'; 200])?;
            }
            Ok::<(), spotflow_device::Error>(())
        });
        let measured = measure(&stage, rounds);
        stop.store(true, Ordering::Relaxed);
        storing.join().map_err(|_| "the storing thread")??;
        measured
    })?;
    client.wait_enqueued_messages_sent()?;
    client.close();
    Ok(())
}

/// Prints a line for each round: Messages that arrived per second, by kind.
fn measure(stage: &Stage, rounds: usize) -> Result<()> {
    // Not counted: the first files, and the processor's clock.
    phase(stage, None)?;
    println!(
        "| round | {} | {} | {} |",
        KINDS[0].0, KINDS[1].0, KINDS[2].0
    );
    println!("|---|---|---|---|");
    let mut all = [const { Vec::new() }; 3];
    for round in 1..=rounds {
        let mut of_round = [0.0; 3];
        for kind in TURNS {
            of_round[kind] += phase(stage, KINDS[kind].1)? / 2.0;
        }
        let [alone, seldom, often] = of_round;
        println!("| {round} | {alone:.0}/s | {seldom:.0}/s | {often:.0}/s |");
        for (all, rate) in all.iter_mut().zip([alone, seldom / alone, often / alone]) {
            all.push(rate);
        }
    }
    let [alone, seldom, often] = all.map(median);
    println!("| median | {alone:.0}/s | {seldom:.3} of alone | {often:.3} of alone |");
    Ok(())
}

/// How many Messages arrive in a second while somebody looks, with such pauses.
fn phase(stage: &Stage, looks: Option<Duration>) -> Result<f64> {
    let database = stage.directory.path().join("device.db");
    // Their number would slow the Platform down.
    stage.platform.clear_messages();
    let (before, began) = (stage.platform.received_count(), Instant::now());
    while let Some(left) = PHASE.checked_sub(began.elapsed()) {
        let pause = match looks {
            None => left,
            Some(pause) => {
                look(&database)?;
                pause
            }
        };
        thread::sleep(pause.min(PHASE.saturating_sub(began.elapsed())));
    }
    let arrived = stage.platform.received_count() - before;
    Ok(arrived as f64 / began.elapsed().as_secs_f64())
}

fn look(database: &Path) -> Result<()> {
    for command in [&["status"][..], &["outbox", "list"], &["outbox", "export"]] {
        let mut program = Command::new(PROGRAM);
        program.args(command).arg("--db").arg(database);
        let status = program.stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("{command:?} ended with {status}").into());
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
