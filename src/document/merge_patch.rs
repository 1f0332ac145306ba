//! JSON merge patches (RFC 7386): `null` removes, objects merge, all else replaces.

use serde_json::{Number, Value};

use super::Document;

/// Documents come from the parser, which stops at 128 levels; what is nested deeper is handled as
/// a whole, so that the stack is bounded here as well.
const MAX_DEPTH: usize = 128;

/// Merges `patch` into `target`.
pub(crate) fn apply(target: &mut Document, patch: &Document) {
    apply_at(target, patch, MAX_DEPTH);
}

/// The patch that makes `to` of `from`; empty if they are the same.
///
/// `to` must hold no nulls: a merge patch cannot set one.
pub(crate) fn diff(from: &Document, to: &Document) -> Document {
    diff_at(from, to, MAX_DEPTH)
}

fn apply_at(target: &mut Document, patch: &Document, depth: usize) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner_patch) if depth > 0 => {
                let inner = target.entry(key.clone()).or_insert(Value::Null);
                if !inner.is_object() {
                    *inner = Value::Object(Document::new());
                }
                if let Value::Object(inner) = inner {
                    apply_at(inner, inner_patch, depth - 1);
                }
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

fn diff_at(from: &Document, to: &Document, depth: usize) -> Document {
    let mut patch = Document::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, wanted) in to {
        match (from.get(key), wanted) {
            (Some(Value::Object(present)), Value::Object(wanted)) if depth > 0 => {
                let inner = diff_at(present, wanted, depth - 1);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(present), wanted) if same(present, wanted, depth) => {}
            _ => {
                patch.insert(key.clone(), wanted.clone());
            }
        }
    }
    patch
}

/// Equality that does not mind how a number is written: the hub may give `1.0` back as `1`, which
/// would be sent again after every connect.
fn same(a: &Value, b: &Value, depth: usize) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || same_number(a, b),
        (Value::Array(a), Value::Array(b)) if depth > 0 => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, depth - 1))
        }
        (Value::Object(a), Value::Object(b)) if depth > 0 => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b, depth - 1)))
        }
        (Value::Array(_) | Value::Object(_), _) => false,
        (a, b) => a == b,
    }
}

/// The hub may write an integer as a float, and the other way round. An integer of 64 bits has no
/// rounding in common with a float: only equal values are the same.
fn same_number(a: &Number, b: &Number) -> bool {
    match (a.as_i128(), b.as_i128(), a.as_f64().zip(b.as_f64())) {
        (Some(integer), None, Some((_, float))) | (None, Some(integer), Some((float, _))) => {
            // The cast saturates far beyond 64 bits.
            float.fract() == 0.0 && float as i128 == integer
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        match value {
            Value::Object(document) => document,
            other => Document::from_iter([("x".to_owned(), other)]),
        }
    }

    fn applied(target: Value, patch: Value) -> Value {
        let mut target = document(target);
        apply(&mut target, &document(patch));
        Value::Object(target)
    }

    fn difference(from: Value, to: Value) -> Value {
        Value::Object(diff(&document(from), &document(to)))
    }

    fn random_value(random: &mut Rng, depth: u32) -> Value {
        match random.u8(0..if depth == 0 { 5 } else { 8 }) {
            0 => json!(random.bool()),
            1 => json!(random.i32(-3..3)),
            2 => json!(f64::from(random.i32(-3..3)) + 0.5),
            3 => json!(random.char('a'..='c').to_string()),
            4 => json!({}),
            5 => (0..random.usize(0..3))
                .map(|_| random_value(random, depth - 1))
                .collect(),
            _ => Value::Object(random_document(random, depth - 1)),
        }
    }

    /// Few keys and values, so that documents overlap.
    fn random_document(random: &mut Rng, depth: u32) -> Document {
        (0..random.usize(0..6))
            .map(|_| {
                (
                    random.char('a'..='e').to_string(),
                    random_value(random, depth),
                )
            })
            .collect()
    }

    #[test]
    fn applying_follows_the_examples_of_rfc_7386() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (
                json!([1, 2]),
                json!({"x":{"a":"b","c":null}}),
                json!({"x":{"a":"b"}}),
            ),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            assert_eq!(applied(target, patch), result);
        }
    }

    #[test]
    fn a_difference_names_only_what_differs() {
        for (from, to, patch) in [
            (json!({"a":1,"b":2}), json!({"a":1,"b":3}), json!({"b":3})),
            (json!({"a":1,"b":2}), json!({"b":2}), json!({"a":null})),
            (
                json!({"a":{"b":1,"c":1}}),
                json!({"a":{"b":1}}),
                json!({"a":{"c":null}}),
            ),
            (
                json!({"a":{"b":1}}),
                json!({"a":{}}),
                json!({"a":{"b":null}}),
            ),
            (json!({"a":{"b":1}}), json!({}), json!({"a":null})),
            (json!({"a":[1,2]}), json!({"a":[1,3]}), json!({"a":[1,3]})),
            (json!({"a":1}), json!({"a":{}}), json!({"a":{}})),
            (json!({"a":{"b":1}}), json!({"a":1}), json!({"a":1})),
            (json!({"a":null}), json!({}), json!({"a":null})),
        ] {
            assert_eq!(difference(from, to), patch);
        }
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        let from = json!({"a":1,"b":[2.0,{"c":-3}],"d":4503599627370495_i64});
        let to = json!({"a":1.0,"b":[2,{"c":-3.0}],"d":4503599627370495.0});
        assert_eq!(difference(from, to), json!({}));
        assert_eq!(
            difference(json!({"a":1}), json!({"a":1.5})),
            json!({"a":1.5})
        );
        let rounded = (u64::MAX as f64, u64::MAX);
        assert_eq!(
            difference(json!({"a":rounded.0}), json!({"a":rounded.1})),
            json!({"a":rounded.1})
        );
        assert_eq!(
            difference(json!({"a":0}), json!({"a":false})),
            json!({"a":false})
        );
    }

    #[test]
    fn the_difference_applied_to_one_document_gives_the_other() {
        let mut random = Rng::with_seed(spotflow_fuzz::seed());
        for _ in 0..3_000 {
            let from = random_document(&mut random, 4);
            let to = random_document(&mut random, 4);
            let patch = diff(&from, &to);
            let mut target = from.clone();
            apply(&mut target, &patch);
            assert_eq!(target, to, "from {from:?} by {patch:?}");
            assert!(diff(&to, &to).is_empty());
            apply(&mut target, &patch);
            assert_eq!(target, to, "applying again changes nothing");
        }
    }

    #[test]
    fn what_is_nested_deeper_than_the_parser_allows_is_replaced_as_a_whole() {
        let nested = |leaf: i32| {
            (0..500).fold(json!(leaf), |inner, _| {
                Value::Object(Document::from_iter([("a".to_owned(), inner)]))
            })
        };
        let (one, two) = (document(nested(1)), document(nested(2)));
        let mut target = one.clone();
        apply(&mut target, &diff(&one, &two));
        assert!(target == two);
    }
}
