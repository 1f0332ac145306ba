//! Values: objects without a connection to the client, which can be copied and pickled.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What `__reduce__` returns: a function of the module, and what it is called with.
pub type Reduced<'py> = (Bound<'py, PyAny>, (&'static str, Bound<'py, PyDict>));

/// An object of `class` from its fields by name: `pickling::restore` makes it again.
pub fn reduced<'py>(class: &'static str, fields: Bound<'py, PyDict>) -> PyResult<Reduced<'py>> {
    let module = fields.py().import("spotflow_device._native")?;
    Ok((module.getattr("restore")?, (class, fields)))
}

/// A field by its name.
pub fn field<'py, T>(fields: &Bound<'py, PyDict>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
{
    let value = fields.as_any().get_item(name)?;
    value.extract().map_err(Into::into)
}

/// For a class of which all fields are Python's, too.
macro_rules! value {
    ($class:ident { $($field:ident,)* }) => {
        impl $class {
            fn reduced<'py>(&self, py: pyo3::Python<'py>) -> pyo3::PyResult<$crate::values::Reduced<'py>> {
                let fields = pyo3::types::PyDict::new(py);
                $(fields.set_item(stringify!($field), &self.$field)?;)*
                $crate::values::reduced(stringify!($class), fields)
            }

            /// From its fields by name.
            pub fn restored(fields: &pyo3::Bound<'_, pyo3::types::PyDict>) -> pyo3::PyResult<$class> {
                Ok($class { $($field: $crate::values::field(fields, stringify!($field))?,)* })
            }
        }
    };
}
pub(crate) use value;
