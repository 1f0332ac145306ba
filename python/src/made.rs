//! The classes that programs hold are Python's, below those of this module: only so they take weak references on
//! CPython 3.7. Their objects are made here alone.

use std::any::Any;
use std::sync::Mutex;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::unpoisoned::unpoisoned;

/// What an object is made of, on its way through Python's constructor.
#[pyclass(module = "spotflow_device._native", frozen, skip_from_py_object)]
pub struct Parts {
    parts: Mutex<Option<Box<dyn Any + Send>>>,
}

/// An object of one of Python's classes, which is below the class of this module that takes such parts.
pub fn made<'py, T: Send + 'static>(
    py: Python<'py>,
    class: &str,
    parts: T,
) -> PyResult<Bound<'py, PyAny>> {
    let class = py.import("spotflow_device._held")?.getattr(class)?;
    let parts = Parts {
        parts: Mutex::new(Some(Box::new(parts))),
    };
    class.call1((parts,))
}

/// The parts that a constructor was called with; whoever else calls it is told what to do instead.
pub fn parts<T: 'static>(arguments: &Bound<'_, PyTuple>, instead: &'static str) -> PyResult<T> {
    let parts = match arguments.get_item(0) {
        Ok(argument) => argument.cast_into::<Parts>().ok(),
        Err(_) => None,
    };
    let taken = parts.and_then(|parts| {
        let parts = unpoisoned(parts.get().parts.lock()).take();
        parts?.downcast::<T>().ok()
    });
    match taken {
        Some(parts) => Ok(*parts),
        None => Err(PyTypeError::new_err(instead)),
    }
}
