//! An outbox on a real database, for tests.

use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;

struct Nobody;

impl Wake for Nobody {
    fn wake_link(&self) {}
    fn wake_uploader(&self) {}
}

pub(super) fn open(directory: &tempfile::TempDir, window: usize, limits: OutboxLimits) -> Outbox {
    let store = Arc::new(Store::open(&directory.path().join("device.db")).unwrap());
    Outbox::open(
        store,
        Arc::new(Nobody),
        Arc::new(SystemClock),
        window,
        limits,
    )
    .unwrap()
}

/// Stores fail from now on, or do not; deletes before them in the same transaction do not.
pub(super) fn fail_inserts(outbox: &Outbox, fails: bool) {
    let sql = if fails {
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'test'); END"
    } else {
        "DROP TRIGGER fails"
    };
    outbox
        .store
        .execute(
            Durability::KillSafe,
            move |transaction| transaction.connection().execute_batch(sql),
            |()| {},
        )
        .unwrap();
}
