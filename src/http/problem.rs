//! What the Platform says about a refusal: RFC 7807 `application/problem+json`.

use serde::Deserialize;

const TEXT_LENGTH_MAX: usize = 300;
const CANCELLED: &str = "/problems/deviceProvisioning/provisioningOperationCancelled";

/// A refusal's kind and explanation, as far as the answer had them.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Problem {
    /// Reads the body of any answer; one that is not a problem document explains nothing.
    pub fn parse(body: &[u8]) -> Problem {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// `title: detail` on one line, bounded, with every one of `secrets` blotted out.
    pub fn text(&self, secrets: &[&str]) -> Option<String> {
        let parts: Vec<&str> = [&self.title, &self.detail]
            .into_iter()
            .flatten()
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .collect();
        // Cleaned first: a secret with a control character in it would look like none until it is gone.
        let mut text: String = parts
            .join(": ")
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .filter(|c| !c.is_control())
            .collect();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        let text: String = text.chars().take(TEXT_LENGTH_MAX).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Whether the operator refused the Provisioning Operation. The kind is a URI reference, so it
    /// may also come as an absolute one.
    pub fn is_operation_cancelled(&self) -> bool {
        self.kind
            .as_ref()
            .is_some_and(|kind| kind.trim_end_matches('/').ends_with(CANCELLED))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        Problem::parse(json.as_bytes()).text(&[])
    }

    #[test]
    fn title_and_detail_make_one_line() {
        let both = r#"{"title": "Bad\r\nthing", "detail": "because\u0000 of\u001b[31m it", "status": 400}"#;
        assert_eq!(text(both).unwrap(), "Bad  thing: because of[31m it");
        assert_eq!(text(r#"{"title": "Bad", "detail": null}"#).unwrap(), "Bad");
        assert_eq!(text(r#"{"detail": "why"}"#).unwrap(), "why");
    }

    #[test]
    fn what_is_no_problem_document_explains_nothing() {
        for body in [
            "",
            "<html>",
            "null",
            "[]",
            "{}",
            r#"{"title": ""}"#,
            r#"{"title": 5}"#,
        ] {
            assert_eq!(text(body), None, "{body}");
        }
    }

    #[test]
    fn a_long_explanation_is_cut_between_characters() {
        let text = text(&format!(r#"{{"title": "{}"}}"#, "ä".repeat(5_000))).unwrap();
        assert_eq!(text.chars().count(), TEXT_LENGTH_MAX);
    }

    #[test]
    fn a_secret_that_the_platform_repeats_is_blotted_out() {
        let problem = Problem::parse(br#"{"title": "Token 'abc' is bad", "detail": "abc"}"#);
        assert_eq!(
            problem.text(&["abc", ""]).unwrap(),
            "Token '***' is bad: ***"
        );
    }

    #[test]
    fn a_secret_is_blotted_out_also_when_a_control_character_splits_it() {
        let problem = Problem::parse(br#"{"title": "Token ab\u0000c is bad"}"#);
        assert_eq!(problem.text(&["abc"]).unwrap(), "Token *** is bad");
    }

    #[test]
    fn cancellation_is_recognised_in_a_relative_and_an_absolute_type() {
        let of = |kind: &str| Problem::parse(format!(r#"{{"type": "{kind}"}}"#).as_bytes());
        assert!(of(CANCELLED).is_operation_cancelled());
        assert!(of(&format!("https://x.example{CANCELLED}")).is_operation_cancelled());
        assert!(!of("/problems/deviceProvisioning/expired").is_operation_cancelled());
        assert!(!Problem::default().is_operation_cancelled());
    }
}
