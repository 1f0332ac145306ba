//! A device twin: Desired and Reported Properties with their versions, merge patches and the rules for both.

use serde_json::{Map, Value, json};

/// Desired and Reported Properties may be that long as JSON, each.
const DOCUMENT_BYTES_MAX: usize = 32 * 1024;
const STRING_BYTES_MAX: usize = 4 * 1024;
/// Objects below the document itself, as in IoT Hub's own example of the limit.
const DEPTH_MAX: usize = 10;

/// One half of a twin.
#[derive(Debug, Clone)]
pub(crate) struct Properties {
    values: Map<String, Value>,
    pub version: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Twin {
    pub desired: Properties,
    pub reported: Properties,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            values: Map::new(),
            version: 1,
        }
    }
}

impl Properties {
    pub fn document(&self) -> Value {
        Value::Object(self.values.clone())
    }

    /// Merges a patch in, unless a rule speaks against the patch or the result.
    pub fn apply(&mut self, patch: &Value) -> Result<u64, String> {
        let Value::Object(patch) = patch else {
            return Err("not a JSON object".to_owned());
        };
        check_rules(patch, 0)?;
        let mut merged = self.values.clone();
        merge(&mut merged, patch);
        let length = Value::Object(merged.clone()).to_string().len();
        if length > DOCUMENT_BYTES_MAX {
            return Err(format!(
                "{length} bytes, at most {DOCUMENT_BYTES_MAX} are allowed"
            ));
        }
        self.values = merged;
        self.version += 1;
        Ok(self.version)
    }

    /// The patch that leads from these properties to `wanted`.
    pub fn patch_to(&self, wanted: &Map<String, Value>) -> Value {
        Value::Object(difference(&self.values, wanted))
    }

    fn with_version(&self) -> Value {
        with_version(self.values.clone(), self.version)
    }
}

impl Twin {
    /// The answer to a device that reads its twin.
    pub fn document(&self) -> Value {
        json!({ "desired": self.desired.with_version(), "reported": self.reported.with_version() })
    }
}

pub(crate) fn with_version(mut values: Map<String, Value>, version: u64) -> Value {
    values.insert("$version".to_owned(), version.into());
    Value::Object(values)
}

/// RFC 7386.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let slot = target.entry(key).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(slot) = slot {
                    merge(slot, inner);
                }
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

fn difference(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let removed = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    let changed = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(*value))
        .map(|(key, value)| {
            let value = match (old.get(key), value) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    Value::Object(difference(old, new))
                }
                _ => value.clone(),
            };
            (key.clone(), value)
        });
    removed.chain(changed).collect()
}

fn check_rules(values: &Map<String, Value>, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX}"));
    }
    for (key, value) in values {
        check_key(key)?;
        check_value(value, depth)?;
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), String> {
    match value {
        Value::String(text) if text.len() > STRING_BYTES_MAX => Err(format!(
            "a string of {} bytes, at most {STRING_BYTES_MAX} are allowed",
            text.len()
        )),
        Value::Array(items) if depth >= DEPTH_MAX && !items.is_empty() => {
            Err(format!("nested deeper than {DEPTH_MAX}"))
        }
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(inner) => check_rules(inner, depth + 1),
        _ => Ok(()),
    }
}

fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("an empty key".to_owned());
    }
    match key.chars().find(|c| ".$ ".contains(*c) || c.is_control()) {
        Some(c) => Err(format!("the key {key:?} contains {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(value: Value) -> Properties {
        let mut properties = Properties::default();
        properties.apply(&value).unwrap();
        properties
    }

    #[test]
    fn patches_merge_as_rfc_7386_says() {
        let mut twin = properties(json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]}));
        let version = twin
            .apply(&json!({"a": null, "b": {"c": 5, "new": {"x": null}}, "e": [3]}))
            .unwrap();
        assert_eq!(
            twin.document(),
            json!({"b": {"c": 5, "d": 3, "new": {}}, "e": [3]})
        );
        assert_eq!(version, 3);
    }

    #[test]
    fn the_difference_leads_to_what_is_wanted() {
        let old = properties(
            json!({"same": 1, "gone": 2, "deep": {"gone": 1, "kept": {"x": 1}}, "type": {"a": 1}}),
        );
        let wanted = json!({"same": 1, "deep": {"kept": {"x": 2}}, "type": 7, "new": true});
        let patch = old.patch_to(wanted.as_object().unwrap());
        assert_eq!(
            patch,
            json!({"gone": null, "deep": {"gone": null, "kept": {"x": 2}}, "type": 7, "new": true})
        );
        let mut new = old.clone();
        new.apply(&patch).unwrap();
        assert_eq!(new.document(), wanted);
    }

    #[test]
    fn the_rules_are_enforced_and_leave_all_as_it_was() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"k": inner}));
        let mut twin = Properties::default();
        for bad in [
            json!([1]),
            json!(null),
            json!({"a.b": 1}),
            json!({"$a": 1}),
            json!({"a b": 1}),
            json!({"a": {"b\u{7}": 1}}),
            json!({"a": [{"b.c": 1}]}),
            json!({"": 1}),
            json!({"long": "x".repeat(4097)}),
            nested(12),
            (0..9)
                .map(|i| (format!("k{i}"), json!("x".repeat(4096))))
                .collect::<Map<_, _>>()
                .into(),
        ] {
            assert!(twin.apply(&bad).is_err(), "{bad}");
        }
        assert_eq!((twin.document(), twin.version), (json!({}), 1));
        assert!(twin.apply(&nested(11)).is_ok());
        assert!(twin.apply(&json!({"long": "x".repeat(4096)})).is_ok());
    }
}
