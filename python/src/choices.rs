//! Choices: enumerations of Python's, in `_choices.py`, and what the library calls them.

use pyo3::prelude::*;
use spotflow_device::{Codec, Compression, Durability, Priority, Transport, WhenFull};

use crate::arguments::wrong_type;

/// What a member of an enumeration of Python's stands for.
pub trait Choice: Sized {
    /// The enumeration's name.
    const CLASS: &str;

    /// What the member of this name stands for.
    fn named(name: &str) -> Option<Self>;
}

/// A member of an enumeration.
pub fn choice<T: Choice>(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    let choices = value.py().import("spotflow_device._choices")?;
    let refused = || wrong_type(argument, &format!("a {}", T::CLASS), value);
    if !value.is_instance(&choices.getattr(T::CLASS)?)? {
        return Err(refused());
    }
    let name: String = value.getattr("name")?.extract()?;
    T::named(&name).ok_or_else(refused)
}

/// The member of an enumeration by its name.
pub fn member(py: Python<'_>, class: &str, name: &str) -> PyResult<Py<PyAny>> {
    let choices = py.import("spotflow_device._choices")?;
    Ok(choices.getattr(class)?.getattr(name)?.unbind())
}

impl Choice for Compression {
    const CLASS: &str = "Compression";

    fn named(name: &str) -> Option<Compression> {
        match name {
            "UNCOMPRESSED" => Some(Compression::Uncompressed),
            "FASTEST" => Some(Compression::Fastest),
            "SMALLEST_SIZE" => Some(Compression::SmallestSize),
            _ => None,
        }
    }
}

impl Choice for Codec {
    const CLASS: &str = "Codec";

    fn named(name: &str) -> Option<Codec> {
        match name {
            "BROTLI" => Some(Codec::Brotli),
            "GZIP" => Some(Codec::Gzip),
            "ZSTD" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

impl Choice for Durability {
    const CLASS: &str = "Durability";

    fn named(name: &str) -> Option<Durability> {
        match name {
            "KILL_SAFE" => Some(Durability::KillSafe),
            "POWER_SAFE" => Some(Durability::PowerSafe),
            _ => None,
        }
    }
}

impl Choice for Transport {
    const CLASS: &str = "Transport";

    fn named(name: &str) -> Option<Transport> {
        match name {
            "AUTOMATIC" => Some(Transport::Automatic),
            "MQTT" => Some(Transport::Mqtt),
            "WEB_SOCKET" => Some(Transport::WebSocket),
            _ => None,
        }
    }
}

impl Choice for Priority {
    const CLASS: &str = "Priority";

    fn named(name: &str) -> Option<Priority> {
        match name {
            "URGENT" => Some(Priority::Urgent),
            "HIGH" => Some(Priority::High),
            "NORMAL" => Some(Priority::Normal),
            "LOW" => Some(Priority::Low),
            "BULK" => Some(Priority::Bulk),
            _ => None,
        }
    }
}

impl Choice for WhenFull {
    const CLASS: &str = "WhenFull";

    fn named(name: &str) -> Option<WhenFull> {
        match name {
            "REJECT" => Some(WhenFull::Reject),
            "DROP_OLDEST" => Some(WhenFull::DropOldest),
            _ => None,
        }
    }
}
