//! The limits of the outbox, as arguments of the start and of `set_outbox_limits`.

use pyo3::prelude::*;
use spotflow_device::OutboxLimits;

use crate::arguments::{count, invalid};
use crate::choices::choice;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// What a program gave, unchecked.
pub struct LimitArguments<'a, 'py> {
    pub outbox_messages_max: Argument<'a, 'py>,
    pub outbox_bytes_max: Argument<'a, 'py>,
    pub free_disk_bytes_min: Argument<'a, 'py>,
    pub when_full: Argument<'a, 'py>,
}

impl LimitArguments<'_, '_> {
    pub fn limits(&self) -> PyResult<OutboxLimits> {
        let mut limits = OutboxLimits::new();
        if let Some(messages) = self.outbox_messages_max {
            limits = limits.messages(at_least_one("outbox_messages_max", messages)?);
        }
        if let Some(bytes) = self.outbox_bytes_max {
            limits = limits.bytes(at_least_one("outbox_bytes_max", bytes)?);
        }
        if let Some(bytes) = self.free_disk_bytes_min {
            limits = limits.free_disk_bytes(at_least_one("free_disk_bytes_min", bytes)?);
        }
        if let Some(when_full) = self.when_full {
            limits = limits.when_full(choice("when_full", when_full)?);
        }
        Ok(limits)
    }
}

fn at_least_one(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    match count(argument, value)? {
        0 => Err(invalid(argument, "must be at least 1")),
        number => Ok(number),
    }
}
