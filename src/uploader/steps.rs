//! The steps of an upload, and what is left of them when one fails: for the next attempt, or the next process.
//!
//! ```text
//! 1  a place is asked for, under the name that the blocks before have, and noted as open
//! 2  the content goes there: in blocks, each of which is noted before the next, or as a whole
//! 3  the hub is told
//! ```
//!
//! Content is in memory one block at a time.

mod whole;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Chain;
use crate::http::HubCredentials;
use crate::http::agent::Agent;
use crate::http::upload::{Place, UploadError, UploadHub};
use crate::outbox::Outbox;
use crate::status::UploadStatus;
use crate::store::rows::blocks_up::BlocksUp;
use crate::store::rows::open_upload::OpenUpload;
use crate::sync::Mutex;
use whole::{Ended, Whole};

/// What a broken connection costs at most, and the memory of an upload. Each block takes a connection of its own, of
/// some 5 KB. What is not larger goes as a whole.
const BLOCK_BYTES: u32 = 1 << 20;

/// Whom the uploader tells how far it is. The call must not block.
pub(crate) trait ProgressListener: Send + Sync {
    /// An upload has begun, got on or come to its end, at which all bytes are up.
    fn progressed(&self, upload: UploadStatus);
}

/// Takes content through the steps.
pub(super) struct Steps {
    outbox: Arc<Outbox>,
    agent: Agent,
    /// Of the one thread that uploads.
    open: Mutex<Open>,
    /// For those who ask.
    status: Mutex<Option<UploadStatus>>,
    progress: Option<Arc<dyn ProgressListener>>,
}

/// The upload that the hub has open, as far as that is known, and what was seen of its storage.
#[derive(Default)]
struct Open {
    is_loaded: bool,
    upload: Option<OpenUpload>,
    /// All that is left is to tell the hub that the content is up.
    content_is_up: Option<ContentIsUp>,
    /// The storage takes content only as a whole. Until that fails: then blocks are worth another try.
    blocks_are_refused: bool,
    /// The hub has given a place in the last attempt.
    had_place: bool,
    /// A block came up since that was asked for.
    has_moved: bool,
}

/// Content in the hub's storage.
struct ContentIsUp {
    id: i64,
    blob_name: String,
    /// The hub has refused the credentials that the notification came with.
    was_refused: bool,
}

/// Content on its way.
struct Content {
    bytes: u64,
    up: BlocksUp,
}

impl Content {
    fn block_count(&self) -> u32 {
        let count = self.bytes.div_ceil(u64::from(self.up.block_bytes));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn next_block(&self) -> Range<u64> {
        let block_bytes = u64::from(self.up.block_bytes);
        let start = u64::from(self.up.count) * block_bytes;
        start..start + block_bytes
    }

    fn status(&self) -> UploadStatus {
        UploadStatus {
            uploaded_bytes: self.next_block().start.min(self.bytes),
            total_bytes: self.bytes,
        }
    }
}

impl Steps {
    pub fn new(
        outbox: Arc<Outbox>,
        agent: Agent,
        progress: Option<Arc<dyn ProgressListener>>,
    ) -> Steps {
        Steps {
            outbox,
            agent,
            open: Mutex::default(),
            status: Mutex::default(),
            progress,
        }
    }

    /// The content that is on its way.
    pub fn status(&self) -> Option<UploadStatus> {
        *self.status.lock()
    }

    /// Nothing is on its way any more.
    pub fn ended(&self) {
        *self.status.lock() = None;
    }

    /// Content is on its way, so far.
    fn is_at(&self, status: UploadStatus) {
        *self.status.lock() = Some(status);
        // When all blocks are up, their list is still to come: the end is told after that.
        if status.uploaded_bytes < status.total_bytes {
            self.tell(status);
        }
    }

    fn tell(&self, status: UploadStatus) {
        if let Some(progress) = &self.progress {
            progress.progressed(status);
        }
    }

