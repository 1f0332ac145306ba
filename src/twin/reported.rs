//! The Reported Properties: from the whole document that the application states to the merge
//! patches that bring the Platform there, one at a time.

use serde_json::Value;

use super::Document;
use super::document::Versioned;
use super::merge_patch;

/// What the Platform has, what it should have, and the patch on the way.
///
/// `known` is what the next patch starts from, so it must never be wrong:
/// - patches are made only after the twin was read on this connection;
/// - after an answer that leaves open whether the patch was applied, the same patch is sent again
///   (merging it twice does no harm) before one from another document follows;
/// - with a connection lost in between, only the next read can tell.
///
/// The statement is kept after it was confirmed: if the Platform's side is lost, as when the device
/// is created anew, the next read shows it, and it is sent again.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    known: Option<Document>,
    wanted: Option<Document>,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    /// Not connected, or the twin was not read yet.
    #[default]
    Unread,
    /// `known` is what the Platform has. `version` is of the read or of the last confirmation.
    Idle { version: u64 },
    /// `patch`, made to reach `target`, has to be sent again.
    Repeat { version: u64, flight: Flight },
    /// The answer to `patch` has not come yet.
    InFlight { version: u64, flight: Flight },
}

#[derive(Debug)]
struct Flight {
    patch: Document,
    target: Document,
}

impl Reported {
    /// Starts with what the database has kept.
    pub(crate) fn new(known: Option<Document>, wanted: Option<Document>) -> Reported {
        Reported {
            known,
            wanted,
            phase: Phase::Unread,
        }
    }

    /// What the Platform has, as far as known: for the database.
    pub(crate) fn known(&self) -> Option<&Document> {
        self.known.as_ref()
    }

    /// What the application stated last, unless it was refused: for the database.
    pub(crate) fn wanted(&self) -> Option<&Document> {
        self.wanted.as_ref()
    }

