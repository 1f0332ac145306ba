//! Content that is uploaded before its turn, and then is a link in the place of the content.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::contents::Contents;
use super::shared::Shared;
use crate::error::Result;
use crate::store::rows::blocks_up::BlocksUp;
use crate::store::rows::open_upload::OpenUpload;
use crate::store::{Durability, Store, Transaction, rows};

/// The outbox as the uploader sees it.
pub(crate) struct Uploads {
    pub(super) store: Arc<Store>,
    pub(super) shared: Arc<Shared>,
    pub(super) contents: Arc<Contents>,
}

impl Uploads {
    /// The Message whose content has to be uploaded before its turn: of each lane the oldest, if it `may_go`, and of those
    /// that of the highest lane.
    pub fn next(&self, may_go: impl Fn(i64) -> bool) -> Option<i64> {
        self.shared.lock().messages.next_upload(may_go)
    }

    /// The content of this Message is on its way now, or of none: it is not replaced by a newer one.
    pub fn under_way(&self, id: Option<i64>) {
        self.shared.lock().messages.uploading(id);
    }

    /// How large the content of a Message is that is to be uploaded; `None` if it is not there any more.
    pub fn content_bytes(&self, id: i64) -> Result<Option<u64>> {
        let shared = Arc::clone(&self.shared);
        let look = move |transaction: &mut Transaction| {
            let bytes = rows::outbox::content_bytes(transaction, id)?;
            // A link already: it was put there by a commit of which nobody knew whether it had come about.
            let link = match bytes {
                None => rows::outbox::link(transaction, id)?,
                Some(_) => None,
            };
            Ok((bytes, link))
        };
        let found = self
            .store
            .execute(Durability::KillSafe, look, move |(_, link)| {
                if let Some(link) = link.clone() {
                    shared.change(|it| it.messages.uploaded(id, link));
                }
            });
        let (bytes, link) = found?;
        if link.is_some() {
            self.contents.sweep();
        }
        Ok(bytes)
    }

    /// A part of it, or what there is of that part.
    pub fn content(&self, id: i64, part: Range<u64>) -> Result<Option<Vec<u8>>> {
        self.store
            .read(move |transaction| rows::outbox::content(transaction, id, part.clone()))
    }

    /// How much of it an earlier attempt has brought up in blocks.
    pub fn blocks_up(&self, id: i64) -> Result<Option<BlocksUp>> {
        self.store
            .read(move |transaction| rows::blocks_up::load(transaction, id))
    }

    /// So much of it is up now. Synced, so that a power cut costs no more blocks than a kill.
    pub fn brought_up(&self, blocks: BlocksUp) -> Result<()> {
        let save = move |transaction: &mut Transaction| rows::blocks_up::save(transaction, &blocks);
        self.store.execute(Durability::PowerSafe, save, |()| {})
    }

    /// Its blocks are not there any more, or not as they were.
    pub fn begin_anew(&self, id: i64) -> Result<()> {
        let forget = move |transaction: &mut Transaction| rows::blocks_up::forget(transaction, id);
        self.store.execute(Durability::PowerSafe, forget, |()| {})
    }

    /// The upload that an earlier run left open.
    pub fn left_open(&self) -> Result<Option<OpenUpload>> {
        self.store
            .read(|transaction| rows::open_upload::load(transaction))
    }

    /// The hub has this upload open, until [`uploaded`](Self::uploaded).
    pub fn opened(&self, upload: OpenUpload) -> Result<()> {
        let save =
            move |transaction: &mut Transaction| rows::open_upload::save(transaction, &upload);
        self.store.execute(Durability::KillSafe, save, |()| {})
    }

    /// The content is up, and the hub knows: from now on the Message is this link.
    pub fn uploaded(&self, id: i64, link: Bytes) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let row = link.clone();
        self.store.execute(
            Durability::KillSafe,
            move |transaction| {
                rows::open_upload::forget(transaction)?;
                rows::blocks_up::forget(transaction, id)?;
                rows::outbox::replace_content(transaction, id, &row)
            },
            move |()| shared.change(|it| it.messages.uploaded(id, link)),
        )?;
        self.contents.sweep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::outgoing::Body;
    use crate::message::priority::Priority;
    use crate::outbox::new_message::{NewBody, NewMessage};
    use crate::outbox::real_database::open;
    use crate::outbox::{OutboxLimits, Turn};

    #[test]
    fn a_link_that_a_commit_of_unknown_outcome_has_stored_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let outbox = open(&directory, 1, OutboxLimits::new());
        let image = NewMessage {
            priority: Priority::Normal,
            stored_at_ms: 0,
            properties: String::new(),
            body: NewBody::Upload(Bytes::from(vec![0; 1000])),
        };
        let id = outbox
            .enqueue(vec![image], Durability::PowerSafe)
            .expect("it is stored");
        let store =
            move |transaction: &mut _| rows::outbox::replace_content(transaction, id, b"link");
        let stored = outbox.store.execute(Durability::PowerSafe, store, |()| {});
        stored.expect("whoever asked for it is told that nobody knows");
        assert_eq!(outbox.uploads.next(|_| true), Some(id));
        assert_eq!(outbox.uploads.content_bytes(id).unwrap(), None);
        assert_eq!(outbox.uploads.next(|_| true), None);
        assert_eq!(outbox.pending().bytes, 4);
        let taken = outbox.take(&mut Turn::any()).expect("its turn has come");
        assert!(matches!(taken.body, Body::Inline(link) if link == "link"));
    }
}
