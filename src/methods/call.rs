//! A call of a method, and its answer: what the application sees of them, and what goes over the wire.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::OK;
use crate::error::{Error, Result};

/// IoT Hub's limit for the body of a call and of its answer
/// (<https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods>).
const BODY_BYTES_MAX: usize = 128 << 10;

/// Why a method failed. It is logged; the caller in the cloud only learns that the method failed (status 500).
pub type MethodError = Box<dyn std::error::Error + Send + Sync>;

/// The cloud calls a method of this device. Given to the handlers of
/// [`on_method`](crate::DeviceClientBuilder::on_method).
///
/// ```
/// use spotflow_device::{MethodError, MethodRequest, MethodResponse};
///
/// fn set_interval(request: &MethodRequest) -> Result<MethodResponse, MethodError> {
///     let seconds: u64 = request.deserialize()?;
///     Ok(MethodResponse::ok(serde_json::json!({ "intervalSeconds": seconds })))
/// }
/// ```
#[derive(Clone)]
pub struct MethodRequest {
    name: String,
    payload: Value,
    connection: Cancellation,
    closing: Cancellation,
}

impl MethodRequest {
    /// The name of the method. It may hold slashes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the caller sent along: any JSON value of up to 128 KB; `null` for nothing.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// The payload as a type of the application's own.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) with what does not fit the type. A handler that passes it on with
    /// `?` answers 500; answer 400 yourself to let the caller know.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload).map_err(|error| Error::invalid("payload", error.to_string()))
    }

    /// Whether nobody waits for the answer any more: the connection that brought the call has ended, or the client
    /// is being closed. A handler that takes long may ask now and then, and end.
    ///
    /// The caller's own time limit (5 to 300 s, 30 s unless set) is not told to the device.
    pub fn is_cancelled(&self) -> bool {
        self.connection.is_cancelled() || self.closing.is_cancelled()
    }
}

impl fmt::Debug for MethodRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodRequest")
            .field("name", &self.name)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// What a method answers: a status of the application's own, as of HTTP, and any JSON value of up to 128 KB.
///
/// ```
/// use spotflow_device::MethodResponse;
///
/// let done = MethodResponse::ok(serde_json::Value::Null);
/// let unknown = MethodResponse::new(404, serde_json::json!({ "detail": "no such sensor" }));
/// assert_eq!((done.status(), unknown.status()), (200, 404));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MethodResponse {
    status: u16,
    payload: Value,
}

impl MethodResponse {
    /// An answer. Anything that `serde_json` makes a [`Value`] of is a payload.
    pub fn new(status: u16, payload: impl Into<Value>) -> MethodResponse {
        MethodResponse {
            status,
            payload: payload.into(),
        }
    }

    /// An answer with status 200.
    pub fn ok(payload: impl Into<Value>) -> MethodResponse {
        MethodResponse::new(OK, payload)
    }

    /// An answer from a type of the application's own.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) if it cannot be JSON, such as a map whose keys are no text.
    pub fn serialize(status: u16, payload: &impl Serialize) -> Result<MethodResponse> {
        serde_json::to_value(payload)
            .map(|payload| MethodResponse { status, payload })
            .map_err(|error| Error::invalid("payload", error.to_string()))
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The payload.
    pub fn payload(&self) -> &Value {
        &self.payload
    }
}

/// Says once, to all who ask, that it is over: with a connection, or with the client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A call as the link received it.
pub(crate) struct Call {
    pub name: String,
    pub body: Bytes,
    /// The hub's name for it; goes back with the answer.
    pub request_id: String,
    /// On which connection it came: the answer must go on the same.
    pub connection: u64,
    /// Of that connection.
    pub cancellation: Cancellation,
}

/// An answer for the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub connection: u64,
    pub request_id: String,
    pub status: u16,
    pub body: Vec<u8>,
}

/// Takes the answers to the link; must not block.
pub(crate) trait Answers: Send + Sync {
    fn answer(&self, answer: Answer);
}

impl Call {
    /// For the log: the name comes from the cloud, so its length and its characters are anybody's.
    pub fn label(&self) -> String {
        const CHARACTERS_MAX: usize = 64;
        let mut shown: String = self.name.chars().take(CHARACTERS_MAX).collect();
        if shown.len() < self.name.len() {
            shown.push('…');
        }
        format!("the method {shown:?}")
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// The call as the application sees it; `closing` is of the client.
    pub fn request(&self, closing: &Cancellation) -> serde_json::Result<MethodRequest> {
        let payload = if self.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&self.body)?
        };
        Ok(MethodRequest {
            name: self.name.clone(),
            payload,
            connection: self.cancellation.clone(),
            closing: closing.clone(),
        })
    }

    /// The answer with what the application says, or which rule it breaks.
    pub fn response(&self, response: &MethodResponse) -> Result<Answer, String> {
        let body = serde_json::to_vec(&response.payload)
            .map_err(|error| format!("cannot be JSON: {error}"))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(format!(
                "has {} bytes; the limit is {BODY_BYTES_MAX}",
                body.len()
            ));
        }
        Ok(self.answer(response.status, body))
    }

    /// An answer of the library's own.
    pub fn refusal(&self, status: u16, detail: &str) -> Answer {
        let body = serde_json::json!({ "detail": detail }).to_string();
        self.answer(status, body.into_bytes())
    }

    /// An answer with this body.
    pub fn answer(&self, status: u16, body: Vec<u8>) -> Answer {
        Answer {
            connection: self.connection,
            request_id: self.request_id.clone(),
            status,
            body,
        }
    }
}
