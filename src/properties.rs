//! Desired and Reported Properties as the application, the link and the database share them.
//!
//! ```text
//! Desired    link ── full twin, patches ──> here ──> database, callback, waiting readers
//! Reported   application ──> database ──> here ── merge patch ──> link
//! ```
//!
//! What the documents mean is decided in [`twin`](crate::twin), which is pure.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Chain, Error, Result};
use crate::store::rows;
use crate::store::rows::documents::{DocumentKind, DocumentRow};
use crate::store::{Durability, Store, Transaction};
use crate::sync::{Condvar, Mutex};
use crate::twin::desired::{Desired, DesiredChange};
use crate::twin::document::{self, FullTwin, Versioned};
use crate::twin::reported::Reported;
use crate::twin::{DesiredProperties, Document};
use crate::wait::{InterruptCheck, wait_for};

/// Told of news; must not block.
pub(crate) trait Listener: Send + Sync {
    /// There is a new version of the Desired Properties.
    fn desired_changed(&self, properties: &DesiredProperties);
    /// There may be a patch of the Reported Properties to send.
    fn reported_changed(&self);
}

/// What the answer to a read of the twin was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TwinRead {
    /// The twin is known.
    Read,
    /// It is older than an update that has come meanwhile: another read is needed.
    Overtaken,
    /// It is no twin: another read is needed, but not at once.
    Unreadable,
}

/// The device twin, shared.
pub(crate) struct Properties {
    store: Arc<Store>,
    listener: Arc<dyn Listener>,
    /// Shared with jobs in the store's queue.
    state: Arc<Mutex<State>>,
    received: Condvar,
}

struct State {
    desired: Desired,
    reported: Reported,
    /// The listener was told of Desired Properties in this run.
    desired_told: bool,
    closed: bool,
}

impl Properties {
    /// Starts with what the database has kept.
    pub fn open(store: Arc<Store>, listener: Arc<dyn Listener>) -> Result<Properties> {
        let [desired, reported, wanted] = store.read(|writer| {
            Ok([
                rows::documents::load(writer, DocumentKind::Desired)?,
                rows::documents::load(writer, DocumentKind::Reported)?,
                rows::documents::load(writer, DocumentKind::Wanted)?,
            ])
        })?;
        let values = |row: Option<DocumentRow>| from_row(row).map(|versioned| versioned.values);
        let state = Arc::new(Mutex::new(State {
            desired: Desired::new(from_row(desired)),
            reported: Reported::new(values(reported), values(wanted)),
            desired_told: false,
            closed: false,
        }));
        let kept = Arc::clone(&state);
        store.on_recovery(move |writer, _| kept.lock().write_back(writer));
        Ok(Properties {
            store,
            listener,
            state,
            received: Condvar::new(),
        })
    }

    /// The Desired Properties, unless none were ever received.
    pub fn desired(&self) -> Option<DesiredProperties> {
        self.state.lock().desired.current().cloned()
    }

    /// Tells the listener of the stored Desired Properties, unless it was told of others already: a
    /// callback never sees a version again, or an older one after a newer one.
    pub fn announce_stored(&self) {
        let mut state = self.state.lock();
        if let (Some(current), false) = (state.desired.current(), state.desired_told) {
            self.listener.desired_changed(current);
            state.desired_told = true;
        }
    }

    /// The Desired Properties; waits if none were ever received.
    pub fn wait_desired(
        &self,
        deadline: Option<Instant>,
        check: Option<&dyn InterruptCheck>,
    ) -> Result<DesiredProperties> {
        let state = self.state.lock();
        let received = |state: &mut State| match state.desired.current() {
            Some(current) => Some(Ok(current.clone())),
            None => state.closed.then_some(Err(Error::Closed)),
        };
        wait_for(
            &self.state,
            state,
            &self.received,
            deadline,
            check,
            received,
        )
        .1
    }

    /// States the whole Reported Properties; returns when they are stored.
    pub fn report(&self, document: Document) -> Result<()> {
        let row = to_row(0, &document);
        let state = Arc::clone(&self.state);
        self.store.execute(
            Durability::PowerSafe,
            move |writer| rows::documents::save(writer, DocumentKind::Wanted, Some(&row)),
            move |()| state.lock().reported.state(document),
        )?;
        self.listener.reported_changed();
        Ok(())
    }

    /// Whether the Platform has yet to confirm Reported Properties.
    pub fn any_pending_report(&self) -> bool {
        self.state.lock().reported.is_pending()
    }

    /// For the link: a read of the whole twin was sent.
    pub fn read_sent(&self) {
        self.state.lock().desired.read_sent();
    }

