//! What a client has to tell the program: queued by the library's threads, fetched by the client's
//! callback thread, which is Python's. There is one place for each kind: a slow callback sees the latest.

use std::sync::Weak;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::connection_change::ConnectionChange;
use crate::desired_properties::DesiredProperties;
use crate::gate::{self, outside_to_the_end};
use crate::own_threads::name_thread;
use crate::per_process::PerProcess;
use crate::provisioning_operation::ProvisioningOperation;
use crate::status::UploadStatus;
use crate::unpoisoned::unpoisoned;

/// How long `start` waits for a callback that still shows an operation that is approved.
const DISPLAY_GRACE: Duration = Duration::from_secs(1);

/// Who knows the Desired Properties as they are now.
pub trait Configured: Send + Sync {
    /// Those that are newer than a version, if there are any and the client is open.
    fn newer_than(&self, version: u64) -> Option<spotflow_device::DesiredProperties>;
}

/// The news of one client.
#[derive(Default)]
pub struct News {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    operation: Option<spotflow_device::ProvisioningOperation>,
    desired: Option<spotflow_device::DesiredProperties>,
    connection: Option<spotflow_device::ConnectionChange>,
    upload: Option<spotflow_device::UploadStatus>,
    /// Until `start` returns the program has no client, so only an operation is told.
    client: Option<Arc<dyn Configured>>,
    /// The callback thread is showing an operation.
    is_showing: bool,
    is_over: bool,
    callbacks: Thread,
}

/// The thread that runs the callbacks.
#[derive(Clone, Copy, Default, PartialEq)]
enum Thread {
    #[default]
    None,
    Starting,
    Running(ThreadId),
}

enum Event {
    Operation(spotflow_device::ProvisioningOperation),
    Desired(spotflow_device::DesiredProperties, Arc<dyn Configured>),
    Connection(spotflow_device::ConnectionChange),
    Upload(spotflow_device::UploadStatus),
}

/// All that have a thread. Locked only with the interpreter's lock held, or at exit.
static NEWS: PerProcess<Mutex<Vec<Weak<News>>>> = PerProcess::new();

/// At exit, when there is no more to be told: waits for callbacks that are running.
pub fn wait_until_over(deadline: Instant) {
    let all = unpoisoned(NEWS.own().lock()).clone();
    for news in all.iter().filter_map(Weak::upgrade) {
        news.wait_until_over(deadline);
    }
}

impl News {
    pub fn operation(&self, operation: &spotflow_device::ProvisioningOperation) {
        self.tell(|state| state.operation = Some(operation.clone()));
    }

    pub fn desired(&self, properties: spotflow_device::DesiredProperties) {
        self.tell(|state| state.desired = Some(properties));
    }

    pub fn connection(&self, change: spotflow_device::ConnectionChange) {
        self.tell(|state| state.connection = Some(change));
    }

    pub fn upload(&self, progress: spotflow_device::UploadStatus) {
        self.tell(|state| state.upload = Some(progress));
    }

    /// The program has its client.
    pub fn started(&self, client: Arc<dyn Configured>) {
        self.tell(|state| state.client = Some(client));
    }

    /// There will be nothing more, and what was not fetched is dropped.
    pub fn close(&self) {
        self.tell(|state| state.is_over = true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    fn are_over(&self) -> bool {
        self.state().is_over
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits a moment until the operation that was told is shown, so that `start` does not return before
    /// that: an approval can come faster.
    pub fn wait_shown(&self) {
        let is_under_way = |state: &mut State| state.operation.is_some() || state.is_showing;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), DISPLAY_GRACE, is_under_way);
        drop(unpoisoned(waited));
    }

    /// Waits for the end of a callback that is running; whether it came in time, or has to come after the one
    /// that asks, which is the callback itself.
    pub fn wait_until_over(&self, deadline: Instant) -> bool {
        let this_thread = Thread::Running(std::thread::current().id());
        let is_running =
            |state: &mut State| state.callbacks != Thread::None && state.callbacks != this_thread;
        let limit = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(self.state(), limit, is_running);
        !unpoisoned(waited).1.timed_out()
    }

    fn next(&self) -> Option<Event> {
        let mut state = self.state();
        state.is_showing = false;
        self.changed.notify_all();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(event) = state.take() {
                return Some(event);
            }
            state = unpoisoned(self.changed.wait(state));
        }
    }
}

