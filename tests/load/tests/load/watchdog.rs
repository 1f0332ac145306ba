//! Finds out which thread does not come back from a call, and says where every thread is.

use std::fmt::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Watches workers until it is dropped.
pub struct Watchdog {
    workers: Arc<Mutex<Vec<Arc<Worker>>>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Worker {
    name: String,
    call: Mutex<(&'static str, Instant)>,
}

/// Where a worker notes which call it makes.
pub struct Steps(Arc<Worker>);

impl Steps {
    /// The worker now makes this call.
    pub fn enter(&self, call: &'static str) {
        *self.0.call.lock() = (call, Instant::now());
    }

    /// The worker is in no call until the next.
    pub fn rest(&self) {
        self.enter(AT_REST);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.rest();
    }
}

const AT_REST: &str = "at rest";

impl Watchdog {
    /// Ends the process with a report if a worker is in one call for longer than `limit`.
    pub fn that_aborts(limit: Duration) -> Watchdog {
        Watchdog::new(limit, |report| {
            // Not `eprintln`, which the test harness would keep for itself.
            let write =
                |text: &str| std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            write(&report).ok();
            let stacks = backtraces().unwrap_or_else(|error| format!("no call stacks: {error}\n"));
            write(&stacks).ok();
            std::process::abort();
        })
    }

    fn new(limit: Duration, bite: impl FnOnce(String) + Send + 'static) -> Watchdog {
        let workers: Arc<Mutex<Vec<Arc<Worker>>>> = Arc::default();
        let watched = Arc::clone(&workers);
        let (end, ended) = mpsc::channel();
        let watch = move || {
            while ended.recv_timeout(limit / 10) == Err(RecvTimeoutError::Timeout) {
                if is_any_stuck(&watched.lock(), limit) {
                    bite(report(&watched.lock(), limit));
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned());
        Watchdog {
            workers,
            end: Some(end),
            thread: Some(thread.spawn(watch).expect("a thread")),
        }
    }

    pub fn worker(&self, name: impl Into<String>) -> Steps {
        let worker = Arc::new(Worker {
            name: name.into(),
            call: Mutex::new((AT_REST, Instant::now())),
        });
        self.workers.lock().push(Arc::clone(&worker));
        Steps(worker)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watchdog does not panic");
        }
    }
}

impl Worker {
    fn is_stuck(&self, limit: Duration) -> bool {
        let (call, since) = *self.call.lock();
        call != AT_REST && since.elapsed() > limit
    }
}

fn is_any_stuck(workers: &[Arc<Worker>], limit: Duration) -> bool {
    workers.iter().any(|worker| worker.is_stuck(limit))
}

fn report(workers: &[Arc<Worker>], limit: Duration) -> String {
    let mut text = format!("\nwatchdog: a call took longer than {limit:?}\n");
    for worker in workers {
        let (call, since) = *worker.call.lock();
        let mark = if worker.is_stuck(limit) { "STUCK" } else { "" };
        let line = format!(
            "{mark:5} {}: {call} for {:.1?}",
            worker.name,
            since.elapsed()
        );
        writeln!(text, "{line}").expect("a String takes it");
    }
    text + &kernel_view()
}

/// What the kernel knows of every thread of this process.
fn kernel_view() -> String {
    let mut text = String::from("threads (comm, wchan, syscall):\n");
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten() {
        let Ok(task) = task else { continue };
        let read = |name: &str| {
            let content = std::fs::read_to_string(task.path().join(name));
            content.map_or_else(|error| error.to_string(), |text| text.trim().to_owned())
        };
        let (comm, wchan, syscall) = (read("comm"), read("wchan"), read("syscall"));
        writeln!(text, "  {comm}, {wchan}, {syscall}").expect("a String takes it");
    }
    text
}

/// The call stacks, where there is a debugger that may look. Into a file: while it looks, nobody here
/// reads a pipe.
fn backtraces() -> std::io::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    Command::new("timeout")
        .args(["-s", "KILL", "30"])
        .args(["gdb", "-p", &std::process::id().to_string()])
        .args(["-batch", "-nx", "-ex", "thread apply all backtrace 25"])
        .stdin(Stdio::null())
        .stdout(file.reopen()?)
        .stderr(Stdio::null())
        .status()?;
    std::fs::read_to_string(file.path())
}

#[test]
fn the_watchdog_bites_and_says_which_call_of_which_thread_is_stuck() {
    let (bitten, report) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let watchdog = Watchdog::new(Duration::from_millis(300), move |report| {
        bitten.send(report).expect("the test waits for it");
    });
    let (stuck, done) = (watchdog.worker("stuck"), watchdog.worker("done"));
    let thread = std::thread::Builder::new().name("storm-stuck".to_owned());
    let thread = thread.spawn(move || {
        stuck.enter("enqueue_message");
        released.recv().ok();
    });
    done.enter("status");
    drop(done);
    let report = report
        .recv_timeout(crate::support::PATIENCE)
        .expect("it bites");
    assert!(
        report.contains("STUCK stuck: enqueue_message for"),
        "{report}"
    );
    assert!(report.contains("\n      done: at rest for"), "{report}");
    assert!(report.contains("  storm-stuck, "), "{report}");
    drop(release);
    thread.expect("a thread").join().expect("it ends");
}

#[test]
fn the_watchdog_leaves_those_alone_that_come_back() {
    let (bitten, report) = mpsc::channel();
    let limit = Duration::from_millis(300);
    let watchdog = Watchdog::new(limit, move |report| bitten.send(report).unwrap_or(()));
    let worker = watchdog.worker("busy");
    let end = Instant::now() + 3 * limit;
    while Instant::now() < end {
        worker.enter("status");
        std::thread::yield_now();
    }
    drop(watchdog);
    assert!(report.try_recv().is_err());
}
