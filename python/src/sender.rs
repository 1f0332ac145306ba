//! Senders.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use spotflow_device::FileMessage;

use crate::arguments::{self, is_buffer, optional_text, seconds, text, wrong_type};
use crate::handle::Client;
use crate::made::{made, parts};
use crate::message::{MessageArguments, from_item};
use crate::owned::Owned;
use crate::signals::waiting;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Sends Messages to one Stream. Made by `DeviceClient.create_stream_sender`.
///
/// Any number of threads can share it. The order of Messages is the order in which they were stored, over
/// all senders of a client with the same priority.
#[pyclass(
    module = "spotflow_device._native",
    frozen,
    subclass,
    skip_from_py_object
)]
pub struct StreamSender {
    // Dropped before the handle of the client, whose drop then closes the client.
    sender: Owned<spotflow_device::StreamSender>,
    client: Client,
}

impl StreamSender {
    pub fn made<'py>(
        py: Python<'py>,
        sender: spotflow_device::StreamSender,
        client: Client,
    ) -> PyResult<Bound<'py, PyAny>> {
        let sender = Owned::new(sender);
        made(py, "StreamSender", StreamSender { sender, client })
    }

    fn open(&self, py: Python<'_>) -> PyResult<&spotflow_device::StreamSender> {
        self.client.open(py)?;
        self.sender.get()
    }
}

const NOT_COPIED: &str = "a StreamSender cannot be copied or pickled: share it between threads, \
    or make another one by DeviceClient.create_stream_sender(...)";

