//! What a session tells the link: what happened, and why it cannot go on.

use bytes::Bytes;
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::ConnectReturnCode;

use crate::link::liveness::SILENCE_LIMIT;

/// What happened on the connection, for the link to act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The hub accepted the connection.
    Connected,
    /// The hub refused the connection.
    Refused(ConnectRefusal),
    /// The hub has the Message with this id.
    Acknowledged(i64),
    /// The hub answered a twin request.
    TwinAnswer(TwinAnswer),
    /// Desired Properties changed.
    DesiredPatch(Bytes),
    /// A cloud-to-device message came; `packet_id` acknowledges it on this connection.
    CloudMessage {
        packet_id: u16,
        properties: String,
        payload: Bytes,
    },
    /// The cloud calls a method; the answer goes with the request id, on this connection.
    MethodCall {
        name: String,
        request_id: String,
        body: Bytes,
    },
}

/// The answer to the twin request with this number; `version` comes with accepted patches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TwinAnswer {
    pub request: u32,
    pub status: u16,
    pub version: Option<u64>,
    pub payload: Bytes,
}

/// A CONNACK with a return code other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectRefusal {
    pub reason: &'static str,
    /// A fresh SAS may help.
    pub renew_credentials: bool,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("the hub sent {0}")]
    Unexpected(&'static str),
    #[error("the hub sent a packet that cannot be read")]
    Malformed(#[source] mqttbytes::Error),
    #[error("a packet cannot be written")]
    Unsendable(#[source] mqttbytes::Error),
    #[error("the hub refused the connection: {}", .0.reason)]
    Refused(ConnectRefusal),
    #[error("this device was asleep for longer than the hub waits")]
    LetGo,
    #[error("the hub gave no sign of life for {} s", SILENCE_LIMIT.as_secs())]
    Silent,
    #[error("the hub answers, but has acknowledged no Message for {} s", SILENCE_LIMIT.as_secs())]
    Unacknowledged,
}

/// What a CONNACK's return code means; nothing if it accepts the connection.
pub(super) fn refusal(code: ConnectReturnCode) -> Option<ConnectRefusal> {
    let (reason, renew_credentials) = match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::RefusedProtocolVersion => ("unacceptable protocol version", false),
        ConnectReturnCode::BadClientId => ("client id rejected", false),
        ConnectReturnCode::ServiceUnavailable => ("server unavailable", true),
        ConnectReturnCode::BadUserNamePassword => ("bad user name or password", true),
        ConnectReturnCode::NotAuthorized => ("not authorised", true),
    };
    Some(ConnectRefusal {
        reason,
        renew_credentials,
    })
}
