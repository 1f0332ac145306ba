//! The Desired Properties: what the application sees of them, and how full reads and updates from
//! the hub change them.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::document::Versioned;
use super::merge_patch;
use crate::error::{Error, Result};

/// One version of the Desired Properties: what the Platform wants the device to be.
///
/// A snapshot, cheap to clone: later updates do not change it.
///
/// ```no_run
/// # fn example(client: &spotflow_device::DeviceClient) -> spotflow_device::Result<()> {
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Settings {
///     sampling_interval_seconds: Option<u64>,
/// }
///
/// let properties = client.get_desired_properties()?;
/// println!("version {}: {:?}", properties.version(), properties.values().get("mode"));
/// let settings: Settings = properties.deserialize()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct DesiredProperties {
    inner: Arc<Versioned>,
}

impl DesiredProperties {
    pub(crate) fn new(properties: Versioned) -> DesiredProperties {
        DesiredProperties {
            inner: Arc::new(properties),
        }
    }

    /// The version that the Platform gave to these properties. It grows with every change, and
    /// starts anew only when the Platform's device does.
    pub fn version(&self) -> u64 {
        self.inner.version
    }

    /// The properties. The hub's own entries, `$version` and `$metadata`, are not among them.
    pub fn values(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.inner.values
    }

    /// The properties as a type of the application's own.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](Error::InvalidArgument) with what does not fit the type. It is up to the
    /// application to go on with what it had.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(self.values())
            .map_err(|error| Error::invalid("desired properties", error.to_string()))
    }
}

impl fmt::Debug for DesiredProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesiredProperties")
            .field("version", &self.version())
            .field("values", self.values())
            .finish()
    }
}

/// What a document from the hub did to the Desired Properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DesiredChange {
    /// They are others now: to be stored and shown to the application.
    Updated,
    /// Nothing new.
    Unchanged,
    /// Nothing was changed, as an update is missing: the whole twin has to be read. If a read is
    /// under way, its answer will do, or be a `Gap` itself.
    Gap,
}

/// The Desired Properties as far as known.
///
/// An update may overtake the answer to a read that was made before it. Such an answer is older
/// than what the hub has told since, and is not taken for the truth.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    current: Option<DesiredProperties>,
    /// The newest version told by an update since the last read was sent.
    newest_since_read: Option<u64>,
}

impl Desired {
    /// Starts with what the database has kept.
    pub(crate) fn new(stored: Option<Versioned>) -> Desired {
        Desired {
            current: stored.map(DesiredProperties::new),
            newest_since_read: None,
        }
    }

    /// The properties, unless none were ever received.
    pub(crate) fn current(&self) -> Option<&DesiredProperties> {
        self.current.as_ref()
    }

    /// A read of the whole twin was sent: on every connection, and after every [`DesiredChange::Gap`]
    /// with none under way.
    pub(crate) fn read_sent(&mut self) {
        self.newest_since_read = None;
    }

    /// The answer to a read: right, even if its version is lower, as when the device was created
    /// anew.
    pub(crate) fn apply_full(&mut self, full: Versioned) -> DesiredChange {
        if self.newest_since_read > Some(full.version) {
            return DesiredChange::Gap;
        }
        let full = DesiredProperties::new(full);
        if self.current.as_ref() == Some(&full) {
            return DesiredChange::Unchanged;
        }
        self.current = Some(full);
        DesiredChange::Updated
    }

