//! Who the device is: its Workspace and its Device ID.

use std::fmt;

/// Who the device is at its hub: `{workspace}:{device}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubDeviceId {
    pub workspace_id: String,
    pub device_id: String,
}

impl HubDeviceId {
    /// Splits at the first colon. Refuses what would change its meaning in a topic or a path.
    pub fn parse(text: &str) -> Option<HubDeviceId> {
        let allowed = |b: u8| b.is_ascii_graphic() && !b"/+#?&\\\"".contains(&b);
        let (workspace_id, device_id) = text.split_once(':')?;
        let valid = !workspace_id.is_empty() && !device_id.is_empty() && text.bytes().all(allowed);
        valid.then(|| HubDeviceId {
            workspace_id: workspace_id.into(),
            device_id: device_id.into(),
        })
    }
}

impl fmt::Display for HubDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.workspace_id, self.device_id)
    }
}
