//! Methods that the cloud calls: what a function gets and what it answers.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use serde_json::Value;

use crate::arguments::{count, text, wrong_type};
use crate::calls::{Asked, CallQueue, Waiting};
use crate::json;

type Answer = Result<spotflow_device::MethodResponse, spotflow_device::MethodError>;

/// A call of a method.
struct AskedMethod {
    request: spotflow_device::MethodRequest,
    waiting: Waiting<Answer>,
}

/// By a thread of the library's: has Python run the method, and waits for what it answers.
pub fn call(queue: &CallQueue, request: &spotflow_device::MethodRequest) -> Answer {
    let request = request.clone();
    let answer = queue.ask(|waiting| AskedMethod { request, waiting });
    answer.unwrap_or_else(|| Err("it was not run to its end".into()))
}

impl Asked for AskedMethod {
    fn argument(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let request = MethodRequest::new(py, self.request.clone())?;
        Ok(request.into_pyobject(py)?.into_any().unbind())
    }

    /// A `MethodResponse`, or a payload for status 200.
    fn answer(&self, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        let response = match returned.cast::<MethodResponse>() {
            Ok(response) => response.get().response.clone(),
            Err(_) => spotflow_device::MethodResponse::ok(json::from_any("payload", returned)?),
        };
        self.waiting.reply(Ok(response));
        Ok(())
    }

    fn fail(&self, why: &'static str) {
        self.waiting.reply(Err(why.into()));
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
        if !name.is_instance_of::<PyString>() {
            let expected = "a dict with names that are str";
            return Err(wrong_type("methods", expected, &name));
        }
        names.push(text("methods", &name)?);
        if !function.is_callable() {
            let expected = "a dict with values that are callable";
            return Err(wrong_type("methods", expected, &function));
        }
    }
    Ok(names)
}
