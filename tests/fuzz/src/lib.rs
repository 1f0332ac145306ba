//! How the decoders are fuzzed: with inputs that are made from valid ones, so that cases get deep.
//!
//! A case is a string of random bytes, the [`Choices`], from which a test draws its input. proptest
//! makes and shrinks them: fewer and smaller bytes mean a simpler input. The tests are with the decoders,
//! most of them in a module named `fuzz` (`src/link/session/fuzz.rs`, `src/net/host/fuzz.rs`, ...).
//!
//! ```
//! use spotflow_fuzz::fuzz;
//!
//! fuzz("numbers", |choices| {
//!     let number = choices.u64();
//!     assert_eq!(number.to_string().parse(), Ok(number));
//! });
//! ```
//!
//! - `FUZZ_CASES=5000000` sets how many cases each test runs; 100,000 unless set.
//! - `SEED=...` repeats a run. Each test prints its seed, and a failure the choices it shrank to.
//!
//! What was found stays as a test of its own, named after what went wrong.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod choices;

pub use choices::Choices;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 100_000;
/// The bytes of a case. One that needs more draws zeros, which are the simplest choices.
const CHOICES: usize = 160;
/// A case that takes so long does not end.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// Runs `property`, which fails by a panic, on many inputs.
///
/// # Panics
///
/// When the property does not hold, with the seed and the choices that the failure shrank to; and when a
/// case does not end.
pub fn fuzz(decoder: &'static str, property: impl Fn(&mut Choices<'_>) + Send + 'static) {
    fuzz_boxed(decoder, Box::new(property));
}

/// Not generic, so that it is compiled with this crate, and optimised as the workspace's profile says.
fn fuzz_boxed(decoder: &'static str, property: Box<dyn Fn(&mut Choices<'_>) + Send>) {
    let cases = number("FUZZ_CASES").unwrap_or(CASES.into());
    let cases = u32::try_from(cases).expect("FUZZ_CASES is below 2^32");
    println!("fuzz {decoder}: {cases} cases");
    let seed = seed();

    let progress = Arc::new(AtomicU64::new(0));
    let (counter, (done, is_done)) = (Arc::clone(&progress), channel());
    let began = Instant::now();
    let worker = thread::spawn(move || {
        run(cases, seed, &|bytes| {
            counter.fetch_add(1, Ordering::Relaxed);
            property(&mut Choices::new(bytes));
        });
        done.send(()).ok();
    });
    let mut last = 0;
    while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(CASE_LIMIT) {
        let case = progress.load(Ordering::Relaxed);
        assert_ne!(
            case, last,
            "{decoder}: this case of seed {seed} does not end"
        );
        last = case;
    }
    if let Err(failure) = worker.join() {
        std::panic::resume_unwind(failure);
    }
    println!("fuzz {decoder}: {:.1} s", began.elapsed().as_secs_f64());
}

fn run(cases: u32, seed: u64, property: &dyn Fn(&[u8])) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut full_seed = [0; 16];
    full_seed[..8].copy_from_slice(&seed.to_le_bytes());
    // Its generator does not start from zeros alone.
    full_seed[15] = 1;
    let random = TestRng::from_seed(RngAlgorithm::XorShift, &full_seed);
    let mut runner = TestRunner::new_with_rng(config, random);
    let outcome = runner.run(&vec(any::<u8>(), 0..CHOICES), |bytes| {
        property(&bytes);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("seed {seed}: {failure}");
    }
}

/// For a random test: the seed that `SEED` says, else any. It is printed, so that the run can be repeated.
///
/// # Panics
///
/// When `SEED` is not a number.
pub fn seed() -> u64 {
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    seed
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_does_not_hold_is_found_and_shrunk() {
        let run = || {
            run(10_000, 7, &|bytes| {
                assert!(!bytes.contains(&200), "two hundred")
            })
        };
        let failure = std::panic::catch_unwind(run).unwrap_err();
        let text = failure.downcast_ref::<String>().unwrap();
        assert!(
            text.contains("two hundred") && text.contains("[\n    200,\n]"),
            "{text}"
        );
    }

    #[test]
    fn a_seed_repeats_its_run() {
        let inputs = |seed| {
            let seen = std::cell::RefCell::new(Vec::new());
            run(100, seed, &|bytes| seen.borrow_mut().push(bytes.to_vec()));
            seen.into_inner()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
