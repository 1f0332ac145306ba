//! ureq's errors as ours.
//!
//! ureq's own texts can contain the request's URI, and an upload's URI is a secret: so an error is
//! taken over by its kind, and only texts that cannot contain one are kept.

use std::io;

use crate::net::tls_failure::{connection_failure, tls_failure};
use crate::{Error, error};

/// The error for a request that was meant to `action`.
pub(crate) fn failure(action: &'static str, error: ureq::Error) -> Error {
    use ureq::Error as E;
    match error {
        E::Io(error) => connection_failure(action, error),
        E::Rustls(error) => tls_failure(action, error),
        E::Tls(problem) => Error::tls(action, problem),
        E::Timeout(phase) => timed_out(action, phase),
        E::HostNotFound => network(action, io::ErrorKind::NotFound, "the host name is unknown"),
        E::ConnectionFailed => network(action, io::ErrorKind::NotConnected, "no connection"),
        E::ConnectProxyFailed(_) | E::InvalidProxyUrl => {
            network(action, io::ErrorKind::NotConnected, "the proxy failed")
        }
        E::LargeResponseHeader(..) | E::BodyExceedsLimit(_) => {
            Error::protocol(action, "it is too large")
        }
        E::Protocol(_) => Error::protocol(action, "it is not HTTP/1.1"),
        _ => Error::protocol(action, "the request could not be made"),
    }
}

/// As [`failure`], while the body of an answer is read: an end of the connection is an answer cut short.
pub(crate) fn body_failure(action: &'static str, error: ureq::Error) -> Error {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::protocol(action, "it is cut short")
        }
        error => failure(action, error),
    }
}

fn timed_out(action: &'static str, phase: ureq::Timeout) -> Error {
    let text = match phase {
        ureq::Timeout::Resolve => "the host name was not resolved in time",
        ureq::Timeout::Connect => "no connection was made in time",
        _ => "no answer came in time",
    };
    network(action, io::ErrorKind::TimedOut, text)
}

fn network(action: &'static str, kind: io::ErrorKind, text: &'static str) -> error::Error {
    Error::network(action, io::Error::new(kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Chain;

    #[test]
    fn no_text_of_ureq_that_can_hold_an_address_is_kept() {
        let uri = "https://blob.example/c/b?sig=hunter2".to_owned();
        for error in [
            ureq::Error::BadUri(uri.clone()),
            ureq::Error::RequireHttpsOnly(uri.clone()),
            ureq::Error::ConnectProxyFailed(uri.clone()),
            ureq::Error::Other(uri.into()),
        ] {
            let error = failure("upload", error);
            assert!(!Chain(&error).to_string().contains("hunter2"));
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn silence_is_a_failure_of_the_network() {
        let error = failure("upload", ureq::Error::Timeout(ureq::Timeout::Global));
        assert!(matches!(error, Error::Network { .. }));
        assert!(Chain(&error).to_string().contains("in time"));
    }
}