impl State {
    fn take(&mut self) -> Option<Event> {
        if let Some(operation) = self.operation.take() {
            self.is_showing = true;
            return Some(Event::Operation(operation));
        }
        let client = self.client.clone()?;
        if let Some(change) = self.connection.take() {
            return Some(Event::Connection(change));
        }
        if let Some(properties) = self.desired.take() {
            return Some(Event::Desired(properties, client));
        }
        self.upload.take().map(Event::Upload)
    }
}

/// The news of one client, for its callback thread.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct Events {
    news: Arc<News>,
    /// The Desired Properties that the callback saw last.
    shown: Mutex<Option<spotflow_device::DesiredProperties>>,
}

impl Events {
    /// For a thread that is about to be started.
    pub fn new(news: Arc<News>) -> Events {
        news.tell(|state| state.callbacks = Thread::Starting);
        let mut all = unpoisoned(NEWS.own().lock());
        all.retain(|news| news.strong_count() > 0);
        all.push(Arc::downgrade(&news));
        drop(all);
        Events {
            news,
            shown: Mutex::new(None),
        }
    }

    /// What to show when these properties were told of: a newer version may have come while they were on
    /// their way through the library's callback thread. Nothing, if that was shown already.
    fn latest(
        &self,
        told: spotflow_device::DesiredProperties,
        client: &dyn Configured,
    ) -> Option<DesiredProperties> {
        let latest = client.newer_than(told.version()).unwrap_or(told);
        let mut shown = unpoisoned(self.shown.lock());
        if shown.as_ref() == Some(&latest) {
            return None;
        }
        *shown = Some(latest.clone());
        Some(DesiredProperties::new(&latest))
    }

    fn argument(
        &self,
        py: Python<'_>,
        event: Event,
    ) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        Ok(match event {
            Event::Operation(operation) => {
                let operation = ProvisioningOperation::new(&operation).into_pyobject(py)?;
                Some((
                    "display_provisioning_operation_callback",
                    operation.into_any().unbind(),
                ))
            }
            Event::Desired(told, client) => match self.latest(told, &*client) {
                Some(properties) => Some((
                    "desired_properties_updated_callback",
                    properties.into_pyobject(py)?.into_any().unbind(),
                )),
                None => None,
            },
            Event::Connection(change) => {
                let change = ConnectionChange::new(py, change).into_pyobject(py)?;
                Some(("connection_changed_callback", change.into_any().unbind()))
            }
            Event::Upload(progress) => {
                let progress = UploadStatus::new(progress).into_pyobject(py)?;
                Some(("upload_progress_callback", progress.into_any().unbind()))
            }
        })
    }
}

#[pymethods]
impl Events {
    /// Waits for the next event: the name of the callback that it is for and its argument, or `None` at
    /// the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        if gate::is_forked_thread() {
            return Ok(None);
        }
        name_thread(c"spotflow_calls");
        let news = &self.news;
        while let Some(event) = outside_to_the_end(py, || news.next()).flatten() {
            let call = self.argument(py, event)?;
            if call.is_some() {
                return Ok(call);
            }
        }
        Ok(None)
    }

    /// Whether there will be no more, because the client is closing.
    #[getter]
    fn are_over(&self) -> bool {
        gate::is_forked_thread() || self.news.are_over() || gate::is_closed()
    }

    /// Says that a callback is called in the thread that asks: whoever closes the client in it must not
    /// wait for it.
    fn enter(&self) {
        let this = std::thread::current().id();
        self.news
            .tell(|state| state.callbacks = Thread::Running(this));
    }

    /// Says that the thread ends.
    fn end(&self) {
        if !gate::is_forked_thread() {
            self.news.tell(|state| state.callbacks = Thread::None);
        }
    }
}

impl Drop for Events {
    /// The thread could not start.
    fn drop(&mut self) {
        self.end();
    }
}
