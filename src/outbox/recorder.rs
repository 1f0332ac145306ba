//! Step 5: what is acknowledged is noted or deleted, what is refused set aside. One record at a time;
//! acknowledgements that come meanwhile share the next.

use std::sync::Arc;
use std::time::Instant;

use super::records::Record;
use super::sent::{self, SentLog};
use super::shared::Shared;
use super::shelf::{self, Shelf};
use crate::error::{Error, Result};
use crate::store::{Store, Transaction};
use crate::sync::Mutex;

/// Makes the records.
pub(super) struct Recorder {
    pub store: Arc<Store>,
    pub shared: Arc<Shared>,
    /// Used by whoever makes the record that is under way.
    pub sent_log: Arc<Mutex<SentLog>>,
    pub shelf: Arc<Shelf>,
}

/// What was written to the database.
#[derive(Clone, Copy)]
struct Written {
    /// Of the sent log.
    generation: i64,
    /// How many Messages there are set aside then, if that changed.
    set_aside: Option<u64>,
}

fn write(record: &Record, writer: &mut Transaction) -> rusqlite::Result<Written> {
    let set_aside = if record.set_aside.is_empty() {
        None
    } else {
        Some(shelf::write(writer, &record.set_aside)?)
    };
    let generation = sent::delete(writer, &record.sent_rows())?;
    Ok(Written {
        generation,
        set_aside,
    })
}

impl Recorder {
    /// By the link. What is only noted is recorded when this returns: to hand each acknowledgement to another
    /// thread costs more than to write it.
    pub fn record(self: &Arc<Self>) {
        let record = {
            let mut it = self.shared.lock();
            // It looks for Messages to take behind this.
            it.link_waits = false;
            it.messages.begin_record()
        };
        let Some(mut record) = record else { return };
        if !record.deletes {
            let is_noted = self
                .sent_log
                .lock()
                .note(&record.acknowledged, Instant::now());
            if is_noted {
                return self.recorded(&record);
            }
            self.shared.lock().messages.delete_with(&mut record);
        }
        self.post(record);
    }

    /// Writes a record that has begun, by the storage thread.
    pub fn post(self: &Arc<Self>, record: Record) {
        let (rows, recorder) = (record.clone(), Arc::clone(self));
        self.store.post(
            record.durability(),
            move |writer| write(&rows, writer),
            move |written| recorder.written(record, written),
        );
    }

    fn written(self: &Arc<Self>, record: Record, written: Result<Written>) {
        match written {
            Ok(written) => {
                self.sent_log.lock().begin(written.generation);
                // First: who is told then looks at it.
                if let Some(count) = written.set_aside {
                    self.shelf.recorded(count);
                }
                self.recorded(&record);
            }
            Err(error) => self.failed(record, &error),
        }
    }

    fn recorded(self: &Arc<Self>, record: &Record) {
        let (has_drained, next) = self.shared.change(|it| {
            let has_drained = it.recorded(record);
            it.tell_of_drops();
            (has_drained, it.messages.begin_delete())
        });
        if has_drained {
            self.store.shrink();
        }
        if let Some(next) = next {
            self.post(next);
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

    /// Nothing is noted any more.
    pub fn close(&self) {
        self.sent_log.lock().close();
    }
}
