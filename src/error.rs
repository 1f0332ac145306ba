//! The one error type of the crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shared, so that an [`Error`] can be handed to every caller that it concerns.
type Source = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// What the constructors take as a cause.
type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Everything that can go wrong, by what the caller can do about it.
///
/// A message names the argument or file and the rule that was broken; it never repeats its
/// [source](std::error::Error::source), and never contains a token, a SAS or an upload link.
///
/// ```
/// # use spotflow_device::{DeviceClient, Error};
/// let error = DeviceClient::builder("token", "device.txt").start().unwrap_err();
/// assert!(matches!(error, Error::InvalidArgument { argument: "database", .. }));
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument breaks a rule. Nothing was stored or sent.
    #[error("{argument}: {rule}")]
    #[non_exhaustive]
    InvalidArgument {
        /// The argument's name.
        argument: &'static str,
        /// The rule, and how the value breaks it.
        rule: String,
    },

    /// The client was closed, by [`close`](crate::DeviceClient::close) or because its last handle
    /// was dropped. What is stored stays stored, for the next start.
    #[error("the client is closed")]
    Closed,

    /// The [interrupt check](crate::InterruptCheck) ended a wait. What is stored stays stored and
    /// goes on being sent.
    #[error("interrupted while waiting")]
    Interrupted,

    /// A time limit given by the caller passed. What is stored stays stored and goes on being sent.
    #[error("the time limit passed")]
    TimedOut,

    /// What was waited for was set aside meanwhile and will not be sent as things stand; see
    /// [`set_aside_messages`](crate::DeviceClient::set_aside_messages).
    #[error("a Message that was waited for was set aside, not sent")]
    SetAside,

    /// What was waited for was dropped meanwhile, to make room for newer Messages, as
    /// [`WhenFull::DropOldest`](crate::WhenFull::DropOldest) says.
    #[error("a Message that was waited for was dropped, not sent: the outbox was full")]
    Dropped,

    /// What was waited for was not sent, as it was older than its
    /// [time to live](crate::SenderOptions::time_to_live) when its turn came.
    #[error("a Message that was waited for was not sent: it was older than its time to live")]
    Expired,

    /// What was waited for was not sent: a newer Message took its place, as
    /// [`SenderOptions::keep_latest`](crate::SenderOptions::keep_latest) says.
    #[error("a Message that was waited for was not sent: a newer one took its place")]
    Replaced,

    /// A [limit of the outbox](crate::OutboxLimits) is reached. Nothing of this call was stored. There is
    /// room again as stored Messages are sent, or the disk has space.
    #[error("the outbox has reached {limit}")]
    #[non_exhaustive]
    OutboxFull {
        /// Which limit, and its value.
        limit: crate::OutboxLimit,
    },

    /// What was waited for was lost: the database file was damaged, and it could not be read any more.
    /// See [`Status::recovery`](crate::Status::recovery).
    #[error("a Message that was waited for was lost with a damaged database file")]
    Lost,

    /// Another client, in this or another process, has the database file open.
    #[error("{path}: in use by another client{}", holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    #[non_exhaustive]
    DatabaseInUse {
        /// The database file.
        path: PathBuf,
        /// The other client's process id, where it could be read.
        holder: Option<u32>,
    },

    /// The database file cannot be opened, read or written. Nothing of this call was stored.
    #[error("{path}: cannot {action}")]
    #[non_exhaustive]
    Database {
        /// The database file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: Source,
    },

    /// A file that was to be [enqueued](crate::StreamSender::enqueue_file) is not there, cannot be read, or changed
    /// while it was copied. Nothing of this call was stored.
    #[error("{path}: the file cannot be read")]
    #[non_exhaustive]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Source,
    },

    /// There is no space left for the database file: on its disk, in the quota of its user, or as files may not be
    /// larger. Nothing of this call was stored. What was stored before goes on being sent, and makes room as it is
    /// acknowledged.
    #[error("{path}: no space left on its disk: free some, or wait until stored Messages are sent")]
    #[non_exhaustive]
    StorageFull {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: Source,
    },

    /// The disk failed at the moment of the commit: what this call was to store may or may not be
    /// there after a restart, and may or may not be sent.
    #[error("{path}: the disk failed while storing; whether it was stored is unknown")]
    #[non_exhaustive]
    OutcomeUnknown {
        /// The database file.
        path: PathBuf,
        /// The cause.
        source: Source,
    },

    /// The Platform refused a request, and repeating it would not help.
    #[error("the Platform refused to {action}: HTTP status {status}{}", detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    #[non_exhaustive]
    Refused {
        /// What was asked of the Platform.
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// The Platform's explanation (RFC 7807 `title` and `detail`), where it gave one.
        detail: Option<String>,
    },

    /// The Provisioning Token or the Registration Token is not valid (any more).
    #[error("the Platform does not accept the {token}")]
    #[non_exhaustive]
    InvalidToken {
        /// Which token: `Provisioning Token` or `Registration Token`.
        token: &'static str,
    },

    /// The operator refused the Provisioning Operation.
    #[error("the Provisioning Operation was refused by the operator")]
    ProvisioningRefused,

    /// The Platform cannot serve the request now: HTTP 423 (Workspace disabled), 429, 5xx. Retried.
    #[error("the Platform cannot {action} now: HTTP status {status}{}", detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    #[non_exhaustive]
    Unavailable {
        /// What was asked of the Platform.
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// The Platform's explanation, where it gave one.
        detail: Option<String>,
    },

    /// The Platform cannot be reached: no network, no such name, refused, timed out, cut. Retried.
    #[error("cannot {action}")]
    #[non_exhaustive]
    Network {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Source,
    },

    /// The peer's TLS certificate or handshake was not acceptable. Retried: a device's clock that is
    /// still wrong makes every certificate look invalid.
    #[error("cannot {action}: TLS failed")]
    #[non_exhaustive]
    Tls {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Source,
    },

    /// The peer said something that the protocol does not allow. Retried.
    #[error("cannot {action}: unexpected answer: {problem}")]
    #[non_exhaustive]
    Protocol {
        /// What was tried.
        action: &'static str,
        /// What was wrong with the answer.
        problem: String,
    },

    /// The hub refused the connection (MQTT 3.1.1 CONNACK return code). Retried with a fresh SAS.
    #[error("the hub refused the connection: {reason}")]
    #[non_exhaustive]
    ConnectionRefused {
        /// The return code in words.
        reason: &'static str,
    },

    /// The operating system did not give us a thread, a socket or a poller.
    #[error("cannot {action}")]
    #[non_exhaustive]
    System {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Source,
    },
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same call can succeed later without the caller changing anything.
    ///
    /// ```
    /// # use spotflow_device::Error;
    /// assert!(Error::TimedOut.is_retryable());
    /// assert!(!Error::Closed.is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Interrupted
            | Error::TimedOut
            | Error::DatabaseInUse { .. }
            | Error::UnreadableFile { .. }
            | Error::StorageFull { .. }
            | Error::OutboxFull { .. }
            | Error::Unavailable { .. }
            | Error::Network { .. }
            | Error::Tls { .. }
            | Error::Protocol { .. }
            | Error::ConnectionRefused { .. }
            | Error::System { .. } => true,
            Error::InvalidArgument { .. }
            | Error::Closed
            | Error::SetAside
            | Error::Dropped
            | Error::Expired
            | Error::Replaced
            | Error::Lost
            | Error::Database { .. }
            | Error::OutcomeUnknown { .. }
            | Error::Refused { .. }
            | Error::InvalidToken { .. }
            | Error::ProvisioningRefused => false,
        }
    }

    /// The error and its causes in one line, each once; `{error}` alone does not repeat its cause.
    ///
    /// ```
    /// # use spotflow_device::DeviceClient;
    /// let error = DeviceClient::builder("token", "/no/such/directory/device.db").start().unwrap_err();
    /// assert!(error.chain().to_string().starts_with(&format!("{error}: ")));
    /// ```
    pub fn chain(&self) -> impl std::fmt::Display + '_ {
        Chain(self)
    }

    pub(crate) fn invalid(argument: &'static str, rule: impl Into<String>) -> Error {
        Error::InvalidArgument {
            argument,
            rule: rule.into(),
        }
    }

    pub(crate) fn database(path: &Path, action: &'static str, source: impl Into<Cause>) -> Error {
        Error::Database {
            path: path.to_owned(),
            action,
            source: Arc::from(source.into()),
        }
    }

    /// A failed operation on the database file or one beside it.
    pub(crate) fn file(path: &Path, action: &'static str, source: std::io::Error) -> Error {
        if is_no_space(source.kind()) {
            return Error::StorageFull {
                path: path.to_owned(),
                source: Arc::new(source),
            };
        }
        Error::database(path, action, source)
    }

    pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> Error {
        Error::UnreadableFile {
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn network(action: &'static str, source: impl Into<Cause>) -> Error {
        Error::Network {
            action,
            source: Arc::from(source.into()),
        }
    }

    pub(crate) fn tls(action: &'static str, source: impl Into<Cause>) -> Error {
        Error::Tls {
            action,
            source: Arc::from(source.into()),
        }
    }

    pub(crate) fn protocol(action: &'static str, problem: impl Into<String>) -> Error {
        Error::Protocol {
            action,
            problem: problem.into(),
        }
    }

    pub(crate) fn system(action: &'static str, source: impl Into<Cause>) -> Error {
        Error::System {
            action,
            source: Arc::from(source.into()),
        }
    }
}

/// Whether the system has no space for it: the disk is full, or the quota, or the file is as large as it may be.
pub(crate) fn is_no_space(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// `error` and its sources in one line: each cause once.
pub(crate) struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut next = Some(self.0);
        let mut separator = "";
        while let Some(error) = next {
            let text = error.to_string();
            next = error.source();
            // SQLite's errors say the same again, with their code before it.
            if next.is_none_or(|cause| !cause.to_string().ends_with(&text)) {
                write!(f, "{separator}{text}")?;
                separator = ": ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn what_a_cause_says_again_is_written_once() {
        let no_database = "file is not a database".to_owned();
        let code = ffi::Error::new(ffi::SQLITE_NOTADB);
        let source = rusqlite::Error::SqliteFailure(code, Some(no_database));
        let error = Error::database(Path::new("a.db"), "open the database", source);
        assert_eq!(
            error.chain().to_string(),
            "a.db: cannot open the database: Error code 26: file is not a database"
        );
    }
}