    /// Whether the hub has given a place in the last attempt, and it is not the hub's word that is missing: what failed
    /// is between the content and its storage.
    pub fn had_place(&self) -> bool {
        let open = self.open.lock();
        open.had_place && open.content_is_up.is_none()
    }

    /// Whether a block came up since the last time that this was asked.
    pub fn has_moved(&self) -> bool {
        std::mem::take(&mut self.open.lock().has_moved)
    }

    /// Brings this content up, by all three steps or by those that are left; returns the name by which
    /// the Platform finds it, or `None` if the Message is gone, or is not the next one any more.
    pub fn bring_up(
        &self,
        id: i64,
        credentials: &HubCredentials,
        is_next: &dyn Fn() -> bool,
    ) -> Result<Option<String>, UploadError> {
        let device = credentials.device.to_string();
        let hub = UploadHub::new(&self.agent, credentials).map_err(UploadError::Transient)?;
        let (left_open, content_is_up) = self.left_open(&device);
        match (left_open, content_is_up) {
            (Some(upload), Some(up)) if up.id == id => {
                return self.notify_success(&hub, upload, up).map(Some);
            }
            // Once: if the hub does not hear it now either, it will find out by itself.
            (Some(upload), _) => {
                notify_failure(&hub, &upload);
            }
            _ => {}
        }
        let Some(mut content) = self.content(id).map_err(UploadError::Transient)? else {
            return Ok(None);
        };
        self.is_at(content.status());
        let place = hub.ask_for_place(&content.up.blob_name)?;
        self.open.lock().had_place = true;
        // From now on a newer Message waits for it: else none would ever come up on a slow link.
        self.outbox.uploads.under_way(Some(id));
        let upload = OpenUpload {
            correlation_id: place.correlation_id.clone(),
            device,
        };
        if let Err(error) = self.outbox.uploads.opened(upload.clone()) {
            // After a kill the hub would have to find out by itself; the content goes up all the same.
            log::debug!("an open upload is not stored: {}", Chain(&error));
        }
        match self.put(&place, &mut content, is_next) {
            Ok(true) => self.tell(UploadStatus {
                uploaded_bytes: content.bytes,
                total_bytes: content.bytes,
            }),
            Ok(false) => {
                notify_failure(&hub, &upload);
                return Ok(None);
            }
            Err(error) => {
                if !notify_failure(&hub, &upload) {
                    self.open.lock().upload = Some(upload);
                }
                return Err(error);
            }
        }
        let up = ContentIsUp {
            id,
            blob_name: content.up.blob_name,
            was_refused: false,
        };
        self.notify_success(&hub, upload, up).map(Some)
    }

    /// What is to be ended before another upload is opened.
    fn left_open(&self, device: &str) -> (Option<OpenUpload>, Option<ContentIsUp>) {
        let mut open = self.open.lock();
        open.had_place = false;
        if !std::mem::replace(&mut open.is_loaded, true) {
            open.upload = self.outbox.uploads.left_open().unwrap_or_else(|error| {
                log::debug!("an open upload is not known: {}", Chain(&error));
                None
            });
        }
        let upload = open.upload.take().filter(|open| open.device == device);
        (upload, open.content_is_up.take())
    }

    /// The content of a Message, with what an earlier attempt has brought up; `None` if it is gone.
    fn content(&self, id: i64) -> crate::Result<Option<Content>> {
        let uploads = &self.outbox.uploads;
        let Some(bytes) = uploads.content_bytes(id)? else {
            return Ok(None);
        };
        let before = uploads.blocks_up(id)?;
        let up = before
            .filter(|up| up.block_bytes == BLOCK_BYTES)
            .unwrap_or_else(|| BlocksUp {
                message: id,
                blob_name: uuid::Uuid::new_v4().to_string(),
                block_bytes: BLOCK_BYTES,
                count: 0,
            });
        Ok(Some(Content { bytes, up }))
    }

