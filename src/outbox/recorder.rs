//! Step 5, where to note what is sent is not enough: the storage thread deletes all that is, and sets aside what the
//! hub does not take. One record at a time; acknowledgements that come meanwhile share the next.

use std::sync::Arc;
use std::time::Instant;

use super::contents::Contents;
use super::records::Record;
use super::sent::{self, SentLog};
use super::shared::{Next, Shared};
use super::shelf::{self, Shelf};
use crate::error::{Error, Result};
use crate::store::{Store, Transaction, rows};
use crate::sync::Mutex;

/// Makes the records.
pub(super) struct Recorder {
    pub store: Arc<Store>,
    pub shared: Arc<Shared>,
    pub sent_log: Arc<Mutex<SentLog>>,
    pub shelf: Arc<Shelf>,
    pub contents: Arc<Contents>,
}

/// What was written to the database.
#[derive(Clone, Copy)]
struct Written {
    /// Of the sent log, if what was noted in it is deleted.
    generation: Option<i64>,
    /// How many Messages there are set aside then, if that changed.
    set_aside: Option<u64>,
}

fn write(
    record: &Record,
    sent_log: &Mutex<SentLog>,
    transaction: &mut Transaction,
) -> rusqlite::Result<Written> {
    let set_aside = if record.set_aside.is_empty() {
        None
    } else {
        Some(shelf::write(transaction, &record.set_aside)?)
    };
    if let Some(lane) = record.lane {
        rows::sent_lane::save(transaction, lane)?;
    }
    // To sync the few bytes of the sent log takes less than to delete the rows that it notes.
    let stays = !record.deletes && (record.noted.is_empty() || sent_log.lock().sync());
    let generation = if stays {
        None
    } else {
        Some(sent::delete(transaction, &record.deleted_rows())?)
    };
    Ok(Written {
        generation,
        set_aside,
    })
}

impl Recorder {
    /// Writes a record that is not noted.
    pub fn delete(self: &Arc<Self>, mut record: Record) {
        if !record.deletes {
            self.shared.lock().messages.delete_with(&mut record);
        }
        self.post(record);
    }

    /// Writes a record that deletes, or changes the lane.
    pub fn post(self: &Arc<Self>, record: Record) {
        let (rows, recorder) = (record.clone(), Arc::clone(self));
        let sent_log = Arc::clone(&self.sent_log);
        self.store.post(
            record.durability(),
            move |transaction| write(&rows, &sent_log, transaction),
            move |written| recorder.written(record, written),
        );
    }

    /// Does what follows from a record.
    pub fn go_on(self: &Arc<Self>, next: Next) {
        if next.may_shrink {
            self.store.shrink();
        }
        if let Some(record) = next.record {
            self.post(record);
        }
    }

    fn written(self: &Arc<Self>, mut record: Record, written: Result<Written>) {
        match written {
            Ok(written) => {
                if let Some(generation) = written.generation {
                    record.deletes = true;
                    self.sent_log.lock().begin(generation);
                }
                // First: who is told then looks at it.
                if let Some(count) = written.set_aside {
                    self.shelf.recorded(count);
                }
                if !record.expired.is_empty() {
                    self.contents.sweep();
                }
                self.go_on(self.shared.change(|it| it.recorded(&record)));
            }
            Err(error) => self.failed(record, &error),
        }
    }

    fn failed(self: &Arc<Self>, record: Record, error: &Error) {
        let next = self.shared.change(|it| {
            let may_go_on = it.messages.record_failed(record);
            may_go_on.then(|| it.messages.begin_delete()).flatten()
        });
        if let Some(next) = next {
            self.post(next);
        }
        self.shared
            .disk_failed("acknowledgements are not recorded", error);
    }

    /// Waits until every acknowledgement is recorded, and the rows of all that is sent are deleted, or the
    /// deadline passes.
    pub fn delete_sent(self: &Arc<Self>, deadline: Instant) {
        let record = {
            let messages = &mut self.shared.lock().messages;
            messages.want_sent_deleted();
            messages.begin_delete()
        };
        if let Some(record) = record {
            self.post(record);
        }
        self.shared.wait_recorded(deadline);
    }
}
