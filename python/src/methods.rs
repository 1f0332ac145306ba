//! Calls of methods on their way to Python: a thread of the library's waits for each answer, a thread of Python's
//! fetches them and starts one for each call. The library bounds how many there are at once.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use serde_json::Value;

use crate::arguments::{callback, count, text, wrong_type};
use crate::gate::{self, outside_to_the_end};
use crate::json;
use crate::own_threads::name_thread;
use crate::unpoisoned::unpoisoned;

type Answer = Result<spotflow_device::MethodResponse, spotflow_device::MethodError>;

/// Calls that wait for a thread.
#[derive(Default)]
pub struct CallQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    calls: VecDeque<MethodCall>,
    is_over: bool,
}

impl CallQueue {
    /// By a thread of the library's: has Python run the method, and waits for what it answers.
    pub fn call(&self, request: &spotflow_device::MethodRequest) -> Answer {
        let (sender, receiver) = sync_channel(1);
        let mut state = self.state();
        if state.is_over {
            return Err("the client is closed".into());
        }
        state.calls.push_back(MethodCall {
            request: request.clone(),
            answer: Mutex::new(Some(sender)),
        });
        drop(state);
        self.changed.notify_all();
        // Whoever has the call answers, or drops it.
        receiver
            .recv()
            .unwrap_or_else(|_| Err("it was not run to its end".into()))
    }

    /// There will be no more; those that wait are not run.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.state();
            state.is_over = true;
            std::mem::take(&mut state.calls)
        };
        drop(dropped);
        self.changed.notify_all();
    }

    fn next(&self) -> Option<MethodCall> {
        let is_idle = |state: &mut State| state.calls.is_empty() && !state.is_over;
        let mut state = unpoisoned(self.changed.wait_while(self.state(), is_idle));
        state.calls.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }
}

/// The calls of one client, for its thread that starts those that run them.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct MethodCalls {
    queue: Arc<CallQueue>,
}

impl MethodCalls {
    pub fn new(queue: Arc<CallQueue>) -> MethodCalls {
        MethodCalls { queue }
    }
}

#[pymethods]
impl MethodCalls {
    /// Waits for the next call; `None` at the end.
    fn next(&self, py: Python<'_>) -> Option<MethodCall> {
        if gate::is_forked_thread() {
            return None;
        }
        name_thread(c"spotflow_method");
        outside_to_the_end(py, || self.queue.next()).flatten()
    }

    /// Whether there will be no more, because the client is closing.
    #[getter]
    fn are_over(&self) -> bool {
        gate::is_forked_thread() || self.queue.state().is_over || gate::is_closed()
    }
}

/// One call, for the thread that runs it.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct MethodCall {
    request: spotflow_device::MethodRequest,
    answer: Mutex<Option<SyncSender<Answer>>>,
}

#[pymethods]
impl MethodCall {
    /// What the method gets. This thread is one of the package's own from here on.
    fn begin(&self, py: Python<'_>) -> PyResult<MethodRequest> {
        gate::enter_own_thread();
        MethodRequest::new(py, self.request.clone())
    }

    /// Answers with what the method returned: a `MethodResponse`, or a payload for status 200.
    fn answer(&self, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        let response = match returned.cast::<MethodResponse>() {
            Ok(response) => response.get().response.clone(),
            Err(_) => spotflow_device::MethodResponse::ok(json::from_any("payload", returned)?),
        };
        self.reply(Ok(response));
        Ok(())
    }

    /// The method has raised an exception, which is logged already.
    fn fail(&self) {
        self.reply(Err("it raised an exception".into()));
    }
}

impl MethodCall {
    fn reply(&self, answer: Answer) {
        // In a child that the method forked nobody waits, and the channel is the parent's.
        if gate::is_forked_thread() {
            return;
        }
        if let Some(sender) = unpoisoned(self.answer.lock()).take() {
            // The thread that waits has room for it.
            drop(sender.send(answer));
        }
    }
}

/// The cloud calls a method of this device: see `DeviceClient.start`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct MethodRequest {
    request: spotflow_device::MethodRequest,
    payload: Py<PyAny>,
}

impl MethodRequest {
    fn new(py: Python<'_>, request: spotflow_device::MethodRequest) -> PyResult<MethodRequest> {
        let payload = json::to_python(py, request.payload())?.unbind();
        Ok(MethodRequest { request, payload })
    }
}

#[pymethods]
impl MethodRequest {
    /// The name of the method.
    #[getter]
    fn name(&self) -> &str {
        self.request.name()
    }

    /// What the caller sent along, made of `dict`, `list`, `str`, `int`, `float`, `bool` and `None`; `None` for
    /// nothing.
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyAny> {
        self.payload.clone_ref(py)
    }

    /// Whether nobody waits for the answer any more: the connection that brought the call has ended, or the client
    /// is being closed.
    #[getter]
    fn is_cancelled(&self) -> bool {
        self.request.is_cancelled()
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a MethodRequest cannot be copied or pickled: take its name and payload",
        ))
    }

    fn __repr__(&self) -> String {
        format!("<spotflow_device.MethodRequest {:?}>", self.name())
    }
}

/// What makes the same again.
type Arguments<'py> = (Bound<'py, PyType>, (u16, Bound<'py, PyAny>));

/// What a method answers: a status of the application's own, as of HTTP, and a payload of `dict`, `list`, `str`,
/// `int`, `float`, `bool` and `None`, up to 128 KB as JSON.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct MethodResponse {
    response: spotflow_device::MethodResponse,
}

#[pymethods]
impl MethodResponse {
    #[new]
    #[pyo3(signature = (status, payload=None))]
    fn new(
        status: &Bound<'_, PyAny>,
        payload: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<MethodResponse> {
        let status: u16 = count("status", status)?;
        let payload = match payload {
            Some(payload) => json::from_any("payload", payload)?,
            None => Value::Null,
        };
        Ok(MethodResponse {
            response: spotflow_device::MethodResponse::new(status, payload),
        })
    }

    /// The status.
    #[getter]
    fn status(&self) -> u16 {
        self.response.status()
    }

    /// The payload.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::to_python(py, self.response.payload())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Arguments<'py>> {
        let arguments = (self.status(), self.payload(py)?);
        Ok((py.get_type::<MethodResponse>(), arguments))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let payload = self.payload(py)?.repr()?;
        Ok(format!(
            "<spotflow_device.MethodResponse {}: {payload}>",
            self.status()
        ))
    }
}

/// The names of the methods that a program has; each with a callable.
pub fn names(methods: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    let Some(methods) = methods else {
        return Ok(Vec::new());
    };
    let Ok(methods) = methods.cast::<PyDict>() else {
        return Err(wrong_type("methods", "a dict or None", methods));
    };
    let mut names = Vec::new();
    for (name, function) in methods.copy()?.iter() {
        names.push(text("methods", &name)?);
        callback("methods", Some(&function))?;
    }
    Ok(names)
}
