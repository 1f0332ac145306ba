//! Arguments on their way from Python: what has a wrong type or value is a `SpotflowError` that names the
//! argument.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyMemoryView, PyString};

use crate::errors::{InvalidArgumentError, InvalidTypeError};

type Argument<'a, 'py> = &'a Bound<'py, PyAny>;

/// `<argument>: must be <expected>, not <type>`. Types that are not Python's own have the module in their name.
pub fn wrong_type(argument: &str, expected: &str, value: Argument<'_, '_>) -> PyErr {
    match value.get_type().fully_qualified_name() {
        Ok(name) => {
            InvalidTypeError::new_err(format!("{argument}: must be {expected}, not {name}"))
        }
        Err(error) => error,
    }
}

pub fn invalid(argument: &str, rule: impl std::fmt::Display) -> PyErr {
    InvalidArgumentError::new_err(format!("{argument}: {rule}"))
}

/// A `str` that UTF-8 can express.
pub fn text(argument: &str, value: Argument<'_, '_>) -> PyResult<String> {
    let text = value
        .cast::<PyString>()
        .map_err(|_| wrong_type(argument, "str", value))?;
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(invalid(
            argument,
            "must not have lone surrogates, which UTF-8 cannot express",
        )),
    }
}

pub fn optional_text(argument: &str, value: Option<Argument<'_, '_>>) -> PyResult<Option<String>> {
    value.map(|value| text(argument, value)).transpose()
}

/// A `str` or what has `__fspath__`.
pub fn path(argument: &str, value: Argument<'_, '_>) -> PyResult<PathBuf> {
    let path: PathBuf = value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyTypeError>(value.py()) {
            wrong_type(argument, "str or os.PathLike", value)
        } else {
            invalid(argument, error)
        }
    })?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(invalid(argument, "must not have a NUL character"));
    }
    Ok(path)
}

/// A callable or `None`.
pub fn callback<'a, 'py>(
    argument: &str,
    value: Option<Argument<'a, 'py>>,
) -> PyResult<Option<Argument<'a, 'py>>> {
    match value {
        Some(value) if !value.is_callable() => {
            Err(wrong_type(argument, "a callable or None", value))
        }
        value => Ok(value),
    }
}

pub fn boolean(argument: &str, value: Argument<'_, '_>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(value) => Ok(value.is_true()),
        Err(_) => Err(wrong_type(argument, "bool", value)),
    }
}

/// A whole number that is not negative; `bool` is none.
pub fn count<T>(argument: &str, value: Argument<'_, '_>) -> PyResult<T>
where
    T: TryFrom<u64>,
{
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, "int", value));
    }
    let number = value
        .extract::<u64>()
        .ok()
        .and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| out_of_range(argument, value))
}

fn out_of_range(argument: &str, value: Argument<'_, '_>) -> PyErr {
    let is_negative = value.lt(0).unwrap_or(false);
    let rule = if is_negative {
        "must not be negative"
    } else {
        "is too large"
    };
    invalid(argument, format_args!("is out of range: {rule}"))
}

/// An `int` or `float` that a `float` can express; `bool` is none.
pub fn number(argument: &str, value: Argument<'_, '_>) -> PyResult<f64> {
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    if !is_number || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, "a number", value));
    }
    value
        .extract()
        .map_err(|_| invalid(argument, "is out of range"))
}

/// A time in seconds, `int` or `float`; `None` stands for no limit.
pub fn seconds(argument: &str, value: Option<Argument<'_, '_>>) -> PyResult<Option<Duration>> {
    let Some(value) = value else {
        return Ok(None);
    };
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    if !is_number || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, "a number of seconds or None", value));
    }
    let seconds: f64 = value
        .extract()
        .map_err(|_| invalid(argument, "is out of range"))?;
    if seconds.is_nan() {
        return Err(invalid(argument, "must be a number, but is NaN"));
    }
    if seconds < 0.0 {
        return Err(invalid(
            argument,
            format_args!("must not be negative, but is {seconds}"),
        ));
    }
    // What a Duration cannot express is longer than any device runs.
    Ok(Some(
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
    ))
}

/// Text as UTF-8, or the bytes of whatever is a contiguous buffer.
pub fn payload(argument: &str, value: Argument<'_, '_>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if value.is_instance_of::<PyString>() {
        return text(argument, value).map(String::into_bytes);
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(bytes.to_vec());
    }
    // The buffer protocol is not in the stable ABI of CPython 3.7; a memoryview speaks it for us.
    let Ok(view) = view(value) else {
        let expected = "str, bytes or a buffer of bytes";
        return Err(wrong_type(argument, expected, value));
    };
    if has_pointers(&view.getattr("format")?.extract::<String>()?) {
        let rule = "must be a buffer of values, not of objects or pointers";
        return Err(InvalidTypeError::new_err(format!("{argument}: {rule}")));
    }
    if !view.getattr("contiguous")?.is_truthy()? {
        return Err(invalid(argument, "must be a contiguous buffer"));
    }
    let bytes = view.call_method0("tobytes")?;
    view.call_method0("release")?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
}

fn view<'py>(value: Argument<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    value.py().get_type::<PyMemoryView>().call1((value,))
}

/// Whether it has the buffer protocol.
pub fn is_buffer(value: Argument<'_, '_>) -> bool {
    view(value).is_ok()
}

/// Whether a buffer's format names what means nothing outside this process, as in an array of objects: `O`, `P` and
/// `&` of PEP 3118, and those of `ctypes` for strings and functions.
fn has_pointers(format: &str) -> bool {
    // Names of members are between colons. `Zd` and its like are complex numbers.
    let mut types = format.split(':').step_by(2);
    types.any(|types| {
        let types = types.replace("Zf", "").replace("Zd", "").replace("Zg", "");
        types.contains(['O', 'P', 'z', 'Z', '&', 'X'])
    })
}

/// The ids of Messages set aside.
pub fn ids(argument: &str, value: Argument<'_, '_>) -> PyResult<Vec<i64>> {
    let items = value
        .try_iter()
        .map_err(|_| wrong_type(argument, "an iterable of int", value))?;
    items.map(|item| count(argument, &item?)).collect()
}
