//! What IoT Hub demands of Reported Properties, checked when the application states them: what it
//! would refuse later, in the background, is refused at once, with the path to it.

use serde_json::Value;

use super::Document;
use crate::error::{Error, Result};

const ARGUMENT: &str = "properties";

/// Of all property names and values together, as IoT Hub counts: see [`hub_bytes`].
const MAX_HUB_BYTES: usize = 32 * 1024;

/// Of the document as JSON. Escapes, brackets and commas are free of charge in IoT Hub's count;
/// this keeps a patch, with nulls for what goes away, well below its limit of 256 KiB per packet.
const MAX_JSON_BYTES: usize = 128 * 1024;

/// How deep objects and arrays can be nested in the document.
const MAX_DEPTH: usize = 10;

const MAX_KEY_BYTES: usize = 1024;
const MAX_STRING_BYTES: usize = 4 * 1024;

/// The document that `properties` states, or the rule that it breaks.
///
/// A `null` states that the property is absent, so properties of value `null` are left out.
pub(crate) fn check_reported(properties: &Value) -> Result<Document> {
    let Value::Object(properties) = properties else {
        return Err(Error::invalid(ARGUMENT, "must be a JSON object"));
    };
    let mut path = Path::default();
    check_object(properties, &mut path)?;
    let document = without_nulls(properties);

    let hub_bytes = object_hub_bytes(&document);
    if hub_bytes > MAX_HUB_BYTES {
        let rule = format!("take {hub_bytes} bytes, at most {MAX_HUB_BYTES} are allowed");
        return Err(Error::invalid(ARGUMENT, rule));
    }
    let document = Value::Object(document);
    let json_bytes = document.to_string().len();
    if json_bytes > MAX_JSON_BYTES {
        let rule = format!("take {json_bytes} bytes as JSON, at most {MAX_JSON_BYTES} are allowed");
        return Err(Error::invalid(ARGUMENT, rule));
    }
    match document {
        Value::Object(document) => Ok(document),
        _ => Ok(Document::new()),
    }
}

/// Where in the document a check is, such as `a.b[2]`.
#[derive(Default)]
struct Path {
    text: String,
    depth: usize,
}

impl Path {
    /// Runs `check` one step further down.
    fn at(&mut self, step: &str, check: impl FnOnce(&mut Path) -> Result<()>) -> Result<()> {
        let length = self.text.len();
        if length > 0 && !step.starts_with('[') {
            self.text.push('.');
        }
        self.text.push_str(step);
        self.depth += 1;
        check(self)?;
        self.depth -= 1;
        self.text.truncate(length);
        Ok(())
    }

    fn broken(&self, rule: impl std::fmt::Display) -> Error {
        match self.text.as_str() {
            "" => Error::invalid(ARGUMENT, rule.to_string()),
            path => Error::invalid(ARGUMENT, format!("\"{path}\": {rule}")),
        }
    }
}

fn check_object(object: &Document, path: &mut Path) -> Result<()> {
    for (key, value) in object {
        check_key(key, path)?;
        if !value.is_null() {
            path.at(key, |path| check_value(value, path))?;
        }
    }
    Ok(())
}

fn check_value(value: &Value, path: &mut Path) -> Result<()> {
    match value {
        // IoT Hub documents integers of 53 bits; whether it takes larger ones is left to it.
        Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.len() > MAX_STRING_BYTES => Err(path.broken(format_args!(
            "is a string of {} bytes, at most {MAX_STRING_BYTES} are allowed",
            text.len()
        ))),
        Value::String(_) => Ok(()),
        // Before going down: a Value that was built, not parsed, can be of any depth.
        Value::Array(_) | Value::Object(_) if path.depth > MAX_DEPTH => Err(path.broken(
            format_args!("is nested too deep, at most {MAX_DEPTH} levels are allowed"),
        )),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.at(&format!("[{index}]"), |path| check_value(item, path))?;
            }
            Ok(())
        }
        Value::Object(object) => check_object(object, path),
        Value::Null => Err(path.broken("must not be null within an array")),
    }
}

fn check_key(key: &str, path: &Path) -> Result<()> {
    if key.is_empty() {
        return Err(path.broken("has an empty key"));
    }
    if key.len() > MAX_KEY_BYTES {
        let bytes = key.len();
        return Err(path.broken(format_args!(
            "has a key of {bytes} bytes, at most {MAX_KEY_BYTES} are allowed"
        )));
    }
    let forbidden = |c: char| matches!(c, '.' | '$' | ' ') || c.is_control();
    if key.contains(forbidden) {
        return Err(path.broken(format_args!(
            "has the key {key:?}: keys must not contain '.', '$', spaces or control characters"
        )));
    }
    Ok(())
}

fn without_nulls(object: &Document) -> Document {
    fn pruned(value: &Value) -> Value {
        match value {
            Value::Object(object) => Value::Object(without_nulls(object)),
            Value::Array(items) => items.iter().map(pruned).collect(),
            simple => simple.clone(),
        }
    }
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), pruned(value)))
        .collect()
}

