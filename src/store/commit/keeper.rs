//! Who keeps the files of the database in order while it is in use. What that takes is known on a floor above.

use rusqlite::Connection;

use super::recovery::Recovery;
use crate::error::Result;
use crate::store::rows::Transaction;

/// Looks at the files before each transaction, and mends them.
pub(in crate::store) trait Keeper: Send {
    /// There is a new connection: the files that it has open are those to look at.
    fn connected(&mut self) -> Result<()>;

    /// Whether the files that are open are where the next start will look for them.
    fn files_are_in_place(&self) -> bool;

    /// They are not: writes everything into a file that is. The connection is of no use behind that.
    fn write_back(&mut self, connection: &Connection) -> Result<()>;

    /// The file is damaged, and nobody has it open: puts one in its place with what can be read of it, and says what
    /// that is. New ids begin at `next_id` at the earliest.
    fn rebuild(&mut self, next_id: i64) -> Result<Recovery>;
}

/// What is in memory goes back into a database of which something was lost.
pub(in crate::store) type WriteBack =
    Box<dyn FnMut(&mut Transaction, &mut Recovery) -> rusqlite::Result<()> + Send>;
