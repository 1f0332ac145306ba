//! What an HTTP server answered.

use ureq::http::{HeaderMap, header};

use super::time::ServerTime;

/// What an HTTP server answered.
pub(crate) struct Answer {
    pub status: u16,
    /// From the header `Date`.
    pub time: Option<ServerTime>,
    pub(super) media_type: MediaType,
    /// Who issued the server's certificate.
    pub(super) issuer: Option<String>,
    pub body: Vec<u8>,
}

/// What kind of content an answer says it has: of those that are told apart, as nothing that somebody unknown wrote is
/// repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Problem,
    Json,
    Html,
    Text,
    Other,
    None,
}

impl MediaType {
    pub fn of(headers: &HeaderMap) -> MediaType {
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return MediaType::None;
        };
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/problem+json" => MediaType::Problem,
            "application/json" => MediaType::Json,
            "text/html" | "application/xhtml+xml" => MediaType::Html,
            "text/plain" => MediaType::Text,
            _ => MediaType::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            MediaType::Problem => "application/problem+json",
            MediaType::Json => "application/json",
            MediaType::Html => "text/html",
            MediaType::Text => "text/plain",
            MediaType::Other => "another content type",
            MediaType::None => "no content type",
        }
    }
}