/// The size by IoT Hub's documented rule, and a little more: the hub does not count control
/// characters, we do.
fn hub_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(hub_bytes).sum(),
        Value::Object(object) => object_hub_bytes(object),
    }
}

fn object_hub_bytes(object: &Document) -> usize {
    object
        .iter()
        .map(|(key, value)| key.len() + hub_bytes(value))
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(properties: Value) -> String {
        match check_reported(&properties) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn nested(levels: usize, leaf: Value) -> Value {
        (0..levels).fold(leaf, |inner, _| {
            Value::Object(Document::from_iter([("a".to_owned(), inner)]))
        })
    }

    #[test]
    fn only_objects_are_documents() {
        for properties in [json!(null), json!(1), json!("{}"), json!([{}])] {
            assert_eq!(refusal(properties), "properties: must be a JSON object");
        }
        assert_eq!(refusal(json!({})), "accepted");
    }

    #[test]
    fn a_null_states_that_a_property_is_absent() -> Result<()> {
        let stated = json!({"a": null, "b": {"c": null, "d": 1}, "e": [{"f": null}]});
        let document = check_reported(&stated)?;
        assert_eq!(Value::Object(document), json!({"b": {"d": 1}, "e": [{}]}));
        let in_array = refusal(json!({"a": {"b": [1, null]}}));
        assert_eq!(
            in_array,
            "properties: \"a.b[1]\": must not be null within an array"
        );
        Ok(())
    }

    #[test]
    fn keys_follow_the_rules() {
        assert_eq!(
            refusal(json!({"a": {"b.c": 1}})),
            "properties: \"a\": has the key \"b.c\": keys must not contain '.', '$', spaces or \
             control characters"
        );
        for key in ["$version", "a b", "a\n", "\u{0}", "\u{7f}", "\u{85}", "a.b"] {
            assert!(
                refusal(json!({ key: null })).contains("keys must not contain"),
                "{key:?}"
            );
        }
        for key in ["ž", "a-b", "(a)", "\u{a0}", &"k".repeat(1024)] {
            assert_eq!(refusal(json!({ key: 1 })), "accepted", "{key:?}");
        }
        assert_eq!(refusal(json!({"": 1})), "properties: has an empty key");
        assert_eq!(
            refusal(json!({ "ž".repeat(513): 1 })),
            "properties: has a key of 1026 bytes, at most 1024 are allowed"
        );
    }

    #[test]
    fn strings_have_at_most_4_kilobytes() {
        assert_eq!(refusal(json!({"a": "x".repeat(4096)})), "accepted");
        assert_eq!(
            refusal(json!({"a": ["", "ž".repeat(2049)]})),
            "properties: \"a[1]\": is a string of 4098 bytes, at most 4096 are allowed"
        );
    }

    #[test]
    fn integers_of_64_bits_pass() {
        let integers = json!({"a": i64::MIN, "b": i64::MAX, "c": u64::MAX, "d": -1e-300});
        assert_eq!(refusal(integers), "accepted");
    }

    #[test]
    fn ten_levels_are_allowed_below_the_document() {
        // The example of IoT Hub's documentation: ten nested objects with a property in the last.
        assert_eq!(refusal(nested(11, json!(1))), "accepted");
        assert_eq!(
            refusal(nested(12, json!(1))),
            "properties: \"a.a.a.a.a.a.a.a.a.a.a\": is nested too deep, at most 10 levels are \
             allowed"
        );
        assert_eq!(refusal(nested(10, json!([1]))), "accepted");
        assert!(refusal(nested(10, json!([[1]]))).contains("nested too deep"));
    }

    #[test]
    fn hostile_depth_does_not_overflow_the_stack() {
        assert!(refusal(nested(1_000, json!(1))).contains("nested too deep"));
    }

    #[test]
    fn the_size_is_counted_as_iot_hub_counts() {
        let document = json!({"ab": 1, "c": true, "d": {"e": "žž"}, "f": [1.5, "x"]});
        assert_eq!(
            hub_bytes(&document),
            (2 + 8) + (1 + 4) + (1 + 1 + 4) + (1 + 8 + 1)
        );

        let full = json!({"a": vec!["x".repeat(4095); 8], "b": "y".repeat(6)});
        assert_eq!(hub_bytes(&full), 32 * 1024);
        assert_eq!(refusal(full), "accepted");
        assert_eq!(
            refusal(json!({"a": vec!["x".repeat(4096); 8]})),
            "properties: take 32769 bytes, at most 32768 are allowed"
        );
    }

    #[test]
    fn what_the_hub_counts_as_nothing_is_bounded_as_well() {
        let weightless = refusal(json!({"a": vec![json!([]); 100_000]}));
        assert!(weightless.ends_with("bytes as JSON, at most 131072 are allowed"));
    }
}
