//! Documents of the device twin, merge patches, and the JSON that all of them are.

use serde_json::{Value, json};
use spotflow_fuzz::{Choices, fuzz};

use super::merge_patch::{apply, diff};
use super::rules::check_reported;
use super::{Document, Versioned, parse_desired_patch, parse_full_twin};

/// Must not come up in a problem's text.
const CONTENT: &str = "hunter2";

/// Properties with, mostly, a version.
fn versioned(choices: &mut Choices<'_>) -> Document {
    let mut document = choices.document(3);
    if !choices.one_in(8) {
        document.insert("$version".to_owned(), choices.u64().into());
    }
    if choices.one_in(4) {
        document.insert("$metadata".to_owned(), choices.json(2));
    }
    document.insert("password".to_owned(), CONTENT.into());
    document
}

/// What a document says, by an independent reading of its JSON.
fn read(value: &Value) -> Option<Versioned> {
    let object = value.as_object()?;
    Some(Versioned {
        version: object.get("$version")?.as_u64()?,
        values: object
            .iter()
            .filter(|(key, _)| !key.starts_with('$'))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    })
}

#[test]
fn a_twin_is_read_in_full_or_not_at_all() {
    fuzz("full twin", |choices| {
        let mut twin = json!({"desired": versioned(choices), "reported": versioned(choices)});
        if choices.one_in(8) {
            twin[choices.pick(&["desired", "reported", "other"])] = choices.json(2);
        }
        let mut payload = twin.to_string().into_bytes();
        choices.damage(&mut payload);
        let expected = serde_json::from_slice::<Value>(&payload)
            .ok()
            .and_then(|twin| Some((read(twin.get("desired")?)?, read(twin.get("reported")?)?)));
        match (parse_full_twin(&payload), expected) {
            (Ok(twin), expected) => assert_eq!(Some((twin.desired, twin.reported)), expected),
            (Err(problem), expected) => {
                assert_eq!(expected, None, "{problem}");
                assert!(!problem.contains(CONTENT), "{problem}");
            }
        }
    });
}

#[test]
fn an_update_is_read_in_full_or_not_at_all() {
    fuzz("desired patch", |choices| {
        let mut payload = Value::Object(versioned(choices)).to_string().into_bytes();
        choices.damage(&mut payload);
        let value = serde_json::from_slice::<Value>(&payload);
        let expected = value.ok().as_ref().and_then(read);
        match parse_desired_patch(&payload) {
            Ok(patch) => assert_eq!(Some(patch), expected),
            Err(problem) => {
                assert_eq!(expected, None, "{problem}");
                assert!(!problem.contains(CONTENT), "{problem}");
            }
        }
    });
}

/// RFC 7386's own pseudocode.
fn reference(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Document::new(),
    };
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            value => {
                let inner = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), reference(inner, value));
            }
        }
    }
    Value::Object(target)
}

fn applied(target: &Document, patch: &Document) -> Document {
    let mut target = target.clone();
    apply(&mut target, patch);
    target
}

#[test]
fn a_merge_patch_does_what_rfc_7386_says_and_the_same_when_repeated() {
    fuzz("merge patch", |choices| {
        let (target, patch) = (choices.document(3), choices.document(3));
        let once = applied(&target, &patch);
        let expected = reference(Value::Object(target), &Value::Object(patch.clone()));
        assert_eq!(Value::Object(once.clone()), expected);
        assert_eq!(applied(&once, &patch), once);
    });
}

#[test]
fn a_difference_leads_to_the_document_it_was_made_for() {
    fuzz("merge patch difference", |choices| {
        // Reported Properties hold no nulls.
        let mut document = || reference(Value::Null, &Value::Object(choices.document(3)));
        let (from, to) = (document(), document());
        let (Value::Object(from), Value::Object(to)) = (from, to) else {
            unreachable!("a patch of nothing makes an object");
        };
        let (from, to) = (without_nulls(from), without_nulls(to));
        let patch = diff(&from, &to);
        let reached = applied(&from, &patch);
        // A number that is only written differently is no difference.
        assert!(
            diff(&reached, &to).is_empty(),
            "{patch:?} makes {reached:?}, not {to:?}"
        );
        assert_eq!(
            normal(Value::Object(reached)),
            normal(Value::Object(to.clone()))
        );
        assert!(diff(&to, &to).is_empty());
    });
}

/// Arrays may still hold nulls, which the rules for Reported Properties refuse.
fn without_nulls(document: Document) -> Document {
    fn pruned(value: Value) -> Value {
        match value {
            Value::Array(items) => items
                .into_iter()
                .filter(|item| !item.is_null())
                .map(pruned)
                .collect(),
            Value::Object(object) => Value::Object(without_nulls(object)),
            other => other,
        }
    }
    let present = document.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(key, value)| (key, pruned(value))).collect()
}

/// With whole numbers written in one way.
fn normal(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => json!(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(object) => object
            .into_iter()
            .map(|(key, value)| (key, normal(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn reported_properties_that_pass_hold_no_nulls_and_pass_again() {
    fuzz("reported properties", |choices| {
        let stated = choices.json(12);
        match check_reported(&stated) {
            Ok(document) => {
                let document = Value::Object(document);
                assert!(!has_null(&document), "{document}");
                assert_eq!(
                    check_reported(&document).map(Value::Object).unwrap(),
                    document
                );
                assert_eq!(
                    serde_json::from_str::<Value>(&document.to_string()).unwrap(),
                    document
                );
            }
            Err(error) => assert!(error.to_string().starts_with("properties: "), "{error}"),
        }
    });
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(object) => object.values().any(has_null),
        _ => false,
    }
}

/// How deep a value is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The parser under every decoder of JSON keeps its limits.
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
