//! What the Platform asks for, taken apart.

use serde::Deserialize;
use tungstenite::http::Uri;

use super::options::TunnelRequest;
use crate::net::host::Host;
use crate::secret::Secret;

const RELAY_PORT: u16 = 443;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    tunnel_id: String,
    port: u16,
    tunnel_secure_uri: String,
    #[serde(default)]
    traceparent_header: Option<String>,
}

/// A tunnel to be opened.
#[derive(Debug)]
pub(super) struct OpenTunnel {
    pub tunnel_id: String,
    pub port: u16,
    pub relay: Host,
    /// Path and query of the relay's address: whoever has it has the tunnel.
    pub path: Secret,
    pub traceparent: Option<String>,
}

impl OpenTunnel {
    /// Or which rule is broken, without what breaks it: the address is a secret.
    pub fn parse(body: &[u8]) -> Result<OpenTunnel, String> {
        let payload: Payload = serde_json::from_slice(body).map_err(|error| {
            // serde_json's words may repeat a value.
            let (line, column) = (error.line(), error.column());
            format!("the payload is not as it should be (line {line}, column {column})")
        })?;
        let id_rule = "tunnelId must be 1 to 100 printable ASCII characters";
        let id = payload.tunnel_id;
        if !(1..=100).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(id_rule.to_owned());
        }
        let uri: Uri = payload
            .tunnel_secure_uri
            .parse()
            .map_err(|_| "tunnelSecureUri is no address")?;
        if uri.scheme_str() != Some("wss") {
            return Err("tunnelSecureUri must begin with wss://".to_owned());
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let relay = Host::parse(authority, RELAY_PORT)
            .map_err(|rule| format!("the host of tunnelSecureUri: {rule}"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let traceparent = payload.traceparent_header.unwrap_or_default();
        if traceparent.len() > 200 || !traceparent.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "traceparentHeader must be at most 200 printable ASCII characters";
            return Err(rule.to_owned());
        }
        Ok(OpenTunnel {
            tunnel_id: id,
            port: payload.port,
            relay,
            path: Secret::new(path),
            traceparent: Some(traceparent).filter(|value| !value.is_empty()),
        })
    }

    /// As the application sees it.
    pub fn request(&self) -> TunnelRequest {
        TunnelRequest {
            tunnel_id: self.tunnel_id.clone(),
            port: self.port,
            traceparent: self.traceparent.clone(),
        }
    }

    /// As log lines name it.
    pub fn name(&self) -> String {
        let asked_by = match &self.traceparent {
            Some(traceparent) => format!(", asked for by {traceparent}"),
            None => String::new(),
        };
        format!("tunnel {} to port {}{asked_by}", self.tunnel_id, self.port)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(payload: serde_json::Value) -> Result<OpenTunnel, String> {
        OpenTunnel::parse(payload.to_string().as_bytes())
    }

    #[test]
    fn a_request_names_tunnel_port_and_relay() {
        let asked = parse(json!({
            "tunnelId": "0b5f", "port": 22, "tunnelSecureUri": "wss://Relay.example:8443/a/b?sig=s%20t", "more": 1,
            "traceparentHeader": "00-1-2-01",
        }));
        let asked = asked.unwrap();
        assert_eq!((asked.tunnel_id.as_str(), asked.port), ("0b5f", 22));
        assert_eq!(asked.relay.to_string(), "relay.example:8443");
        assert_eq!(asked.path.expose(), "/a/b?sig=s%20t");
        assert_eq!(asked.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(
            asked.name(),
            "tunnel 0b5f to port 22, asked for by 00-1-2-01"
        );
        assert!(!format!("{asked:?}").contains("sig"));

        let asked = parse(
            json!({"tunnelId": "a", "port": 1, "tunnelSecureUri": "wss://relay", "traceparentHeader": null}),
        );
        let asked = asked.unwrap();
        assert_eq!(asked.relay.to_string(), "relay:443");
        assert_eq!(asked.path.expose(), "/");
        assert_eq!(asked.traceparent, None);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        let with = |id: &str, uri: &str| {
            parse(json!({"tunnelId": id, "port": 22, "tunnelSecureUri": uri}))
        };
        for refused in [
            with("", "wss://relay/secret"),
            with("a b", "wss://relay/secret"),
            with(&"x".repeat(101), "wss://relay/secret"),
            with("a", "ws://relay/secret"),
            with("a", "https://relay/secret"),
            with("a", "wss://relay:0/secret"),
            with("a", "wss://user@relay/secret"),
            with("a", "wss:///secret"),
            with("a", "secret"),
            with("a", "wss://relay/sec ret"),
            parse(
                json!({"tunnelId": "a", "port": 70_000, "tunnelSecureUri": "wss://relay/secret"}),
            ),
            parse(
                json!({"tunnelId": "a", "port": "secret", "tunnelSecureUri": "wss://relay/secret"}),
            ),
            parse(json!({"tunnelId": "a", "port": 22, "tunnelSecureUri": 7, "secret": 1})),
            parse(
                json!({"tunnelId": "a", "port": 22, "tunnelSecureUri": "wss://relay", "traceparentHeader": "a\nsecret"}),
            ),
            parse(json!(["secret"])),
            OpenTunnel::parse(b""),
        ] {
            let rule = refused.unwrap_err();
            assert!(
                !rule.contains("secret") && !rule.contains("ret\""),
                "{rule}"
            );
        }
    }
}
