//! How much is stored.

use rusqlite::Result;

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

/// Counts a table whose content is in `body`.
pub(super) fn of_table(transaction: &Transaction, table: &'static str) -> Result<Totals> {
    transaction.connection().query_row(
        &format!("SELECT count(*), coalesce(sum(length(body)), 0) FROM {table}"),
        (),
        |row| {
            Ok(Totals {
                count: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        },
    )
}
