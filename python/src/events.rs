//! What a client has to tell the program: queued by the library's threads, fetched by the client's
//! callback thread, which is Python's. There is one place for each kind: a slow callback sees the latest.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use spotflow_device::sync::{Condvar, Mutex};

use crate::errors::to_python;
use crate::gate::outside_to_the_end;
use crate::handle::Handle;
use crate::json;
use crate::process::process;

/// How long `start` waits for a callback that still shows an operation that is approved.
const DISPLAY_GRACE: Duration = Duration::from_secs(1);

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
    /// Until `start` returns the program has no client, so only an operation is told.
    client: Option<Weak<Handle>>,
    /// The callback thread is showing an operation.
    is_showing: bool,
    is_over: bool,
}

enum Event {
    Operation(spotflow_device::ProvisioningOperation),
    Desired(spotflow_device::DesiredProperties, Weak<Handle>),
    Connection(spotflow_device::ConnectionChange),
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

    pub fn started(&self, client: &Arc<Handle>) {
        self.tell(|state| state.client = Some(Arc::downgrade(client)));
    }

    /// There will be nothing more, and what was not fetched is dropped.
    pub fn close(&self) {
        self.tell(|state| state.is_over = true);
    }

    fn are_over(&self) -> bool {
        self.state.lock().is_over
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits a moment until the operation that was told is shown, so that `start` does not return before
    /// that: an approval can come faster.
    pub fn wait_shown(&self) {
        let deadline = Instant::now() + DISPLAY_GRACE;
        let is_under_way = |state: &mut State| state.operation.is_some() || state.is_showing;
        drop(
            self.changed
                .wait_while_until(self.state.lock(), deadline, is_under_way),
        );
    }

    fn next(&self) -> Option<Event> {
        let mut state = self.state.lock();
        state.is_showing = false;
        self.changed.notify_all();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(event) = state.take() {
                return Some(event);
            }
            state = self.changed.wait(state);
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
        let connection = self.connection.take().map(Event::Connection);
        connection.or_else(|| Some(Event::Desired(self.desired.take()?, client)))
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
    pub fn new(news: Arc<News>) -> Events {
        Events {
            news,
            shown: Mutex::new(None),
        }
    }

    /// What to show when these properties were told of: a newer version may have come while they were on
    /// their way through the library's callback thread. Nothing, if that was shown already.
    fn latest(
        &self,
        py: Python<'_>,
        told: spotflow_device::DesiredProperties,
        client: &Weak<Handle>,
    ) -> Option<DesiredProperties> {
        let newer = client.upgrade().and_then(|client| {
            let version = told.version();
            let client = client.open(py).ok()?;
            client.get_desired_properties_if_newer(version)
        });
        let latest = newer.unwrap_or(told);
        let mut shown = self.shown.lock();
        if shown.as_ref() == Some(&latest) {
            return None;
        }
        *shown = Some(latest.clone());
        Some(DesiredProperties::new(latest))
    }

    fn argument(
        &self,
        py: Python<'_>,
        event: Event,
    ) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        Ok(match event {
            Event::Operation(operation) => {
                let operation = ProvisioningOperation { operation }.into_pyobject(py)?;
                Some((
                    "display_provisioning_operation_callback",
                    operation.into_any().unbind(),
                ))
            }
            Event::Desired(told, client) => match self.latest(py, told, &client) {
                Some(properties) => Some((
                    "desired_properties_updated_callback",
                    properties.into_pyobject(py)?.into_any().unbind(),
                )),
                None => None,
            },
            Event::Connection(change) => {
                let change = ConnectionChange { change }.into_pyobject(py)?;
                Some(("connection_changed_callback", change.into_any().unbind()))
            }
        })
    }
}

#[pymethods]
impl Events {
    /// Waits for the next event: the name of the callback that it is for and its argument, or `None` at
    /// the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
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
        self.news.are_over() || process().gate.is_closed()
    }
}

/// What a technician needs to approve the device.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct ProvisioningOperation {
    operation: spotflow_device::ProvisioningOperation,
}

#[pymethods]
impl ProvisioningOperation {
    /// The operation's id.
    #[getter]
    fn id(&self) -> &str {
        &self.operation.id
    }

    /// The code to compare with the one in the portal.
    #[getter]
    fn verification_code(&self) -> &str {
        &self.operation.verification_code
    }

    /// Until when it can be approved (RFC 3339, UTC written as `+00:00`). Then a new one is started.
    #[getter]
    fn expiration_time(&self) -> String {
        // `datetime.fromisoformat` reads no `Z` before Python 3.11.
        let time = &self.operation.expiration_time;
        match time.strip_suffix(['Z', 'z']) {
            Some(utc) => format!("{utc}+00:00"),
            None => time.clone(),
        }
    }

    fn __str__(&self) -> String {
        self.operation.to_string()
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.ProvisioningOperation {}>",
            self.operation.id
        )
    }
}

/// The configuration that the Platform wants of the device, in one version.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct DesiredProperties {
    properties: spotflow_device::DesiredProperties,
    /// Made when first asked for; changes that the program makes to it stay, as with any attribute.
    values: PyOnceLock<Py<PyDict>>,
}

impl DesiredProperties {
    pub fn new(properties: spotflow_device::DesiredProperties) -> DesiredProperties {
        DesiredProperties {
            properties,
            values: PyOnceLock::new(),
        }
    }
}

#[pymethods]
impl DesiredProperties {
    /// The version: it grows with every change.
    #[getter]
    fn version(&self) -> u64 {
        self.properties.version()
    }

    /// The properties, in a `dict` of this object's own.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyDict>> {
        let made = self.values.get_or_try_init(py, || {
            json::to_dict(py, self.properties.values()).map(Bound::unbind)
        });
        made.map(|values| values.bind(py))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let values = self.values(py)?.repr()?;
        Ok(format!(
            "<spotflow_device.DesiredProperties version {}: {values}>",
            self.version()
        ))
    }
}

/// The connection to the Platform came or went.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct ConnectionChange {
    change: spotflow_device::ConnectionChange,
}

#[pymethods]
impl ConnectionChange {
    /// Whether the client is connected now.
    #[getter]
    fn is_connected(&self) -> bool {
        self.change.is_connected
    }

    /// Why the connection ended or could not be made: a `SpotflowError`, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.change.error.as_ref()?;
        Some(to_python(py, error).into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        let state = if self.change.is_connected {
            "connected"
        } else {
            "not connected"
        };
        format!("<spotflow_device.ConnectionChange: {state}>")
    }
}
