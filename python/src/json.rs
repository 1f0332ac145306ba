//! Properties between Python and JSON, without loss; what JSON cannot say is an error that names the path.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::arguments::{invalid, wrong_type};
use crate::errors::InvalidTypeError;

/// Deeper than any document may be. It bounds what contains itself, and lists of one list twice, of which
/// each level is as long as all before it.
const MAX_DEPTH: usize = 16;

/// The object that a `dict` states.
pub fn from_dict(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    match value.cast::<PyDict>() {
        Ok(dict) => object(dict, &mut Path::to(argument)),
        Err(_) => Err(wrong_type(argument, "dict", value)),
    }
}

/// Any value that JSON can say.
pub fn from_any(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    json(value, &mut Path::to(argument))
}

/// Where a value is: the argument, and the steps from there, such as `a` and `[2]`.
struct Path {
    argument: &'static str,
    steps: Vec<String>,
}

impl Path {
    fn to(argument: &'static str) -> Path {
        Path {
            argument,
            steps: Vec::new(),
        }
    }

    fn push(&mut self, step: String) {
        self.steps.push(step);
    }

    fn pop(&mut self) {
        self.steps.pop();
    }
}

fn place(path: &Path) -> String {
    let argument = path.argument;
    match path.steps.as_slice() {
        [] => argument.to_owned(),
        steps => format!("{argument}: \"{}\"", steps.join(".").replace(".[", "[")),
    }
}

fn object(dict: &Bound<'_, PyDict>, path: &mut Path) -> PyResult<Map<String, Value>> {
    let mut object = Map::new();
    // Of a copy: another thread may change it meanwhile.
    for (key, value) in dict.copy()?.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            let name = key.get_type().name()?;
            let text = format!("{}: has a key of type {name}, all must be str", place(path));
            return Err(InvalidTypeError::new_err(text));
        };
        let key = unicode(key, path)?;
        path.push(key.clone());
        object.insert(key, json(&value, path)?);
        path.pop();
    }
    Ok(object)
}

fn array<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>, path: &mut Path) -> PyResult<Value> {
    let mut array = Vec::new();
    for (index, item) in items.enumerate() {
        path.push(format!("[{index}]"));
        array.push(json(&item, path)?);
        path.pop();
    }
    Ok(Value::Array(array))
}

fn json(value: &Bound<'_, PyAny>, path: &mut Path) -> PyResult<Value> {
    if path.steps.len() > MAX_DEPTH {
        let rule = format_args!("is nested deeper than {MAX_DEPTH} levels");
        return Err(invalid(&place(path), rule));
    }
    if value.is_none() {
        Ok(Value::Null)
    } else if let Ok(boolean) = value.cast::<PyBool>() {
        Ok(Value::Bool(boolean.is_true()))
    } else if let Ok(text) = value.cast::<PyString>() {
        unicode(text, path).map(Value::String)
    } else if value.is_instance_of::<PyInt>() {
        integer(value, path)
    } else if let Ok(float) = value.cast::<PyFloat>() {
        Number::from_f64(float.value())
            .map(Value::Number)
            .ok_or_else(|| {
                let rule = format_args!("is {}, which JSON cannot express", float.value());
                invalid(&place(path), rule)
            })
    } else if let Ok(dict) = value.cast::<PyDict>() {
        object(dict, path).map(Value::Object)
    } else if let Ok(list) = value.cast::<PyList>() {
        array(list.to_tuple().iter(), path)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        array(tuple.iter(), path)
    } else {
        let expected = "a dict, list, str, int, float, bool or None";
        Err(wrong_type(&place(path), expected, value))
    }
}

fn unicode(text: &Bound<'_, PyString>, path: &Path) -> PyResult<String> {
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(invalid(
            &place(path),
            "has lone surrogates, which UTF-8 cannot express",
        )),
    }
}

fn integer(value: &Bound<'_, PyAny>, path: &Path) -> PyResult<Value> {
    if let Ok(signed) = value.extract::<i64>() {
        return Ok(Value::from(signed));
    }
    match value.extract::<u64>() {
        Ok(unsigned) => Ok(Value::from(unsigned)),
        Err(_) => Err(invalid(&place(path), "is an integer of more than 64 bits")),
    }
}

/// The `dict` for an object.
pub fn to_dict<'py>(py: Python<'py>, object: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in object {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}

/// What Python makes of a value.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(boolean) => PyBool::new(py, *boolean).to_owned().into_any(),
        Value::Number(number) => to_number(py, number)?,
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(object) => to_dict(py, object)?.into_any(),
    })
}

fn to_number<'py>(py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
    if let Some(signed) = number.as_i64() {
        return Ok(signed.into_pyobject(py)?.into_any());
    }
    if let Some(unsigned) = number.as_u64() {
        return Ok(unsigned.into_pyobject(py)?.into_any());
    }
    Ok(PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any())
}
