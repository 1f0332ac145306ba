//! How a command ends.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How a command ended that did what it was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Findings,
    CannotTell,
}

impl Outcome {
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Findings => 1,
            Outcome::CannotTell => 2,
        }
    }
}

/// Why a command could not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", .0.chain())]
    Sdk(Error),
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("not confirmed: nothing was changed")]
    NotConfirmed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Sdk(error)
    }
}

impl Failure {
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Failure {
        let path = path.to_owned();
        move |error| Failure::File { path, error }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            // It was called wrongly.
            Failure::Sdk(Error::InvalidArgument { .. }) => Outcome::CannotTell.exit_code(),
            _ => Outcome::Findings.exit_code(),
        }
    }
}
