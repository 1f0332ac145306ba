//! How much is stored.

use rusqlite::Result;

use super::chunks::CONTENT_BYTES;
use super::transaction::Transaction;

/// So many Messages, with so much content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub count: u64,
    pub bytes: u64,
}

impl Totals {
    pub fn and(self, other: Totals) -> Totals {
        Totals {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub fn without(self, other: Totals) -> Totals {
        Totals {
            count: self.count.saturating_sub(other.count),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Counts a table of Messages.
pub(super) fn of_messages(transaction: &Transaction, table: &'static str) -> Result<Totals> {
    of_table(transaction, table, CONTENT_BYTES)
}

/// Counts a table of which `bytes` says how many bytes the content of a row has.
pub(super) fn of_table(
    transaction: &Transaction,
    table: &'static str,
    bytes: &'static str,
) -> Result<Totals> {
    transaction.connection().query_row(
        &format!("SELECT count(*), coalesce(sum({bytes}), 0) FROM {table}"),
        (),
        |row| {
            Ok(Totals {
                count: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        },
    )
}
