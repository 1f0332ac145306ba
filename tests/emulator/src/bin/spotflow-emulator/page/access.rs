//! Who may see the page: who has the link. Other pages in the same browser cannot use it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host_of;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) struct Access {
    token: String,
    /// Cookies are of a host, whatever the port: several programs may run.
    cookie: String,
    hosts: [String; 2],
}

impl Access {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            token: uuid::Uuid::new_v4().simple().to_string(),
            cookie: format!("spotflow-emulator-{}", address.port()),
            hosts: host_of(address),
        }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    fn has_link(&self, request: &Request) -> bool {
        let mut pairs = request.uri().query().unwrap_or("").split('&');
        pairs.any(|pair| pair.strip_prefix("token=") == Some(&self.token))
    }

    fn has_cookie(&self, request: &Request) -> bool {
        let cookies = request.headers().get_all(COOKIE).iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(name, value)| name == self.cookie && value == self.token)
    }

    /// A name that leads here from elsewhere is not taken.
    fn is_for_us(&self, request: &Request) -> bool {
        let host = request.headers().get(HOST);
        host.is_some_and(|host| self.hosts.iter().any(|ours| host == ours.as_str()))
    }
}

pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if !access.is_for_us(&request) {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    } else if access.has_link(&request) {
        // The token does not stay in the address.
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Lax; Path=/",
            access.cookie, access.token
        );
        let path = request.uri().path().to_owned();
        (
            StatusCode::SEE_OTHER,
            [(LOCATION, path), (SET_COOKIE, cookie)],
        )
            .into_response()
    } else if access.has_cookie(&request) {
        next.run(request).await
    } else {
        let told = "Open the link that the program printed at its start: it has a token in it.";
        (StatusCode::FORBIDDEN, told).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
