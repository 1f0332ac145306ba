//! Sent Messages whose rows are still in the database: those that the sent log notes. Pure, as the state.

use super::log::CAPACITY;
use crate::store::rows::totals::Totals;

/// So many rows, or bytes of content, are deleted together: enough to make deleting cheap, and little beside
/// what the file takes anyway.
pub(in crate::outbox) const ROWS_KEPT: usize = CAPACITY;
const BYTES_KEPT: u64 = 64 << 10;

/// The rows that are noted, and not deleted yet.
#[derive(Debug, Default)]
pub(in crate::outbox) struct SentRows {
    ids: Vec<i64>,
    bytes: u64,
    /// Their room is wanted, or it is not known whether they are deleted.
    must_delete: bool,
}

impl SentRows {
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// They are to be deleted with the next record.
    pub fn want_deleted(&mut self) {
        self.must_delete = !self.ids.is_empty();
    }

    /// Whether there is something to delete, whatever else there is to record.
    pub fn is_delete_wanted(&self) -> bool {
        self.must_delete
    }

    /// Whether all that is sent is to be deleted with so many acknowledgements, instead of noting those.
    pub fn delete_with(&self, acknowledged: Totals) -> bool {
        let rows = (self.ids.len() as u64).saturating_add(acknowledged.count);
        let bytes = self.bytes.saturating_add(acknowledged.bytes);
        self.must_delete || rows >= ROWS_KEPT as u64 || bytes >= BYTES_KEPT
    }

    /// These are noted.
    pub fn noted(&mut self, ids: &[i64], bytes: u64) {
        self.ids.extend(ids);
        self.bytes += bytes;
    }

    /// All are deleted.
    pub fn deleted(&mut self) {
        *self = SentRows::default();
    }

    /// To delete them failed. What is in the log may mean nothing any more, so nothing is noted in it until that
    /// succeeds.
    pub fn delete_failed(&mut self) {
        self.must_delete = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64, bytes: u64) -> Totals {
        Totals { count, bytes }
    }

    #[test]
    fn small_messages_are_noted_and_the_last_of_many_deletes_all() {
        let mut rows = SentRows::default();
        for id in 1..ROWS_KEPT as i64 {
            assert!(!rows.delete_with(sent(1, 200)));
            rows.noted(&[id], 200);
        }
        assert!(rows.delete_with(sent(1, 200)));
        rows.deleted();
        assert!(!rows.delete_with(sent(1, 200)));
    }

    #[test]
    fn many_at_once_and_large_ones_are_deleted_at_once() {
        let mut rows = SentRows::default();
        assert!(rows.delete_with(sent(ROWS_KEPT as u64, 0)));
        assert!(rows.delete_with(sent(1, 200_000)));
        rows.noted(&[1], 40_000);
        assert!(rows.delete_with(sent(1, 40_000)));
    }

    #[test]
    fn what_is_wanted_deleted_goes_with_the_next_record_if_there_is_any() {
        let mut rows = SentRows::default();
        rows.want_deleted();
        assert!(!rows.is_delete_wanted(), "there is none");
        rows.noted(&[1, 2], 2);
        rows.want_deleted();
        assert!(rows.is_delete_wanted());
        assert!(rows.delete_with(sent(0, 0)));
        rows.deleted();
        assert!(!rows.is_delete_wanted());
    }

    #[test]
    fn nothing_is_noted_behind_a_delete_that_failed() {
        let mut rows = SentRows::default();
        rows.delete_failed();
        assert!(rows.delete_with(sent(1, 1)));
        rows.deleted();
        assert!(!rows.delete_with(sent(1, 1)));
    }
}
