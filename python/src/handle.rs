//! A client with its callback thread: how they start and how they end together.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::calls::{CallQueue, Calls};
use crate::events::{Configured, Events, News};
use crate::gate::{self, closed, outside};
use crate::logs;
use crate::owned::Owned;
use crate::signals::{Signals, waiting};
use crate::{methods, remote_access};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// How long `close` waits for a callback, beside what the library takes.
const CALLBACK_GRACE: Duration = Duration::from_secs(1);

/// A client and what belongs to it; shared by everything that was made from it.
pub struct Handle {
    client: Owned<spotflow_device::DeviceClient>,
    news: Arc<News>,
    calls: Arc<CallQueue>,
    is_closed: AtomicBool,
}

impl Handle {
    /// The client, unless it is closed or another process's.
    pub fn open(&self, py: Python<'_>) -> PyResult<&spotflow_device::DeviceClient> {
        let client = self.client.get()?;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(closed(py));
        }
        Ok(client)
    }

    /// The client, also if it is closed.
    pub fn anytime(&self) -> PyResult<&spotflow_device::DeviceClient> {
        self.client.get()
    }

    /// Ends the client, and waits a moment for a callback that is running.
    pub fn close_and_join(&self, py: Python<'_>) -> PyResult<()> {
        // Another process's client must not be touched.
        self.client.get()?;
        if gate::is_closed() {
            // The exit closes all clients.
            return Ok(());
        }
        let is_over = outside(py, || {
            self.close();
            self.news.wait_until_over(Instant::now() + CALLBACK_GRACE)
        })?;
        if !is_over {
            background(py)?.call_method0("tell_that_a_callback_is_left")?;
        }
        Ok(())
    }

    /// Ends the client and its callbacks. Blocks; not to be called with the interpreter's lock held.
    pub fn close(&self) {
        // First, so that nobody is told by chance that the connection went.
        self.news.close();
        self.calls.close();
        self.is_closed.store(true, Ordering::Release);
        if let Ok(client) = self.client.get() {
            client.close();
        }
    }

    /// Before a fork; nothing if this is another process's client.
    pub fn hold_for_fork(&self) -> Option<spotflow_device::ForkGuard> {
        self.client
            .get()
            .ok()
            .map(spotflow_device::DeviceClient::hold_for_fork)
    }

    /// In a forked child, which must touch nothing else.
    pub fn leave_to_parent(&self) {
        if let Some(client) = self.client.get_anywhere() {
            client.clone().forget_after_fork();
        }
    }
}

/// A client that the news do not keep.
struct Forgettable(Weak<Handle>);

impl Configured for Forgettable {
    fn newer_than(&self, version: u64) -> Option<spotflow_device::DesiredProperties> {
        let handle = self.0.upgrade()?;
        if handle.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let client = handle.client.get().ok()?;
        client.get_desired_properties_if_newer(version)
    }
}

/// Ends the callback thread when the library has dropped the client.
struct EndOfNews(Arc<News>);

impl Drop for EndOfNews {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Ends the thread that starts calls in the same way.
struct EndOfCalls(Arc<CallQueue>);

impl Drop for EndOfCalls {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The Python side of the threads.
fn background(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("spotflow_device._background")
}

/// What a program wants to be called for.
pub struct Callbacks<'a, 'py> {
    pub display: Argument<'a, 'py>,
    pub desired: Argument<'a, 'py>,
    pub connection: Argument<'a, 'py>,
    pub upload: Argument<'a, 'py>,
    pub methods: Methods<'a, 'py>,
    pub remote_access: RemoteAccess<'a, 'py>,
}

/// Whether technicians may reach this device, and whom to ask for each tunnel.
pub struct RemoteAccess<'a, 'py> {
    pub options: Option<spotflow_device::RemoteAccess>,
    pub agrees: Argument<'a, 'py>,
}

/// The methods that the cloud can call.
pub struct Methods<'a, 'py> {
    /// Each name has a callable in the `dict`.
    pub names: Vec<String>,
    pub by_name: Argument<'a, 'py>,
    pub others: Argument<'a, 'py>,
}

impl Methods<'_, '_> {
    fn are_none(&self) -> bool {
        self.names.is_empty() && self.others.is_none()
    }
}

/// What each object of Python's has of a client.
pub struct Client {
    handle: Arc<Handle>,
    /// Nothing else keeps the callbacks, and Python's garbage collector sees them here: so a client goes with its
    /// owner, though its callbacks are methods of it.
    callbacks: Py<PyAny>,
}

impl Client {
    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub fn share(&self, py: Python<'_>) -> Client {
        Client {
            handle: Arc::clone(&self.handle),
            callbacks: self.callbacks.clone_ref(py),
        }
    }

    /// Shows the garbage collector what it keeps.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callbacks)
    }
}

impl Deref for Client {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Starts the library's client and the thread for its callbacks.
pub fn start(
    py: Python<'_>,
    builder: spotflow_device::DeviceClientBuilder,
    callbacks: &Callbacks<'_, '_>,
) -> PyResult<Client> {
    gate::check_open(py)?;
    let Callbacks {
        display,
        desired,
        connection,
        upload,
        methods,
        remote_access,
    } = callbacks;
    let background = background(py)?;
    logs::start_handling(&background)?;
    let news = Arc::new(News::default());
    // Dropped with the client, or with the builder if there is none.
    let end = EndOfNews(Arc::clone(&news));
    let events = Events::new(Arc::clone(&news));
    let functions = (display, desired, connection, upload);
    let callbacks = background.call_method1("start_callbacks", (events, functions))?;
    let queue = Arc::new(CallQueue::default());
    if !methods.are_none() || remote_access.agrees.is_some() {
        let functions = (methods.by_name, methods.others, remote_access.agrees);
        let calls = Calls::new(Arc::clone(&queue));
        background.call_method1("start_calls", (calls, &callbacks, functions))?;
    }
    let callbacks = callbacks.unbind();

    let mut builder = builder.on_provisioning(move |operation| end.0.operation(operation));
    if desired.is_some() {
        let news = Arc::clone(&news);
        builder = builder.on_desired_properties(move |properties| news.desired(properties));
    }
    if connection.is_some() {
        let news = Arc::clone(&news);
        builder = builder.on_connection_change(move |change| news.connection(change));
    }
    if upload.is_some() {
        let news = Arc::clone(&news);
        builder = builder.on_upload_progress(move |progress| news.upload(progress));
    }
    // As the news: over with the client, or with the builder.
    let end = Arc::new(EndOfCalls(Arc::clone(&queue)));
    for name in &methods.names {
        let end = Arc::clone(&end);
        builder = builder.on_method(name, move |request| methods::call(&end.0, request));
    }
    if methods.others.is_some() {
        let end = Arc::clone(&end);
        builder = builder.on_other_methods(move |request| methods::call(&end.0, request));
    }
    if let Some(mut options) = remote_access.options.clone() {
        if remote_access.agrees.is_some() {
            let end = Arc::clone(&end);
            options = options.on_request(move |request| remote_access::agrees(&end.0, request));
        }
        builder = builder.remote_access(options);
    }
    drop(end);
    let signals = Signals::default();
    let builder = builder.interrupt_check(signals.clone());
    let client = waiting(py, || {
        let client = builder.start()?;
        news.wait_shown();
        Ok(client)
    })?;
    signals.started();

    let handle = Arc::new(Handle {
        client: Owned::new(client),
        news,
        calls: queue,
        is_closed: AtomicBool::new(false),
    });
    let configured = Forgettable(Arc::downgrade(&handle));
    handle.news.started(Arc::new(configured));
    Ok(Client { handle, callbacks })
}
