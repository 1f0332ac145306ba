//! The callback thread: user code runs here, and nowhere else where something could wait for it.
//!
//! There is a place for one piece of news of each kind: a slow callback sees the latest, not all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::status::{ConnectionChange, UploadStatus};
use crate::sync::{Condvar, Mutex};
use crate::twin::DesiredProperties;

pub(crate) type DesiredCallback = Box<dyn FnMut(DesiredProperties) + Send>;
pub(crate) type ConnectionCallback = Box<dyn FnMut(ConnectionChange) + Send>;
pub(crate) type UploadCallback = Box<dyn FnMut(UploadStatus) + Send>;

/// The callbacks that the application has set.
#[derive(Default)]
pub(crate) struct CallbackSet {
    pub desired: Option<DesiredCallback>,
    pub connection: Option<ConnectionCallback>,
    pub upload: Option<UploadCallback>,
}

impl CallbackSet {
    /// Then no thread is needed.
    pub fn is_empty(&self) -> bool {
        self.desired.is_none() && self.connection.is_none() && self.upload.is_none()
    }
}

/// News for the application, and the thread that delivers them.
pub(crate) struct Callbacks {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    own_thread: ThreadId,
}

#[derive(Default)]
struct Shared {
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Default)]
struct News {
    desired: Option<DesiredProperties>,
    connection: Option<ConnectionChange>,
    upload: Option<UploadStatus>,
    closed: bool,
    is_over: bool,
}

impl News {
    fn are_none(&self) -> bool {
        self.desired.is_none() && self.connection.is_none() && self.upload.is_none()
    }
}

impl Callbacks {
    /// Starts the thread.
    pub fn start(set: CallbackSet) -> Result<Callbacks> {
        let shared = Arc::new(Shared::default());
        let thread = crate::threads::spawn("spotflow-callback", {
            let shared = Arc::clone(&shared);
            move || shared.deliver(set)
        })
        .map_err(|error| Error::system("start the callback thread", error))?;
        Ok(Callbacks {
            shared,
            own_thread: thread.thread().id(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// There is a new version of the Desired Properties.
    pub fn desired_changed(&self, properties: &DesiredProperties) {
        self.shared
            .tell(|news| news.desired = Some(properties.clone()));
    }

    /// The connection came or went.
    pub fn connection_changed(&self, change: ConnectionChange) {
        self.shared.tell(|news| news.connection = Some(change));
    }

    /// An upload has begun, got on or come to its end.
    pub fn upload_progressed(&self, upload: UploadStatus) {
        self.shared.tell(|news| news.upload = Some(upload));
    }

    /// Whether a callback is asking.
    pub fn is_own_thread(&self) -> bool {
        self.own_thread == std::thread::current().id()
    }

    /// Delivers nothing more, and waits for a callback that is running until the deadline; not if it
    /// is that callback that closes the client.
    pub fn close(&self, deadline: Instant) {
        self.shared.tell(|news| news.closed = true);
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        if self.is_own_thread() {
            return;
        }
        if !self.shared.wait_over(deadline) {
            log::warn!("a callback is still running; its thread is left behind");
            return;
        }
        // Callbacks' panics are caught below, so the thread ends without one.
        drop(thread.join());
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.close(Instant::now());
    }
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock());
        self.changed.notify_all();
    }

    fn wait_over(&self, deadline: Instant) -> bool {
        let news = self.news.lock();
        let goes_on = |news: &mut News| !news.is_over;
        let news = self.changed.wait_while_until(news, deadline, goes_on);
        news.is_over
    }

    /// Returns whether there are any; there are none once it is closed.
    fn wait_for_news(&self) -> bool {
        let news = self.news.lock();
        let is_idle = |news: &mut News| news.are_none() && !news.closed;
        !self.changed.wait_while(news, is_idle).closed
    }

    /// Nothing, if the client was closed meanwhile, perhaps in the callback that ran before.
    fn take<T>(&self, part: impl FnOnce(&mut News) -> Option<T>) -> Option<T> {
        let mut news = self.news.lock();
        if news.closed { None } else { part(&mut news) }
    }

    fn deliver(&self, mut set: CallbackSet) {
        let mut delivered: Option<DesiredProperties> = None;
        while self.wait_for_news() {
            // Each is taken right before its callback, as the others' may have taken long.
            let connection = self.take(|news| news.connection.take());
            if let (Some(callback), Some(change)) = (&mut set.connection, connection) {
                guard("connection", || callback(change));
            }
            let desired = self.take(|news| news.desired.take());
            // At the start, the stored properties and the hub's answer can be the same.
            if let (Some(callback), Some(properties)) = (&mut set.desired, desired)
                && delivered.as_ref() != Some(&properties)
            {
                delivered = Some(properties.clone());
                guard("Desired Properties", || callback(properties));
            }
            let upload = self.take(|news| news.upload.take());
            if let (Some(callback), Some(upload)) = (&mut set.upload, upload) {
                guard("upload progress", || callback(upload));
            }
        }
        // What the callbacks captured goes before the thread counts as over: it may hold a client.
        guard("dropped", || drop(set));
        self.tell(|news| news.is_over = true);
    }
}

/// Runs user code; a panic in it is logged, and goes no further.
pub(crate) fn guard(name: &str, callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("the {name} callback panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::twin::Document;
    use crate::twin::document::Versioned;

    fn properties(version: u64) -> DesiredProperties {
        DesiredProperties::new(Versioned {
            version,
            values: Document::new(),
        })
    }

    fn change() -> ConnectionChange {
        ConnectionChange {
            is_connected: true,
            error: None,
        }
    }

    #[test]
    fn properties_that_waited_for_a_slow_connection_callback_are_the_latest() {
        let (see, seen) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let desired = {
            let (see, gate) = (see.clone(), Arc::clone(&gate));
            move |properties: DesiredProperties| {
                see.send(properties.version()).unwrap();
                gate.lock().recv().unwrap();
            }
        };
        let connection = move |_| {
            see.send(0).unwrap();
            gate.lock().recv().unwrap();
        };
        let set = CallbackSet {
            desired: Some(Box::new(desired)),
            connection: Some(Box::new(connection)),
            upload: None,
        };
        let callbacks = Callbacks::start(set).unwrap();
        callbacks.desired_changed(&properties(1));
        assert_eq!(seen.recv().unwrap(), 1);
        callbacks.connection_changed(change());
        callbacks.desired_changed(&properties(2));
        go_on.send(()).unwrap();
        assert_eq!(seen.recv().unwrap(), 0);
        callbacks.desired_changed(&properties(3));
        go_on.send(()).unwrap();
        assert_eq!(seen.recv().unwrap(), 3);
        go_on.send(()).unwrap();
        callbacks.close(Instant::now() + std::time::Duration::from_secs(60));
        assert!(seen.try_recv().is_err());
    }
}
