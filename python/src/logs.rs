//! What the library logs, on its way to Python's `logging`: queued by whatever thread logs, fetched by a
//! thread of Python's. Nobody who logs waits: what finds the queue full is counted and dropped.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

use crate::gate::{is_forked_thread, outside_to_the_end};
use crate::own_threads::name_thread;
use crate::per_process::PerProcess;
use crate::unpoisoned::unpoisoned;

static LOGS: PerProcess<LogQueue> = PerProcess::new();

/// Records that wait for the thread that fetches them.
const CAPACITY: usize = 1000;

/// The package's logger; all others are below it.
const ROOT: &str = "spotflow_device";

/// Records on their way.
#[derive(Default)]
struct LogQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    records: VecDeque<Queued>,
    dropped: u64,
    has_thread: bool,
    is_over: bool,
}

struct Queued {
    logger: String,
    level: Level,
    message: String,
    thread: String,
    created: SystemTime,
}

/// Logger, level, message, name of the thread, seconds since 1970.
type Fetched = (String, u32, String, String, f64);

impl LogQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    fn push(&self, record: Queued) {
        let mut state = self.state();
        if state.records.len() >= CAPACITY {
            state.dropped += 1;
            return;
        }
        state.records.push_back(record);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for records, and takes all; `None` at the end.
    fn take(&self) -> Option<Vec<Queued>> {
        let is_idle =
            |state: &mut State| state.records.is_empty() && state.dropped == 0 && !state.is_over;
        let mut state = unpoisoned(self.changed.wait_while(self.state(), is_idle));
        let mut records: Vec<Queued> = state.records.drain(..).collect();
        if state.dropped > 0 {
            records.push(dropped(std::mem::take(&mut state.dropped)));
        }
        (!records.is_empty()).then_some(records)
    }

    /// Ends the wait for records, once those that wait are fetched, and waits a moment for their handling.
    fn close(&self, limit: Duration) {
        let mut state = self.state();
        state.is_over = true;
        self.changed.notify_all();
        let is_handling = |state: &mut State| state.has_thread;
        drop(unpoisoned(self.changed.wait_timeout_while(
            state,
            limit,
            is_handling,
        )));
    }

    fn thread_is_over(&self) {
        self.state().has_thread = false;
        self.changed.notify_all();
    }
}

fn dropped(count: u64) -> Queued {
    Queued {
        logger: ROOT.to_owned(),
        level: Level::Warn,
        message: format!(
            "{count} log records were dropped: they came faster than they were handled"
        ),
        thread: thread_name(),
        created: SystemTime::now(),
    }
}

/// Starts the thread that hands records over, unless it is running.
pub fn start_handling(background: &Bound<'_, PyModule>) -> PyResult<()> {
    let logs = LOGS.own();
    if std::mem::replace(&mut logs.state().has_thread, true) {
        return Ok(());
    }
    let started = background.call_method0("start_logging");
    if started.is_err() {
        logs.thread_is_over();
    }
    started.map(drop)
}

/// At exit: hands over what waits, within a limit.
pub fn finish(limit: Duration) {
    LOGS.own().close(limit);
}

/// Has what is logged go through the queue, down to DEBUG: Python has no level below, and there the HTTP client logs
/// tokens.
pub fn install() {
    // The module is initialised once in a process; a second time the logger is in place.
    if log::set_logger(&Queue).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

struct Queue;

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Debug
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGS.own().push(Queued {
                logger: logger_name(record.target()),
                level: record.level(),
                message: record.args().to_string(),
                thread: thread_name(),
                created: SystemTime::now(),
            });
        }
    }

    fn flush(&self) {}
}

/// `spotflow_device::link` becomes `spotflow_device.link`, `rustls::client` `spotflow_device.rustls.client`.
fn logger_name(target: &str) -> String {
    let name = target.replace("::", ".");
    match name.strip_prefix(ROOT) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => name,
        _ => format!("{ROOT}.{name}"),
    }
}

fn thread_name() -> String {
    std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_owned()
}

impl Queued {
    fn fetched(self) -> Fetched {
        // Python's levels.
        let level = match self.level {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info => 20,
            Level::Debug | Level::Trace => 10,
        };
        let created = self.created.duration_since(UNIX_EPOCH).unwrap_or_default();
        (
            self.logger,
            level,
            self.message,
            self.thread,
            created.as_secs_f64(),
        )
    }
}

/// Waits for what was logged, and takes all of it; `None` at the end.
#[pyfunction]
pub fn next_log_records(py: Python<'_>) -> Option<Vec<Fetched>> {
    name_thread(c"spotflow_logs");
    let logs = LOGS.own();
    let records = outside_to_the_end(py, || logs.take()).flatten()?;
    Some(records.into_iter().map(Queued::fetched).collect())
}

/// Says that the thread that handles them ends.
#[pyfunction]
pub fn logging_is_over() {
    if !is_forked_thread() {
        LOGS.own().thread_is_over();
    }
}
