//! Messages to be stored together.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

use crate::arguments::{optional_text, payload};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

type Id<'a> = &'a Option<String>;
type Arguments<'a, 'py> = (Bound<'py, PyBytes>, Id<'a>, Id<'a>, Id<'a>, Id<'a>, Id<'a>);

/// A Message with its ids, for `StreamSender.enqueue_messages`.
///
/// The arguments are those of `StreamSender.enqueue_message`.
#[pyclass(module = "spotflow_device", frozen, skip_from_py_object)]
pub struct Message {
    message: spotflow_device::Message,
    ids: Ids,
}

/// The ids and the key, as they were given, to make the same again.
type Ids = [Option<String>; 5];

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (payload, batch_id=None, message_id=None, batch_slice_id=None, chunk_id=None, latest_key=None))]
    fn new(
        payload: &Bound<'_, PyAny>,
        batch_id: Argument<'_, '_>,
        message_id: Argument<'_, '_>,
        batch_slice_id: Argument<'_, '_>,
        chunk_id: Argument<'_, '_>,
        latest_key: Argument<'_, '_>,
    ) -> PyResult<Message> {
        let arguments = MessageArguments {
            payload,
            batch_id,
            message_id,
            batch_slice_id,
            chunk_id,
            latest_key,
        };
        Ok(Message {
            message: arguments.message()?,
            ids: arguments.ids()?,
        })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, Arguments<'_, 'py>) {
        let [batch_id, message_id, batch_slice_id, chunk_id, latest_key] = &self.ids;
        let payload = PyBytes::new(py, self.message.payload());
        let arguments = (
            payload,
            batch_id,
            message_id,
            batch_slice_id,
            chunk_id,
            latest_key,
        );
        (py.get_type::<Message>(), arguments)
    }

    fn __repr__(&self) -> String {
        format!(
            "<spotflow_device.Message of {} bytes>",
            self.message.payload().len()
        )
    }
}

/// What a Message is made of, as it comes from Python.
pub struct MessageArguments<'a, 'py> {
    pub payload: &'a Bound<'py, PyAny>,
    pub batch_id: Argument<'a, 'py>,
    pub message_id: Argument<'a, 'py>,
    pub batch_slice_id: Argument<'a, 'py>,
    pub chunk_id: Argument<'a, 'py>,
    pub latest_key: Argument<'a, 'py>,
}

impl MessageArguments<'_, '_> {
    /// The library's Message.
    pub fn message(&self) -> PyResult<spotflow_device::Message> {
        let mut message = spotflow_device::Message::new(payload("payload", self.payload)?);
        let [batch_id, message_id, batch_slice_id, chunk_id, latest_key] = self.ids()?;
        if let Some(id) = batch_id {
            message = message.batch_id(id);
        }
        if let Some(id) = message_id {
            message = message.message_id(id);
        }
        if let Some(id) = batch_slice_id {
            message = message.batch_slice_id(id);
        }
        if let Some(id) = chunk_id {
            message = message.chunk_id(id);
        }
        if let Some(key) = latest_key {
            message = message.latest_key(key);
        }
        Ok(message)
    }

    fn ids(&self) -> PyResult<Ids> {
        Ok([
            optional_text("batch_id", self.batch_id)?,
            optional_text("message_id", self.message_id)?,
            optional_text("batch_slice_id", self.batch_slice_id)?,
            optional_text("chunk_id", self.chunk_id)?,
            optional_text("latest_key", self.latest_key)?,
        ])
    }
}

/// A [`Message`], or a payload without ids.
pub fn from_item(item: &Bound<'_, PyAny>) -> PyResult<spotflow_device::Message> {
    match item.cast::<Message>() {
        Ok(message) => Ok(message.get().message.clone()),
        Err(_) => Ok(spotflow_device::Message::new(payload("messages", item)?)),
    }
}
