//! Why an HTTP call has no answer. None of these texts repeats anything that was sent or received.

use std::io;

use crate::Error;
use crate::net::cancel::WaitError;
use crate::net::dial::DialError;
use crate::net::tls_failure::{connection_failure, tls_failure};
use crate::net::tls_socket::TlsSocketError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpError {
    Cancelled,
    /// A time limit, by what it was for.
    Late(&'static str),
    /// A proxy is in the way.
    Proxy(DialError),
    Io(io::Error),
    Tls(rustls::Error),
    Answer(AnswerError),
    /// The request, or the host's name, cannot be sent.
    Unmade,
    System(io::Error),
}

/// What is wrong with an answer; none of it is repeated, as a token may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("it is not HTTP/1.1 as it should be")]
    Malformed,
    #[error("it is too large")]
    TooLarge,
    #[error("it is cut short")]
    CutShort,
    #[error("it came before all was sent")]
    Early,
}

pub(super) const NO_CONNECTION: &str = "no connection was made in time";
pub(super) const NO_ANSWER: &str = "no answer came in time";

impl HttpError {
    /// The error for a request that was meant to `action`.
    pub fn into_error(self, action: &'static str) -> Error {
        match self {
            HttpError::Cancelled => Error::Closed,
            HttpError::Late(what) => {
                Error::network(action, io::Error::new(io::ErrorKind::TimedOut, what))
            }
            HttpError::Proxy(error) => Error::network(action, error),
            HttpError::Io(error) => connection_failure(action, error),
            HttpError::Tls(error) => tls_failure(action, error),
            HttpError::Answer(problem) => Error::protocol(action, problem.to_string()),
            HttpError::Unmade => Error::protocol(action, "the request could not be made"),
            HttpError::System(error) => Error::system(action, error),
        }
    }

    /// The same for a wait that ended early; `late` is what it was for.
    pub fn of_wait(error: WaitError, late: &'static str) -> HttpError {
        match error {
            WaitError::Cancelled => HttpError::Cancelled,
            WaitError::TimedOut => HttpError::Late(late),
            WaitError::System(error) => HttpError::System(error),
        }
    }
}

impl From<DialError> for HttpError {
    fn from(error: DialError) -> HttpError {
        match error {
            DialError::Cancelled => HttpError::Cancelled,
            DialError::NameTimedOut => HttpError::Late("the host name was not resolved in time"),
            DialError::ConnectTimedOut => HttpError::Late(NO_CONNECTION),
            DialError::Name(error) | DialError::Connect(error) => HttpError::Io(error),
            DialError::System(error) => HttpError::System(error),
            error @ (DialError::ProxyUnreachable(..)
            | DialError::ProxyRefused(..)
            | DialError::ProxyTimedOut(_)) => HttpError::Proxy(error),
        }
    }
}

impl From<TlsSocketError> for HttpError {
    fn from(error: TlsSocketError) -> HttpError {
        match error {
            TlsSocketError::Io(error) => HttpError::Io(error),
            TlsSocketError::Tls(error) => HttpError::Tls(error),
        }
    }
}

impl From<AnswerError> for HttpError {
    fn from(error: AnswerError) -> HttpError {
        HttpError::Answer(error)
    }
}

/// ureq's own failures; those of the connection are told by the transport.
impl From<ureq::Error> for HttpError {
    fn from(error: ureq::Error) -> HttpError {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect) => HttpError::Late(NO_CONNECTION),
            ureq::Error::Timeout(_) => HttpError::Late(NO_ANSWER),
            ureq::Error::LargeResponseHeader(..) => AnswerError::TooLarge.into(),
            ureq::Error::Io(error) => HttpError::Io(error),
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => HttpError::Unmade,
            _ => AnswerError::Malformed.into(),
        }
    }
}