#[pymethods]
impl StreamSender {
    #[new]
    #[pyo3(signature = (*arguments, **_options), text_signature = None)]
    fn new(
        arguments: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<StreamSender> {
        parts(
            arguments,
            "a StreamSender is made by DeviceClient.create_stream_sender(...)",
        )
    }

    /// Store a Message to be sent, and return when it is stored: it then survives the end of the program and,
    /// unless the client was started with `Durability.KILL_SAFE`, the loss of power.
    ///
    /// `payload` is text (sent as UTF-8), `bytes`, or any contiguous buffer of at most 64 MiB. Over 250,000
    /// bytes after compression it is uploaded as a file, in its turn.
    ///
    /// `batch_id`, `message_id`, `batch_slice_id` and `chunk_id` say where the Message belongs; what is not
    /// said, the Platform decides. `latest_key` is for a sender with `keep_latest`: the Message takes the place
    /// of unsent ones with the same key alone.
    ///
    /// Blocks for one commit to the disk, and for the compression. Raises `InvalidArgumentError` or
    /// `InvalidTypeError` that names the argument and the rule; `DatabaseError` if the disk fails or is full;
    /// `OutboxFullError` if a limit of the outbox is reached.
    #[pyo3(signature = (payload, batch_id=None, message_id=None, batch_slice_id=None, chunk_id=None, *, latest_key=None))]
    #[allow(clippy::too_many_arguments)]
    fn enqueue_message(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        batch_id: Argument<'_, '_>,
        message_id: Argument<'_, '_>,
        batch_slice_id: Argument<'_, '_>,
        chunk_id: Argument<'_, '_>,
        latest_key: Argument<'_, '_>,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let arguments = MessageArguments {
            payload,
            batch_id,
            message_id,
            batch_slice_id,
            chunk_id,
            latest_key,
        };
        let message = arguments.message()?;
        waiting(py, || sender.enqueue_message(message))
    }

    /// Store many Messages in one commit: all of them, in this order, or none. Much faster than as many
    /// calls of `enqueue_message`.
    ///
    /// `messages` is an iterable of payloads and of `Message` objects.
    fn enqueue_messages(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> PyResult<()> {
        let sender = self.open(py)?;
        let messages = all_messages(messages)?;
        waiting(py, || sender.enqueue_messages(messages))
    }

    /// Store the content of a file as a Message to be sent, and return when it is stored. From then on the file can
    /// change or go.
    ///
    /// `path` is a `str` or what has `__fspath__`, of a regular file of at most 1 GiB, of which only parts are in
    /// memory at any time. The other arguments are those of `enqueue_message`.
    ///
    /// Blocks while the file is read, compressed if the sender says so, and copied into the database file; other
    /// threads store meanwhile. The copy needs as much space there as the content, until that is uploaded. If it
    /// fails, or the program ends before, nothing is stored.
    ///
    /// Raises `UnreadableFileError` if the file is not there, cannot be read, or changes meanwhile;
    /// `InvalidArgumentError` for what is no regular file, or the client's own database; otherwise what
    /// `enqueue_message` raises.
    #[pyo3(signature = (path, batch_id=None, message_id=None, batch_slice_id=None, chunk_id=None, *, latest_key=None))]
    #[allow(clippy::too_many_arguments)]
    fn enqueue_file(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        batch_id: Argument<'_, '_>,
        message_id: Argument<'_, '_>,
        batch_slice_id: Argument<'_, '_>,
        chunk_id: Argument<'_, '_>,
        latest_key: Argument<'_, '_>,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let mut file = FileMessage::new(arguments::path("path", path)?);
        if let Some(id) = optional_text("batch_id", batch_id)? {
            file = file.batch_id(id);
        }
        if let Some(id) = optional_text("message_id", message_id)? {
            file = file.message_id(id);
        }
        if let Some(id) = optional_text("batch_slice_id", batch_slice_id)? {
            file = file.batch_slice_id(id);
        }
        if let Some(id) = optional_text("chunk_id", chunk_id)? {
            file = file.chunk_id(id);
        }
        if let Some(key) = optional_text("latest_key", latest_key)? {
            file = file.latest_key(key);
        }
        waiting(py, || sender.enqueue_file(file))
    }

    /// Store a Message, and return when it and all before it of its priority are sent, that is,
    /// acknowledged by the Platform.
    ///
    /// Without a network it waits; with a `timeout` in seconds it raises `WaitTimeoutError` when that has
    /// passed. Then, and after Ctrl+C, the Message stays stored and will be sent: do not send it again. The
    /// other arguments are those of `enqueue_message`.
    #[pyo3(signature = (payload, batch_id=None, message_id=None, batch_slice_id=None, chunk_id=None, *, timeout=None, latest_key=None))]
    #[allow(clippy::too_many_arguments)]
    fn send_message(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        batch_id: Argument<'_, '_>,
        message_id: Argument<'_, '_>,
        batch_slice_id: Argument<'_, '_>,
        chunk_id: Argument<'_, '_>,
        timeout: Argument<'_, '_>,
        latest_key: Argument<'_, '_>,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let arguments = MessageArguments {
            payload,
            batch_id,
            message_id,
            batch_slice_id,
            chunk_id,
            latest_key,
        };
        let message = arguments.message()?;
        match seconds("timeout", timeout)? {
            Some(limit) => waiting(py, || sender.send_message_timeout(message, limit)),
            None => waiting(py, || sender.send_message(message)),
        }
    }

    /// Say that nothing more follows of the Batch. Stored and sent in order, like a Message.
    fn enqueue_batch_completion(
        &self,
        py: Python<'_>,
        batch_id: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let batch_id = text("batch_id", batch_id)?;
        waiting(py, || sender.enqueue_batch_completion(batch_id))
    }

    /// Say that no more chunks follow of the Message. Stored and sent in order, like a Message.
    fn enqueue_message_completion(
        &self,
        py: Python<'_>,
        batch_id: &Bound<'_, PyAny>,
        message_id: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let batch_id = text("batch_id", batch_id)?;
        let message_id = text("message_id", message_id)?;
        waiting(py, || {
            sender.enqueue_message_completion(batch_id, message_id)
        })
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_COPIED))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.client.traverse(&visit)
    }
}

fn all_messages(messages: &Bound<'_, PyAny>) -> PyResult<Vec<spotflow_device::Message>> {
    // What can be iterated over, but is one payload or has its Messages elsewhere: empty, it would pass for none.
    let is_other = messages.is_instance_of::<PyString>()
        || messages.cast::<PyMapping>().is_ok()
        || is_buffer(messages);
    match messages.try_iter() {
        Ok(items) if !is_other => items.map(|item| from_item(&item?)).collect(),
        _ => Err(wrong_type("messages", "an iterable of Messages", messages)),
    }
}