    /// Whether the Platform has yet to get, or to confirm, what was stated.
    pub(crate) fn is_pending(&self) -> bool {
        match (&self.wanted, &self.known) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(wanted), Some(known)) => {
                matches!(self.phase, Phase::Repeat { .. } | Phase::InFlight { .. })
                    || !merge_patch::diff(known, wanted).is_empty()
            }
        }
    }

    /// The application states the whole document; checked by [`super::rules`].
    pub(crate) fn state(&mut self, document: Document) {
        self.wanted = Some(document);
    }

    /// The answer to a read of the twin. One that was overtaken by a confirmation is ignored.
    pub(crate) fn full_read(&mut self, full: Versioned) {
        match &mut self.phase {
            Phase::Unread => {
                self.phase = Phase::Idle {
                    version: full.version,
                }
            }
            Phase::Idle { version }
            | Phase::Repeat { version, .. }
            | Phase::InFlight { version, .. } => {
                if full.version < *version {
                    return;
                }
                *version = full.version;
            }
        }
        self.known = Some(full.values);
    }

    /// The patch to send now, if there is one and none is on the way.
    pub(crate) fn next_patch(&mut self) -> Option<Value> {
        let (version, flight) = match std::mem::take(&mut self.phase) {
            Phase::Repeat { version, flight } => (version, flight),
            Phase::Idle { version } => match self.difference() {
                Some(flight) => (version, flight),
                None => {
                    self.phase = Phase::Idle { version };
                    return None;
                }
            },
            other @ (Phase::Unread | Phase::InFlight { .. }) => {
                self.phase = other;
                return None;
            }
        };
        let body = Value::Object(flight.patch.clone());
        self.phase = Phase::InFlight { version, flight };
        Some(body)
    }

    /// The Platform has applied the patch, which led to `version` (where it said so).
    pub(crate) fn confirmed(&mut self, new_version: Option<u64>) {
        if let Some((version, flight)) = self.land() {
            if let Some(known) = &mut self.known {
                merge_patch::apply(known, &flight.patch);
            }
            let version = new_version.unwrap_or(version);
            self.phase = Phase::Idle { version };
        }
    }

    /// The Platform will not take the patch: the statement it came from is dropped, unless there
    /// is a newer one by now.
    pub(crate) fn rejected(&mut self) {
        if let Some((version, flight)) = self.land() {
            if self.wanted.as_ref() == Some(&flight.target) {
                self.wanted = None;
            }
            self.phase = Phase::Idle { version };
        }
    }

    /// Throttled, or an error on the Platform's side: to be sent again, after the caller's back-off.
    pub(crate) fn failed(&mut self) {
        if let Some((version, flight)) = self.land() {
            self.phase = Phase::Repeat { version, flight };
        }
    }

    /// The connection ended: whether a patch on the way was applied is not known any more.
    pub(crate) fn connection_lost(&mut self) {
        if let Phase::Repeat { .. } | Phase::InFlight { .. } = self.phase {
            self.known = None;
        }
        self.phase = Phase::Unread;
    }

    fn difference(&self) -> Option<Flight> {
        let (known, wanted) = (self.known.as_ref()?, self.wanted.as_ref()?);
        let patch = merge_patch::diff(known, wanted);
        (!patch.is_empty()).then(|| Flight {
            patch,
            target: wanted.clone(),
        })
    }

    /// Takes the patch on the way. An answer that comes without one is ignored.
    fn land(&mut self) -> Option<(u64, Flight)> {
        match std::mem::take(&mut self.phase) {
            Phase::InFlight { version, flight } => Some((version, flight)),
            other => {
                self.phase = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().cloned().unwrap_or_default()
    }

    fn read(version: u64, values: Value) -> Versioned {
        let values = document(values);
        Versioned { version, values }
    }

    /// Connected and read, with the Platform at version 1.
    fn connected(platform: Value) -> Reported {
        let mut reported = Reported::default();
        reported.full_read(read(1, platform));
        reported
    }

    #[test]
    fn a_statement_is_sent_as_the_patch_from_what_the_platform_has() {
        let mut reported = connected(json!({"a": 1, "b": {"c": 1, "d": 1}}));
        assert!(!reported.is_pending());
        reported.state(document(json!({"b": {"c": 2}, "e": []})));
        assert!(reported.is_pending());
        let patch = json!({"a": null, "b": {"c": 2, "d": null}, "e": []});
        assert_eq!(reported.next_patch(), Some(patch));
        assert!(reported.is_pending());
        reported.confirmed(Some(2));
        assert!(!reported.is_pending());
        assert_eq!(reported.known(), reported.wanted());
        assert_eq!(reported.next_patch(), None);
    }

    #[test]
    fn nothing_is_sent_before_the_twin_was_read() {
        let mut reported = Reported::new(Some(document(json!({"a": 1}))), None);
        reported.state(document(json!({"a": 2})));
        assert_eq!(reported.next_patch(), None);
        assert!(reported.is_pending());
        reported.full_read(read(9, json!({"a": 2})));
        assert_eq!(reported.next_patch(), None);
        assert!(!reported.is_pending());
    }

    #[test]
    fn what_was_pending_at_the_end_is_sent_by_the_next_run() {
        let mut first = Reported::default();
        first.state(document(json!({"a": 1})));
        let mut second = Reported::new(first.known().cloned(), first.wanted().cloned());
        assert!(second.is_pending());
        second.full_read(read(1, json!({})));
        assert_eq!(second.next_patch(), Some(json!({"a": 1})));
    }

    #[test]
    fn one_patch_is_on_the_way_at_a_time_and_the_newest_statement_follows() {
        let mut reported = connected(json!({}));
        reported.state(document(json!({"a": 1})));
        assert_eq!(reported.next_patch(), Some(json!({"a": 1})));
        reported.state(document(json!({"a": 2})));
        reported.state(document(json!({"b": 3})));
        assert_eq!(reported.next_patch(), None);
        reported.confirmed(None);
        assert_eq!(reported.next_patch(), Some(json!({"a": null, "b": 3})));
    }

    #[test]
    fn a_failed_patch_is_repeated_before_another_one() {
        let mut reported = connected(json!({}));
        reported.state(document(json!({"a": 1})));
        let patch = reported.next_patch();
        reported.failed();
        reported.state(document(json!({})));
        assert!(
            reported.is_pending(),
            "the Platform may have applied the patch"
        );
        assert_eq!(reported.next_patch(), patch);
        reported.confirmed(Some(2));
        assert_eq!(reported.next_patch(), Some(json!({"a": null})));
    }

    #[test]
    fn a_rejected_statement_is_dropped_and_a_newer_one_kept() {
        let mut reported = connected(json!({"a": 0}));
        reported.state(document(json!({"a": 1})));
        reported.next_patch();
        reported.rejected();
        assert!(!reported.is_pending());
        assert_eq!(reported.wanted(), None);
        assert_eq!(reported.next_patch(), None);
        assert_eq!(reported.known(), Some(&document(json!({"a": 0}))));

        reported.state(document(json!({"a": 1})));
        reported.next_patch();
        reported.state(document(json!({"a": 2})));
        reported.rejected();
        assert_eq!(reported.next_patch(), Some(json!({"a": 2})));
    }

    #[test]
    fn after_a_lost_connection_the_next_read_tells_what_is_left_to_send() {
        let mut reported = connected(json!({"a": 0}));
        reported.state(document(json!({"a": 1})));
        reported.next_patch();
        reported.connection_lost();
        reported.state(document(json!({"a": 0})));
        assert!(reported.is_pending(), "the patch may have been applied");
        assert_eq!(reported.next_patch(), None);
        reported.full_read(read(2, json!({"a": 1})));
        assert_eq!(reported.next_patch(), Some(json!({"a": 0})));
    }

    #[test]
    fn a_platform_that_lost_its_side_gets_the_statement_again() {
        let mut reported = connected(json!({}));
        reported.state(document(json!({"a": 1})));
        reported.next_patch();
        reported.confirmed(Some(2));
        reported.connection_lost();
        reported.full_read(read(1, json!({})));
        assert_eq!(reported.next_patch(), Some(json!({"a": 1})));
    }

    #[test]
    fn an_answer_overtaken_by_a_confirmation_is_ignored() {
        let mut reported = connected(json!({"a": 0}));
        reported.state(document(json!({"a": 1})));
        reported.next_patch();
        reported.confirmed(Some(2));
        reported.full_read(read(1, json!({"a": 0})));
        reported.state(document(json!({"a": 0})));
        assert_eq!(reported.next_patch(), Some(json!({"a": 0})));
    }

    #[test]
    fn answers_without_a_patch_on_the_way_are_ignored() {
        let mut reported = connected(json!({"a": 0}));
        reported.state(document(json!({"a": 1})));
        reported.confirmed(Some(7));
        reported.rejected();
        reported.failed();
        assert_eq!(reported.next_patch(), Some(json!({"a": 1})));
        reported.connection_lost();
        reported.confirmed(Some(8));
        assert_eq!(reported.next_patch(), None);
    }

    /// A hub that answers, fails before or after applying, and loses connections, at random.
    #[test]
    fn whatever_happens_on_the_way_the_platform_ends_up_with_the_last_statement() {
        let mut random = Rng::with_seed(spotflow_fuzz::seed());
        let statement = |random: &mut Rng| -> Document {
            (0..random.usize(0..4))
                .map(|_| (random.char('a'..='d').to_string(), json!(random.u8(0..3))))
                .collect()
        };
        for _ in 0..300 {
            let (mut version, mut platform) = (1, Document::new());
            let mut reported = Reported::default();
            for _ in 0..40 {
                reported.state(statement(&mut random));
                let fault = random.u8(0..6);
                if fault == 0 {
                    reported = Reported::new(reported.known.clone(), reported.wanted.clone());
                }
                if matches!(reported.phase, Phase::Unread) {
                    let values = platform.clone();
                    reported.full_read(Versioned { version, values });
                }
                let Some(Value::Object(patch)) = reported.next_patch() else {
                    continue;
                };
                if random.bool() {
                    reported.state(statement(&mut random));
                }
                if fault != 1 && fault != 2 {
                    merge_patch::apply(&mut platform, &patch);
                    version += 1;
                }
                match fault {
                    1 | 3 => reported.failed(),
                    2 | 4 => reported.connection_lost(),
                    _ => reported.confirmed(Some(version)),
                }
            }
            reported.connection_lost();
            let values = platform.clone();
            reported.full_read(Versioned { version, values });
            if let Some(Value::Object(patch)) = reported.next_patch() {
                merge_patch::apply(&mut platform, &patch);
                reported.confirmed(None);
            }
            assert!(!reported.is_pending());
            assert_eq!(Some(&platform), reported.wanted());
        }
    }
}
