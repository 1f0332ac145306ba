//! How far long work has come: a bar on a terminal, a line now and then elsewhere; on standard error, so that the output
//! stays clean.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::units::count;

const BAR_WIDTH: usize = 30;
const REDRAW_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Of one piece of work. What is short shows nothing.
pub(crate) struct Progress {
    what: &'static str,
    /// Nothing where nobody knows, as with standard input.
    total: Option<u64>,
    done: u64,
    is_terminal: bool,
    next_due: Instant,
    is_shown: bool,
}

impl Progress {
    pub fn new(what: &'static str, total: Option<u64>) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        Progress {
            what,
            total,
            done: 0,
            is_terminal,
            next_due: Instant::now() + interval(is_terminal),
            is_shown: false,
        }
    }

    /// So much more is done.
    pub fn advance(&mut self, by: u64) {
        self.reached(self.done.saturating_add(by));
    }

    /// So much is done.
    pub fn reached(&mut self, done: u64) {
        self.done = done;
        let now = Instant::now();
        if now >= self.next_due {
            self.next_due = now + interval(self.is_terminal);
            self.show();
        }
    }

    fn show(&mut self) {
        self.is_shown = true;
        let text = self.text();
        // Nobody needs it: where it cannot be written, the work goes on.
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r{text}\x1b[K")
        } else {
            writeln!(io::stderr(), "{text}")
        };
    }

    fn text(&self) -> String {
        let (what, done) = (self.what, count(self.done));
        match self.total {
            None => format!("{what}: {done}"),
            Some(total) if self.is_terminal => {
                let bar = bar(self.done, total);
                format!("[{bar}] {what}: {done} of {}", count(total))
            }
            Some(total) => format!("{what}: {done} of {}", count(total)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown && self.is_terminal {
            self.show();
            let _ = writeln!(io::stderr());
        }
    }
}

fn interval(is_terminal: bool) -> Duration {
    if is_terminal {
        REDRAW_EVERY
    } else {
        LINE_EVERY
    }
}

fn bar(done: u64, total: u64) -> String {
    let width = BAR_WIDTH as u64;
    // More can be there than was counted before.
    let filled = (done.min(total).saturating_mul(width))
        .checked_div(total)
        .unwrap_or(width);
    let filled = usize::try_from(filled).unwrap_or(BAR_WIDTH);
    format!("{}{}", "#".repeat(filled), ".".repeat(BAR_WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_from_empty_to_full_and_no_further() {
        assert_eq!(bar(0, 10), ".".repeat(30));
        assert_eq!(bar(5, 10), "#".repeat(15) + &".".repeat(15));
        assert_eq!(bar(12, 10), "#".repeat(30));
        assert_eq!(bar(0, 0), "#".repeat(30));
    }

    #[test]
    fn a_terminal_has_a_bar_and_what_has_no_known_end_says_only_how_far_it_is() {
        let text = |total, is_terminal| {
            let mut progress = Progress::new("read", total);
            progress.is_terminal = is_terminal;
            progress.reached(1500);
            progress.text()
        };
        let bar = "#".repeat(15) + &".".repeat(15);
        assert_eq!(
            text(Some(3000), true),
            format!("[{bar}] read: 1,500 of 3,000")
        );
        assert_eq!(text(Some(3000), false), "read: 1,500 of 3,000");
        assert_eq!(text(None, true), "read: 1,500");
        assert_eq!(text(None, false), "read: 1,500");
    }
}
