//! How fast Messages and uploads may go, as arguments of the start and of `set_pacing`.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use spotflow_device::Pacing;

use crate::arguments::{boolean, count, number, seconds, wrong_type};
use crate::choices::choice;
use crate::values::{Reduced, value};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// How fast Messages and uploads may go, for `DeviceClient.start` and `DeviceClient.set_pacing`.
///
/// - `messages_per_second`: at most so many Messages, above 0, by default without limit; 0.1 is one in ten seconds.
/// - `bytes_per_second`: at most so many bytes of Messages, with their topics, and of uploads, by default without limit.
/// - `burst`: after a pause one Message goes at once, and as much beyond it as the limits give in this time, 0.1 to 3600
///   seconds, by default 0.1.
#[pyclass(module = "spotflow_device", frozen, eq, from_py_object)]
#[derive(Clone, PartialEq)]
pub struct Pace {
    messages_per_second: Option<f64>,
    bytes_per_second: Option<u64>,
    burst: Option<Duration>,
}

value! {
    Pace {
        messages_per_second,
        bytes_per_second,
        burst,
    }
}

#[pymethods]
impl Pace {
    #[new]
    #[pyo3(signature = (*, messages_per_second=None, bytes_per_second=None, burst=None))]
    #[pyo3(text_signature = "(*, messages_per_second=None, bytes_per_second=None, burst=0.1)")]
    fn new(
        messages_per_second: Argument<'_, '_>,
        bytes_per_second: Argument<'_, '_>,
        burst: Argument<'_, '_>,
    ) -> PyResult<Pace> {
        Ok(Pace {
            messages_per_second: messages_per_second
                .map(|messages| number("messages_per_second", messages))
                .transpose()?,
            bytes_per_second: bytes_per_second
                .map(|bytes| count("bytes_per_second", bytes))
                .transpose()?,
            burst: seconds("burst", burst)?,
        })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        self.reduced(py)
    }

    fn __repr__(&self) -> String {
        let mut limits = String::new();
        if let Some(messages) = self.messages_per_second {
            limits += &format!(" {messages} Messages");
        }
        if let Some(bytes) = self.bytes_per_second {
            limits += &format!(" {bytes} bytes");
        }
        if limits.is_empty() {
            limits += " no limit";
        }
        format!("<spotflow_device.Pace per second:{limits}>")
    }
}

impl Pace {
    fn pace(&self) -> spotflow_device::Pace {
        let mut pace = spotflow_device::Pace::new();
        if let Some(messages) = self.messages_per_second {
            pace = pace.messages_per_second(messages);
        }
        if let Some(bytes) = self.bytes_per_second {
            pace = pace.bytes_per_second(bytes);
        }
        if let Some(burst) = self.burst {
            pace = pace.burst(burst);
        }
        pace
    }
}

/// What a program gave, unchecked.
pub struct PacingArguments<'a, 'py> {
    pub pacing: Argument<'a, 'py>,
    pub lane_pacing: Argument<'a, 'py>,
    pub slow_down_when_throttled: Argument<'a, 'py>,
}

impl PacingArguments<'_, '_> {
    pub fn pacing(&self) -> PyResult<Pacing> {
        let mut pacing = Pacing::new();
        if let Some(all) = self.pacing {
            let refused = |_| wrong_type("pacing", "a Pace or None", all);
            pacing = pacing.all(all.extract::<Pace>().map_err(refused)?.pace());
        }
        if let Some(lanes) = self.lane_pacing {
            let Ok(lanes) = lanes.cast::<PyDict>() else {
                let expected = "a dict of Pace by Priority, or None";
                return Err(wrong_type("lane_pacing", expected, lanes));
            };
            for (priority, value) in lanes {
                let expected = "a dict with values that are a Pace";
                let refused = |_| wrong_type("lane_pacing", expected, &value);
                let pace = value.extract::<Pace>().map_err(refused)?;
                pacing = pacing.lane(choice("lane_pacing", &priority)?, pace.pace());
            }
        }
        if let Some(wanted) = self.slow_down_when_throttled {
            let wanted = boolean("slow_down_when_throttled", wanted)?;
            pacing = pacing.slow_down_when_throttled(wanted);
        }
        Ok(pacing)
    }
}
