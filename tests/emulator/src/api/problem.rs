//! Errors as the Platform tells them: RFC 7807.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    problem_type: Option<String>,
}

impl Problem {
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            problem_type: None,
        }
    }

    pub fn of_type(self, problem_type: impl Into<String>) -> Self {
        Self {
            problem_type: Some(problem_type.into()),
            ..self
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", detail)
    }

    pub fn workspace_disabled() -> Self {
        Self::new(423, "Locked", "the Workspace is disabled").of_type("/problems/workspaceDisabled")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": self.problem_type.as_deref().unwrap_or("about:blank"),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": format!("/problems/occurrences/{}", uuid::Uuid::new_v4()),
        });
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, content_type, body.to_string()).into_response()
    }
}
