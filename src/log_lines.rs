//! What a test's own thread logs.

use std::cell::RefCell;

use log::{Level, LevelFilter, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Capture;

/// Runs this, and returns what it logged on this thread, at info level or above.
pub(crate) fn of(run: impl FnOnce()) -> Vec<String> {
    // Fails if it is installed already.
    if log::set_logger(&Capture).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    LINES.set(Some(Vec::new()));
    run();
    LINES.take().unwrap_or_default()
}

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines
                && self.enabled(record.metadata())
            {
                lines.push(record.args().to_string());
            }
        });
    }

    fn flush(&self) {}
}
