//! That the JSON parser under all decoders of JSON keeps its limits.

use serde_json::Value;

use super::fuzz;

/// How deep a value is nested.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn json_is_read_as_it_was_written_and_never_deeper_than_the_stack_bears() {
    fuzz("JSON", |choices| {
        let value = choices.json(4);
        let mut bytes = value.to_string().into_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
        if choices.one_in(16) {
            let levels = choices.below(4096);
            let mut nested = choices.pick(&["[", "{\"a\":"]).repeat(levels).into_bytes();
            nested.append(&mut bytes);
            bytes = nested;
        }
        choices.damage(&mut bytes);
        if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
            assert!(depth(&value) <= 128);
        }
    });
}
