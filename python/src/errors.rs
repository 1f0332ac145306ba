//! The library's errors as Python's exceptions, which are defined in `_errors.py`.

use pyo3::import_exception;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use spotflow_device::Error;

macro_rules! exceptions {
    ($($name:ident,)*) => {
        $(import_exception!(spotflow_device._errors, $name);)*

        /// Imports all of them: while the interpreter goes down nothing can be imported any more.
        pub fn load(py: Python<'_>) -> PyResult<()> {
            py.import("spotflow_device._errors")?;
            $($name::type_object(py);)*
            Ok(())
        }
    };
}

exceptions! {
    SpotflowError,
    InvalidArgumentError,
    InvalidTypeError,
    WaitTimeoutError,
    ClosedError,
    SetAsideError,
    DroppedError,
    ExpiredError,
    ReplacedError,
    OutboxFullError,
    LostError,
    RegistrationError,
    DatabaseError,
    DatabaseInUseError,
    StorageFullError,
    OutcomeUnknownError,
    UnreadableFileError,
}

/// Python has other names for some arguments of the library's.
fn name_in_python(argument: &str) -> &str {
    match argument {
        "database" => "db",
        "on_method" => "methods",
        "remote_access" => "allow_remote_access",
        same => same,
    }
}

/// The exception for an error, with all its causes in its text.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.chain().to_string();
    let raised = match error {
        Error::InvalidArgument { argument, rule, .. } => {
            InvalidArgumentError::new_err(format!("{}: {rule}", name_in_python(argument)))
        }
        Error::Closed => ClosedError::new_err(text),
        Error::TimedOut => WaitTimeoutError::new_err(text),
        Error::SetAside => SetAsideError::new_err(text),
        Error::Dropped => DroppedError::new_err(text),
        Error::Expired => ExpiredError::new_err(text),
        Error::Replaced => ReplacedError::new_err(text),
        Error::OutboxFull { .. } => OutboxFullError::new_err(text),
        Error::Lost => LostError::new_err(text),
        Error::DatabaseInUse { .. } => DatabaseInUseError::new_err(text),
        Error::StorageFull { .. } => StorageFullError::new_err(text),
        Error::OutcomeUnknown { .. } => OutcomeUnknownError::new_err(text),
        Error::UnreadableFile { .. } => UnreadableFileError::new_err(text),
        Error::Database { .. } => DatabaseError::new_err(text),
        Error::Refused { .. } | Error::InvalidToken { .. } | Error::ProvisioningRefused => {
            RegistrationError::new_err(text)
        }
        _ => SpotflowError::new_err(text),
    };
    match raised.value(py).setattr("retryable", error.is_retryable()) {
        Ok(()) => raised,
        Err(error) => error,
    }
}
