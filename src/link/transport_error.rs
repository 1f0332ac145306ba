//! Why a connection to the hub ended, and what the application is told of it.

use std::io;

use super::session::SessionError;
use crate::error::{Chain, Error};
use crate::net::tls_failure;
use crate::net::tls_socket::TlsSocketError;
use crate::net::web_socket::WebSocketError;

/// Why the transport ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the hub closed the connection")]
    Closed,
    #[error("the hub did not accept the connection in time")]
    TimedOut,
    /// Instead of waiting for TCP.
    #[error("the network was gone, and is back")]
    NetworkBack,
    #[error(
        "the hub closes one connection after the other in order, as it does when another client connects with the same Device ID"
    )]
    TakenAway,
    #[error(transparent)]
    Tls(rustls::Error),
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// Somebody answered on the way of a WebSocket, but not with one.
    #[error("{error}; the certificate there was issued by {issuer}")]
    NoWebSocket {
        error: WebSocketError,
        issuer: String,
    },
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<TlsSocketError> for TransportError {
    fn from(error: TlsSocketError) -> TransportError {
        match error {
            TlsSocketError::Io(error) => TransportError::Io(error),
            TlsSocketError::Tls(error) => TransportError::Tls(error),
        }
    }
}

impl TransportError {
    pub fn into_error(self) -> Error {
        const ACTION: &str = "stay connected to the hub";
        match self {
            TransportError::Io(error) => tls_failure::connection_failure(ACTION, error),
            TransportError::Tls(error) => tls_failure::tls_failure(ACTION, error),
            TransportError::Session(SessionError::Refused(refusal)) => Error::ConnectionRefused {
                reason: refusal.reason,
            },
            TransportError::Session(
                error @ (SessionError::Silent | SessionError::Unacknowledged | SessionError::LetGo),
            ) => Error::network(ACTION, error),
            TransportError::Session(error) => Error::protocol(ACTION, Chain(&error).to_string()),
            error @ (TransportError::WebSocket(_) | TransportError::NoWebSocket { .. }) => {
                Error::protocol("connect to the hub by WebSocket", error.to_string())
            }
            error @ (TransportError::Closed
            | TransportError::TimedOut
            | TransportError::NetworkBack
            | TransportError::TakenAway) => Error::network(ACTION, error),
        }
    }
}
