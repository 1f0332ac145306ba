//! Properties as JSON documents: as the hub sends them, how one becomes another, and what the hub takes. Whatever
//! else comes in their place is a problem told in words, without repeating the content.

pub(crate) mod merge_patch;
pub(crate) mod rules;

use serde_json::Value;

/// A JSON object, which every document is.
pub(crate) type Document = serde_json::Map<String, Value>;

/// Properties and the version that the hub gave them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Versioned {
    pub(crate) version: u64,
    pub(crate) values: Document,
}

/// The whole twin, the answer to a read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FullTwin {
    pub(crate) desired: Versioned,
    pub(crate) reported: Versioned,
}

/// Parses the answer to a read of the twin.
pub(crate) fn parse_full_twin(payload: &[u8]) -> Result<FullTwin, String> {
    let mut twin = parse_object(payload)?;
    let mut part = |name: &str| match twin.remove(name) {
        Some(Value::Object(part)) => {
            versioned(part).map_err(|problem| format!("{name}: {problem}"))
        }
        Some(_) => Err(format!("{name}: not an object")),
        None => Err(format!("{name}: missing")),
    };
    Ok(FullTwin {
        desired: part("desired")?,
        reported: part("reported")?,
    })
}

/// Parses an update of the Desired Properties: a merge patch, and the version that it leads to.
pub(crate) fn parse_desired_patch(payload: &[u8]) -> Result<Versioned, String> {
    versioned(parse_object(payload)?)
}

fn parse_object(payload: &[u8]) -> Result<Document, String> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Splits the version off, and drops all else that is the hub's own: `$metadata` and whatever it
/// may add, as no property can start with `$`.
fn versioned(mut values: Document) -> Result<Versioned, String> {
    let version = match values.get("$version") {
        Some(version) => version.as_u64().ok_or("$version: not a version number")?,
        None => return Err("$version: missing".to_owned()),
    };
    values.retain(|key, _| !key.starts_with('$'));
    Ok(Versioned { version, values })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem<T>(result: Result<T, String>) -> String {
        result.err().unwrap_or_else(|| "parsed".to_owned())
    }

    #[test]
    fn a_twin_is_split_into_versions_and_properties() {
        let payload = br#"{
            "desired": {"a": {"b": [1]}, "$version": 7, "$metadata": {"$lastUpdated": "x"}},
            "reported": {"$version": 1},
            "more": []
        }"#;
        let twin = parse_full_twin(payload);
        let desired = twin.as_ref().map(|twin| &twin.desired);
        let values = Document::from_iter([("a".to_owned(), json!({"b": [1]}))]);
        assert_eq!(desired, Ok(&Versioned { version: 7, values }));
        let reported = twin.as_ref().map(|twin| &twin.reported);
        let values = Document::new();
        assert_eq!(reported, Ok(&Versioned { version: 1, values }));
    }

    #[test]
    fn a_patch_keeps_its_nulls_and_loses_what_is_the_hubs_own() {
        let patch = parse_desired_patch(br#"{"a": null, "$version": 8, "$metadata": {}}"#);
        let values = Document::from_iter([("a".to_owned(), Value::Null)]);
        assert_eq!(patch, Ok(Versioned { version: 8, values }));
    }

    #[test]
    fn malformed_documents_are_problems_in_words() {
        for (payload, expected) in [
            (r#"{"reported": {"$version": 1}}"#, "desired: missing"),
            (r#"{"desired": {"$version": 1}}"#, "reported: missing"),
            (
                r#"{"desired": [], "reported": {}}"#,
                "desired: not an object",
            ),
            (
                r#"{"desired": {}, "reported": {}}"#,
                "desired: $version: missing",
            ),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
        ] {
            assert_eq!(problem(parse_full_twin(payload.as_bytes())), expected);
        }
        for version in ["-1", "1.5", "\"1\"", "null", "1e30", "99999999999999999999"] {
            let payload = format!("{{\"$version\": {version}}}");
            let problem = problem(parse_desired_patch(payload.as_bytes()));
            assert_eq!(problem, "$version: not a version number", "{version}");
        }
    }

    #[test]
    fn hostile_bytes_are_problems_too() {
        let deep = "{\"a\":".repeat(100_000);
        for payload in [
            &b""[..],
            b"\xff\xfe",
            b"{",
            b"{}{}",
            b"{\"a\":\"\\ud800\"}",
            deep.as_bytes(),
        ] {
            assert!(problem(parse_full_twin(payload)).starts_with("not JSON: "));
            assert!(problem(parse_desired_patch(payload)).starts_with("not JSON: "));
        }
    }

    #[test]
    fn problems_do_not_repeat_the_content() {
        assert!(!problem(parse_desired_patch(b"{\"password\": \"hunter2\"")).contains("hunter2"));
    }
}
