//! Whose word an answer is: the Platform's, or that of somebody on the way to it.
//!
//! A captive portal or an intercepting proxy answers in the Platform's place, with whatever status, over TLS that
//! the device trusts. That is a failure of the network, which passes: nothing is given up for it. What counts is the
//! form, which only the Platform's own answers have.

use super::answer::{Answer, MediaType};
use crate::Error;

/// Who was asked, and so what an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Refuses with RFC 7807 problems. Its successes are known by their content.
    Instance,
    /// IoT Hub speaks JSON, its storage XML, and both sometimes nothing; neither sends pages for people.
    HubOrStorage,
}

/// Whether the answer is the word of whoever was asked.
pub(super) fn is_own_word(asked: Asked, answer: &Answer) -> bool {
    match (answer.status, asked) {
        // Redirections, and what only a proxy or a portal says (RFC 9110, RFC 6585).
        (300..400 | 407 | 511, _) => false,
        (_, Asked::HubOrStorage) => answer.media_type != MediaType::Html,
        (..300, Asked::Instance) => true,
        (_, Asked::Instance) => answer.media_type == MediaType::Problem,
    }
}

/// The error for an answer that is not; it names what answered.
pub(super) fn somebody_else(action: &'static str, answer: &Answer) -> Error {
    let (status, kind) = (answer.status, answer.media_type.name());
    let issuer = answer.issuer.as_deref().unwrap_or("an unnamed authority");
    Error::protocol(
        action,
        format!(
            "HTTP status {status} with {kind}, which is not the Platform's: somebody on the way answers, \
             with a certificate issued by {issuer}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use ureq::http::{HeaderMap, header};

    use super::*;

    fn answer(status: u16, content_type: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = content_type {
            let value = HeaderValue::from_str(text).unwrap();
            headers.insert(header::CONTENT_TYPE, value);
        }
        Answer {
            status,
            time: None,
            media_type: MediaType::of(&headers),
            issuer: Some("Portal CA".into()),
            body: Vec::new(),
        }
    }

    #[test]
    fn a_refusal_is_the_instances_only_as_a_problem() {
        let is_own = |status, kind| is_own_word(Asked::Instance, &answer(status, kind));
        for status in [400, 401, 403, 404, 410, 423, 429, 500, 503] {
            assert!(is_own(status, Some("application/problem+json")));
            assert!(is_own(
                status,
                Some("Application/Problem+JSON; charset=utf-8")
            ));
            for kind in ["text/html", "application/json", "text/plain", "x", ""] {
                assert!(!is_own(status, Some(kind)), "{status} {kind}");
            }
            assert!(!is_own(status, None), "{status}");
        }
        for status in [302, 307, 407, 511] {
            assert!(
                !is_own(status, Some("application/problem+json")),
                "{status}"
            );
        }
        assert!(is_own(200, Some("text/plain")), "known by its content");
    }

    #[test]
    fn no_page_is_the_hubs_or_its_storages() {
        let is_own = |status, kind| is_own_word(Asked::HubOrStorage, &answer(status, kind));
        for status in [200, 201, 204, 400, 401, 403, 413, 503] {
            for kind in [Some("application/json"), Some("application/xml"), None] {
                assert!(is_own(status, kind), "{status} {kind:?}");
            }
            assert!(
                !is_own(status, Some("text/html; charset=utf-8")),
                "{status}"
            );
        }
        for status in [302, 407, 511] {
            assert!(!is_own(status, None), "{status}");
        }
    }

    #[test]
    fn the_error_names_what_answered_and_repeats_nothing_of_it() {
        let text = |kind| {
            let error = somebody_else("test", &answer(401, Some(kind)));
            assert!(error.is_retryable());
            error.to_string()
        };
        let page = text("text/html; hunter2");
        assert!(page.contains("401 with text/html"), "{page}");
        assert!(page.contains("issued by Portal CA"), "{page}");
        assert!(!text("text/html; hunter2").contains("hunter2"));
        assert!(!text("hunter2/hunter2").contains("hunter2"));
    }
}
