//! An exchange's failures as errors. None of these texts repeats anything that was sent or received.

use std::io;

use super::exchange::Failure;
use crate::Error;
use crate::net::tls_failure::{connection_failure, tls_failure};

/// The error for a request that was meant to `action`.
pub(super) fn failure(action: &'static str, failure: Failure) -> Error {
    match failure {
        Failure::Cancelled => Error::Closed,
        Failure::TimedOut => late(action, "it took too long"),
        Failure::Late(what) => late(action, what),
        Failure::Io(error) => connection_failure(action, error),
        Failure::Tls(error) => tls_failure(action, error),
        Failure::Answer(problem) => Error::protocol(action, problem.to_string()),
        Failure::Unmade => Error::protocol(action, "the request could not be made"),
        Failure::System(error) => Error::system(action, error),
    }
}

fn late(action: &'static str, what: &'static str) -> Error {
    Error::network(action, io::Error::new(io::ErrorKind::TimedOut, what))
}
