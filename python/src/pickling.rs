//! Values that come back from `copy` and `pickle`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::connection_change::ConnectionChange;
use crate::desired_properties::DesiredProperties;
use crate::pacing::Pace;
use crate::provisioning_operation::ProvisioningOperation;
use crate::remote_access::{RemoteAccess, TunnelRequest, TunnelStatus};
use crate::status::{PacingStatus, Recovery, SetAsideMessage, Status, UploadStatus};

/// Makes a value again from what its `__reduce__` gave.
#[pyfunction]
pub fn restore<'py>(kind: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let py = fields.py();
    Ok(match kind {
        "ConnectionChange" => Bound::new(py, ConnectionChange::restored(fields)?)?.into_any(),
        "DesiredProperties" => Bound::new(py, DesiredProperties::restored(fields)?)?.into_any(),
        "Pace" => Bound::new(py, Pace::restored(fields)?)?.into_any(),
        "PacingStatus" => Bound::new(py, PacingStatus::restored(fields)?)?.into_any(),
        "ProvisioningOperation" => {
            Bound::new(py, ProvisioningOperation::restored(fields)?)?.into_any()
        }
        "Recovery" => Bound::new(py, Recovery::restored(fields)?)?.into_any(),
        "RemoteAccess" => Bound::new(py, RemoteAccess::restored(fields)?)?.into_any(),
        "SetAsideMessage" => Bound::new(py, SetAsideMessage::restored(fields)?)?.into_any(),
        "TunnelRequest" => Bound::new(py, TunnelRequest::restored(fields)?)?.into_any(),
        "TunnelStatus" => Bound::new(py, TunnelStatus::restored(fields)?)?.into_any(),
        "UploadStatus" => Bound::new(py, UploadStatus::restored(fields)?)?.into_any(),
        "Status" => Bound::new(py, Status::restored(fields)?)?.into_any(),
        _ => return Err(PyValueError::new_err(format!("{kind} is no value"))),
    })
}