    /// For the link: the answer to a read.
    pub fn full_twin(&self, payload: &[u8]) -> TwinRead {
        let FullTwin { desired, reported } = match document::parse_full_twin(payload) {
            Ok(twin) => twin,
            Err(problem) => {
                log::warn!("the hub sent a twin that cannot be read: {problem}");
                return TwinRead::Unreadable;
            }
        };
        let mut state = self.state.lock();
        let known_before = state.reported.known().cloned();
        let version = reported.version;
        state.reported.full_read(reported);
        if state.reported.known() != known_before.as_ref() {
            let row = state.reported.known().map(|known| to_row(version, known));
            self.save(DocumentKind::Reported, row);
        }
        let change = state.desired.apply_full(desired);
        if self.after_desired(&mut state, change) {
            TwinRead::Overtaken
        } else {
            TwinRead::Read
        }
    }

    /// For the link: an update of the Desired Properties. Returns whether a read is needed.
    pub fn desired_patch(&self, payload: &[u8]) -> bool {
        match document::parse_desired_patch(payload) {
            Ok(patch) => {
                let mut state = self.state.lock();
                let change = state.desired.apply_patch(&patch);
                self.after_desired(&mut state, change)
            }
            Err(problem) => {
                log::warn!("the hub sent Desired Properties that cannot be read: {problem}");
                true
            }
        }
    }

    fn after_desired(&self, state: &mut State, change: DesiredChange) -> bool {
        match (change, state.desired.current()) {
            (DesiredChange::Updated, Some(current)) => {
                let row = to_row(current.version(), current.values());
                self.save(DocumentKind::Desired, Some(row));
                self.listener.desired_changed(current);
                self.received.notify_all();
                state.desired_told = true;
                false
            }
            (DesiredChange::Gap, _) => true,
            (DesiredChange::Updated | DesiredChange::Unchanged, _) => false,
        }
    }

    /// For the link: the patch to send now, if there is one and none is on the way.
    pub fn next_patch(&self) -> Option<Vec<u8>> {
        let patch = self.state.lock().reported.next_patch()?;
        Some(patch.to_string().into_bytes())
    }

    /// For the link: the Platform took the patch.
    pub fn patch_confirmed(&self, version: Option<u64>) {
        let mut state = self.state.lock();
        state.reported.confirmed(version);
        let known = state.reported.known();
        self.save(
            DocumentKind::Reported,
            known.map(|known| to_row(version.unwrap_or(0), known)),
        );
    }

    /// For the link: the Platform will not take the patch, and never will.
    pub fn patch_rejected(&self) {
        let mut state = self.state.lock();
        state.reported.rejected();
        let wanted = state.reported.wanted();
        self.save(DocumentKind::Wanted, wanted.map(|wanted| to_row(0, wanted)));
    }

    /// For the link: the Platform did not take the patch this time.
    pub fn patch_failed(&self) {
        self.state.lock().reported.failed();
    }

    /// For the link: the connection ended.
    pub fn connection_lost(&self) {
        self.state.lock().reported.connection_lost();
    }

    /// The identity changed: nothing known of the old one holds. What the application reports is told
    /// to the new one, too.
    pub fn forget_platform_side(&self) {
        let mut state = self.state.lock();
        state.desired = Desired::new(None);
        state.reported = Reported::new(None, state.reported.wanted().cloned());
    }

    /// The link does not wait for the disk. A row that is not written is replaced by the next read.
    fn save(&self, kind: DocumentKind, row: Option<DocumentRow>) {
        self.store.post(
            Durability::KillSafe,
            move |writer| rows::documents::save(writer, kind, row.as_ref()),
            move |result| {
                if let Err(error) = result {
                    log::warn!("cannot store properties: {}", Chain(&error));
                }
            },
        );
    }

    /// Ends all waits.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.received.notify_all();
    }
}

impl State {
    /// The database was damaged and rebuilt.
    fn write_back(&self, writer: &mut Transaction) -> rusqlite::Result<()> {
        let desired = self.desired.current();
        let desired = desired.map(|it| to_row(it.version(), it.values()));
        let known = self.reported.known().map(|it| to_row(0, it));
        let wanted = self.reported.wanted().map(|it| to_row(0, it));
        rows::documents::save(writer, DocumentKind::Desired, desired.as_ref())?;
        rows::documents::save(writer, DocumentKind::Reported, known.as_ref())?;
        rows::documents::save(writer, DocumentKind::Wanted, wanted.as_ref())
    }
}

/// In the transaction in which the identity changes.
pub(crate) fn forget_platform_side(writer: &mut Transaction) -> rusqlite::Result<()> {
    rows::documents::save(writer, DocumentKind::Desired, None)?;
    rows::documents::save(writer, DocumentKind::Reported, None)
}

fn to_row(version: u64, values: &Document) -> DocumentRow {
    let text = serde_json::to_string(values).unwrap_or_else(|_| "{}".to_owned());
    (version, text)
}

/// A document that cannot be read is as good as none: the Platform has it.
fn from_row(row: Option<DocumentRow>) -> Option<Versioned> {
    let (version, document) = row?;
    match serde_json::from_str(&document) {
        Ok(values) => Some(Versioned { version, values }),
        Err(error) => {
            log::warn!("stored properties cannot be read and are dropped: {error}");
            None
        }
    }
}