    /// Step 2; `false` if the Message is gone, or is not the next one any more.
    fn put(
        &self,
        place: &Place,
        content: &mut Content,
        is_next: &dyn Fn() -> bool,
    ) -> Result<bool, UploadError> {
        if content.block_count() > 1 && !self.open.lock().blocks_are_refused {
            match self.put_blocks(place, content, is_next) {
                Err(UploadError::BlocksRefused(error)) => {
                    log::info!(
                        "the storage takes no blocks, so large content goes as a whole: {}",
                        Chain(&error)
                    );
                    self.open.lock().blocks_are_refused = true;
                }
                ended => return ended,
            }
        }
        let put = self.put_whole(place, content);
        if put.is_err() {
            self.open.lock().blocks_are_refused = false;
        }
        put
    }

    fn put_whole(&self, place: &Place, content: &Content) -> Result<bool, UploadError> {
        let mut whole = Whole::new(&self.outbox.uploads, content.up.message, content.bytes);
        let put = place.put(&self.agent, whole.body());
        match whole.ended_by {
            None => put.map(|()| true),
            Some(Ended::MessageIsGone) => Ok(false),
            Some(Ended::Failed(error)) => Err(UploadError::Transient(error)),
        }
    }

    fn put_blocks(
        &self,
        place: &Place,
        content: &mut Content,
        is_next: &dyn Fn() -> bool,
    ) -> Result<bool, UploadError> {
        let id = content.up.message;
        while content.up.count < content.block_count() {
            // It goes on behind content of a higher lane that has come meanwhile, or has waited enough.
            if !is_next() {
                return Ok(false);
            }
            let Some(block) = self.part(content, content.next_block())? else {
                return Ok(false);
            };
            place.put_block(&self.agent, content.up.count, &block)?;
            content.up.count += 1;
            self.open.lock().has_moved = true;
            if let Err(error) = self.outbox.uploads.brought_up(content.up.clone()) {
                // The next attempt sends again what is not noted.
                log::debug!("a block that is up is not noted: {}", Chain(&error));
            }
            self.is_at(content.status());
        }
        let committed = place.commit_blocks(&self.agent, content.up.count);
        if matches!(committed, Err(UploadError::Permanent(_))) {
            // Most likely they are gone, after a week. Another name keeps clear of what may be left of them.
            let begun_anew = self.outbox.uploads.begin_anew(id);
            begun_anew.map_err(UploadError::Transient)?;
        }
        committed.map(|()| true)
    }

    fn part(&self, content: &Content, part: Range<u64>) -> Result<Option<Vec<u8>>, UploadError> {
        let part = self.outbox.uploads.content(content.up.message, part);
        part.map_err(UploadError::Transient)
    }

    /// Step 3. If the hub does not hear it, only that is tried again, so that an outage does not cost the
    /// content's way each time. If it refuses it, also with other credentials, the content goes up once
    /// more, of blocks only their list; so often at most as a hub may refuse content.
    fn notify_success(
        &self,
        hub: &UploadHub<'_>,
        upload: OpenUpload,
        mut up: ContentIsUp,
    ) -> Result<String, UploadError> {
        let error = match hub.notify_success(&upload.correlation_id) {
            Ok(()) => return Ok(up.blob_name),
            Err(error) => error,
        };
        let mut open = self.open.lock();
        open.upload = Some(upload);
        match error {
            UploadError::CredentialsRefused(error) if up.was_refused => {
                Err(UploadError::Permanent(error))
            }
            UploadError::Permanent(error) => Err(UploadError::Permanent(error)),
            error => {
                up.was_refused |= matches!(error, UploadError::CredentialsRefused(_));
                open.content_is_up = Some(up);
                Err(error)
            }
        }
    }
}

/// Gives a place back; returns whether the hub knows.
fn notify_failure(hub: &UploadHub<'_>, upload: &OpenUpload) -> bool {
    hub.notify_failure(&upload.correlation_id)
        .inspect_err(|error| log::debug!("a failed upload was not notified: {}", error.error()))
        .is_ok()
}