    /// An update: only the one that leads from the current version to the next applies.
    pub(crate) fn apply_patch(&mut self, patch: &Versioned) -> DesiredChange {
        self.newest_since_read = self.newest_since_read.max(Some(patch.version));
        let Some(current) = &mut self.current else {
            return DesiredChange::Gap;
        };
        if patch.version <= current.version() {
            return DesiredChange::Unchanged;
        }
        if patch.version - 1 != current.version() {
            return DesiredChange::Gap;
        }
        // Copies the properties only if the application still holds the version before.
        let properties = Arc::make_mut(&mut current.inner);
        merge_patch::apply(&mut properties.values, &patch.values);
        properties.version = patch.version;
        DesiredChange::Updated
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn versioned(version: u64, values: Value) -> Versioned {
        let values = values.as_object().cloned().unwrap_or_default();
        Versioned { version, values }
    }

    fn desired(version: u64, values: Value) -> Desired {
        Desired::new(Some(versioned(version, values)))
    }

    fn shown(desired: &Desired) -> Option<(u64, Value)> {
        let current = desired.current()?;
        Some((current.version(), Value::Object(current.values().clone())))
    }

    #[test]
    fn the_next_update_is_merged() {
        let mut desired = desired(4, json!({"a": 1, "b": {"c": 1}}));
        let patch = versioned(5, json!({"a": null, "b": {"d": 2}}));
        assert_eq!(desired.apply_patch(&patch), DesiredChange::Updated);
        assert_eq!(shown(&desired), Some((5, json!({"b": {"c": 1, "d": 2}}))));
    }

    #[test]
    fn an_older_update_is_ignored() {
        let mut desired = desired(4, json!({"a": 1}));
        for version in [0, 3, 4] {
            let patch = versioned(version, json!({"a": 9}));
            assert_eq!(desired.apply_patch(&patch), DesiredChange::Unchanged);
        }
        assert_eq!(shown(&desired), Some((4, json!({"a": 1}))));
    }

    #[test]
    fn a_missing_update_asks_for_a_read_and_changes_nothing() {
        let mut desired = desired(4, json!({"a": 1}));
        for version in [6, u64::MAX] {
            assert_eq!(
                desired.apply_patch(&versioned(version, json!({}))),
                DesiredChange::Gap
            );
        }
        assert_eq!(shown(&desired), Some((4, json!({"a": 1}))));

        let mut nothing_yet = Desired::default();
        assert_eq!(
            nothing_yet.apply_patch(&versioned(1, json!({}))),
            DesiredChange::Gap
        );
        assert_eq!(shown(&nothing_yet), None);
    }

    #[test]
    fn a_full_read_is_right_even_with_a_lower_version() {
        let mut desired = desired(40, json!({"a": 1}));
        desired.read_sent();
        assert_eq!(
            desired.apply_full(versioned(1, json!({}))),
            DesiredChange::Updated
        );
        assert_eq!(shown(&desired), Some((1, json!({}))));
        assert_eq!(
            desired.apply_patch(&versioned(2, json!({"b": 2}))),
            DesiredChange::Updated
        );
        assert_eq!(shown(&desired), Some((2, json!({"b": 2}))));
    }

    #[test]
    fn a_full_read_of_the_same_is_no_update() {
        let mut desired = desired(4, json!({"a": 1}));
        desired.read_sent();
        assert_eq!(
            desired.apply_full(versioned(4, json!({"a": 1}))),
            DesiredChange::Unchanged
        );
        assert_eq!(
            desired.apply_full(versioned(4, json!({"a": 2}))),
            DesiredChange::Updated
        );
        assert_eq!(
            desired.apply_full(versioned(5, json!({"a": 2}))),
            DesiredChange::Updated
        );
    }

    #[test]
    fn an_answer_overtaken_by_an_update_is_read_again() {
        let mut desired = desired(4, json!({"a": 4}));
        desired.read_sent();
        assert_eq!(
            desired.apply_patch(&versioned(5, json!({"a": 5}))),
            DesiredChange::Updated
        );
        assert_eq!(
            desired.apply_full(versioned(4, json!({"a": 4}))),
            DesiredChange::Gap
        );
        assert_eq!(shown(&desired), Some((5, json!({"a": 5}))));

        desired.read_sent();
        assert_eq!(
            desired.apply_full(versioned(4, json!({"a": 4}))),
            DesiredChange::Updated
        );
    }

    #[test]
    fn an_update_before_the_first_answer_is_not_lost() {
        let mut desired = Desired::default();
        desired.read_sent();
        assert_eq!(
            desired.apply_patch(&versioned(2, json!({"a": 2}))),
            DesiredChange::Gap
        );
        assert_eq!(
            desired.apply_full(versioned(1, json!({}))),
            DesiredChange::Gap
        );
        desired.read_sent();
        assert_eq!(
            desired.apply_full(versioned(2, json!({"a": 2}))),
            DesiredChange::Updated
        );
    }

    #[test]
    fn what_the_application_holds_is_not_changed_by_updates() {
        let mut desired = desired(1, json!({"a": 1}));
        let held = desired.current().cloned();
        desired.apply_patch(&versioned(2, json!({"a": 2})));
        assert_eq!(
            held.map(|p| (p.version(), p.values()["a"].clone())),
            Some((1, json!(1)))
        );
    }

    #[test]
    fn properties_become_a_type_of_the_application_or_an_error() {
        #[derive(serde::Deserialize, Debug, PartialEq)]
        struct Settings {
            interval: u32,
        }
        let good = DesiredProperties::new(versioned(1, json!({"interval": 5, "other": []})));
        assert_eq!(
            good.deserialize::<Settings>().ok(),
            Some(Settings { interval: 5 })
        );
        let bad = DesiredProperties::new(versioned(1, json!({"interval": -5})));
        let refused = bad
            .deserialize::<Settings>()
            .map_err(|error| error.to_string());
        assert!(refused.is_err_and(|e| e.starts_with("desired properties: invalid value")));
    }
}
