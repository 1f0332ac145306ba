//! Content that is copied into the store before its Message: chunk by chunk, each in a commit of its own, so that
//! others store meanwhile. What no Message has in the end is deleted in the same way, also what a kill has left.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gate::Gate;
use crate::error::{Chain, Result};
use crate::store::rows::chunks::{self, CHUNK_BYTES, StoredContent, Swept};
use crate::store::{Durability, Store, Transaction};
use crate::sync::Mutex;

/// The contents in the store.
pub(crate) struct Contents {
    pub(super) store: Arc<Store>,
    pub(super) gate: Arc<Gate>,
    known: Arc<Known>,
}

/// What is known of them without a look.
#[derive(Default)]
struct Known {
    /// Those that are copied just now: they have no Message yet.
    under_way: Mutex<HashSet<i64>>,
    /// There may be some.
    may_be_any: AtomicBool,
}

impl Contents {
    /// Deletes what an earlier run has left of copies that were not completed.
    pub(super) fn open(store: Arc<Store>, gate: Arc<Gate>) -> Result<Contents> {
        let may_be_any = store.read(|transaction| chunks::is_there(transaction.connection()))?;
        let contents = Contents {
            store,
            gate,
            known: Arc::default(),
        };
        contents
            .known
            .may_be_any
            .store(may_be_any, Ordering::Release);
        contents.sweep();
        Ok(contents)
    }

    /// Begins to copy one. What is copied is deleted again unless a Message has it when the copy is dropped.
    pub fn begin(self: &Arc<Self>) -> Result<ContentCopy> {
        let (known, stored) = (Arc::clone(&self.known), Arc::clone(&self.known));
        let id = self.store.execute(
            Durability::KillSafe,
            move |transaction| {
                let id = chunks::begin(transaction)?;
                // Before a sweep can see it.
                known.under_way.lock().insert(id);
                Ok(id)
            },
            move |_| stored.may_be_any.store(true, Ordering::Release),
        )?;
        Ok(ContentCopy {
            contents: Arc::clone(self),
            content: StoredContent { id, bytes: 0 },
            chunks: 0,
        })
    }

    /// Has the storage thread delete what no Message has any more. Does not block.
    pub fn sweep(&self) {
        if self.known.may_be_any.load(Ordering::Acquire) {
            post_sweep(Arc::clone(&self.store), Arc::clone(&self.known));
        }
    }
}

/// One job after another, each of which deletes a little: others have their turn between them.
fn post_sweep(store: Arc<Store>, known: Arc<Known>) {
    let (next, before) = (Arc::clone(&store), Arc::clone(&known));
    store.post(
        Durability::KillSafe,
        move |transaction| {
            let under_way = before.under_way.lock().clone();
            chunks::sweep(transaction, &under_way)
        },
        move |swept| match swept {
            Ok(Swept::Some) => post_sweep(next, known),
            Ok(Swept::All) => {
                known.may_be_any.store(false, Ordering::Release);
                next.shrink();
            }
            Ok(Swept::Nothing) => {}
            // The next one comes with the next content that goes, or the next start.
            Err(error) => log::debug!("content stays in the file: {}", Chain(&error)),
        },
    );
}

/// A content on its way into the store.
pub(crate) struct ContentCopy {
    contents: Arc<Contents>,
    content: StoredContent,
    chunks: u32,
}

impl ContentCopy {
    /// Stores the next chunk: each but the last has [`CHUNK_BYTES`].
    pub fn append(&mut self, chunk: Vec<u8>) -> Result<()> {
        debug_assert!(chunk.len() <= CHUNK_BYTES && !chunk.is_empty());
        let (content, number) = (self.content.id, self.chunks);
        let bytes = self.content.bytes + chunk.len() as u64;
        self.contents.gate.check_copy(bytes)?;
        let write = move |transaction: &mut Transaction| {
            chunks::append(transaction, content, number, &chunk)
        };
        let store = &self.contents.store;
        store.execute(Durability::KillSafe, write, |()| {})?;
        self.content.bytes = bytes;
        self.chunks += 1;
        Ok(())
    }

    /// What is copied so far.
    pub fn content(&self) -> StoredContent {
        self.content
    }
}

impl Drop for ContentCopy {
    fn drop(&mut self) {
        let known = &self.contents.known;
        known.under_way.lock().remove(&self.content.id);
        self.contents.sweep();
    }
}
