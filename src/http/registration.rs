//! What the Platform gives a registered device to connect to its hub.

use serde::Deserialize;

use super::time::{Lifetime, ServerTime, parse_time_span};
use crate::identity::HubDeviceId;
use crate::net::host::Host;
use crate::secret::Secret;

const CONNECTION_TYPE: &str = "SharedAccessSignature";

/// All that is needed to connect to the hub.
#[derive(Debug, Clone)]
pub(crate) struct HubCredentials {
    /// The hub, exactly as named by the Platform (it is part of the MQTT user name): a host, for
    /// tests with a port.
    pub host_name: String,
    pub device: HubDeviceId,
    /// The whole `SharedAccessSignature sr=...`.
    pub sas: Secret,
    /// Of the SAS; `None`: unknown.
    pub lifetime: Option<std::time::Duration>,
}

/// The answer to a registration.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub credentials: HubCredentials,
    /// Of the Registration Token that was used.
    pub token_lifetime: Lifetime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegistrationAnswer {
    connection_string: String,
    #[serde(default)]
    iot_hub_host_name: Option<String>,
    #[serde(default)]
    connection_string_type: Option<String>,
    #[serde(default)]
    connection_string_expiration: Option<String>,
    #[serde(default)]
    token_remaining_lifetime: Option<String>,
}

impl RegistrationAnswer {
    /// The error is what was wrong, without repeating anything of the answer.
    pub fn interpret(self, now: Option<ServerTime>) -> Result<Registration, &'static str> {
        match self.connection_string_type.as_deref() {
            None | Some(CONNECTION_TYPE) => {}
            Some(_) => return Err("a connection string of an unknown type"),
        }
        let connection = ConnectionString::parse(&self.connection_string)?;
        let host_name = match self.iot_hub_host_name {
            Some(name) if !name.is_empty() => name,
            _ => connection.host_name.to_owned(),
        };
        Host::parse(&host_name, 0).map_err(|_| "an invalid host name of the hub")?;
        let expiry = self
            .connection_string_expiration
            .and_then(|text| ServerTime::from_rfc3339(&text))
            .or_else(|| sas_expiry(connection.sas));
        Ok(Registration {
            credentials: HubCredentials {
                host_name,
                device: HubDeviceId::parse(connection.device_id).ok_or("an invalid DeviceId")?,
                sas: Secret::new(connection.sas),
                lifetime: Lifetime::until(expiry, now).remaining(),
            },
            token_lifetime: match self.token_remaining_lifetime {
                None => Lifetime::Unlimited,
                Some(text) => parse_time_span(&text).map_or(Lifetime::Unknown, Lifetime::Remaining),
            },
        })
    }
}

struct ConnectionString<'a> {
    host_name: &'a str,
    device_id: &'a str,
    sas: &'a str,
}

impl<'a> ConnectionString<'a> {
    fn parse(text: &'a str) -> Result<ConnectionString<'a>, &'static str> {
        let part = |key: &str| {
            text.split(';')
                .filter_map(|part| part.split_once('='))
                .find(|(name, value)| *name == key && !value.is_empty())
                .map(|(_, value)| value)
        };
        let sas = part("SharedAccessSignature").ok_or("a connection string without a SAS")?;
        // It becomes a header and a password.
        if !sas.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err("a SAS with invalid characters");
        }
        Ok(ConnectionString {
            host_name: part("HostName").ok_or("a connection string without HostName")?,
            device_id: part("DeviceId").ok_or("a connection string without DeviceId")?,
            sas,
        })
    }
}

/// The time in a SAS's own field `se`.
fn sas_expiry(sas: &str) -> Option<ServerTime> {
    let fields = sas.strip_prefix("SharedAccessSignature ").unwrap_or(sas);
    let seconds = fields
        .split('&')
        .find_map(|field| field.strip_prefix("se="))?;
    seconds.parse().ok().map(ServerTime)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SAS: &str = "SharedAccessSignature sr=hub%2fdevices&sig=a%3D=&se=1700000000";
    const NOW: Option<ServerTime> = Some(ServerTime(1_699_999_000));

    fn answer(connection: &str, more: &str) -> Result<Registration, &'static str> {
        let json = format!(r#"{{"connectionString": "{connection}", "unknown": [1] {more}}}"#);
        let answer: RegistrationAnswer = serde_json::from_str(&json).unwrap();
        answer.interpret(NOW)
    }

    fn connection() -> String {
        format!("HostName=hub.example;DeviceId=ws:dev:1;SharedAccessSignature={SAS}")
    }

    #[test]
    fn a_connection_string_is_split_at_first_separators() {
        let registration = answer(&connection(), "").unwrap();
        let credentials = registration.credentials;
        assert_eq!(credentials.host_name, "hub.example");
        assert_eq!(credentials.device.workspace_id, "ws");
        assert_eq!(credentials.device.device_id, "dev:1");
        assert_eq!(credentials.device.to_string(), "ws:dev:1");
        assert_eq!(credentials.sas.expose(), SAS);
        assert!(!format!("{credentials:?}").contains("sig"));
    }

    #[test]
    fn the_sas_lives_until_the_stated_expiration_else_until_its_own() {
        let lifetime = |more: &str| answer(&connection(), more).unwrap().credentials.lifetime;
        let own = Some(Duration::from_secs(1_000));
        assert_eq!(lifetime(""), own);
        assert_eq!(lifetime(r#", "connectionStringExpiration": null"#), own);
        assert_eq!(lifetime(r#", "connectionStringExpiration": "soon""#), own);
        let stated = r#", "connectionStringExpiration": "2023-11-14T21:56:50Z""#;
        assert_eq!(lifetime(stated), Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_absent_token_lifetime_means_that_it_does_not_expire() {
        let lifetime = |more: &str| answer(&connection(), more).unwrap().token_lifetime;
        let field = |value: &str| format!(r#", "tokenRemainingLifetime": {value}"#);
        assert_eq!(lifetime(""), Lifetime::Unlimited);
        assert_eq!(lifetime(&field("null")), Lifetime::Unlimited);
        assert_eq!(lifetime(&field(r#""soon""#)), Lifetime::Unknown);
        let minute = Lifetime::Remaining(Duration::from_secs(60));
        assert_eq!(lifetime(&field(r#""00:01:00""#)), minute);
        let expired = Lifetime::Remaining(Duration::ZERO);
        assert_eq!(lifetime(&field(r#""-00:01:00""#)), expired);
    }

    #[test]
    fn the_hub_is_the_one_named_beside_the_connection_string() {
        let named = r#", "iotHubHostName": "127.0.0.1:8883""#;
        let credentials = answer(&connection(), named).unwrap().credentials;
        assert_eq!(credentials.host_name, "127.0.0.1:8883");
        assert!(answer(&connection(), r#", "iotHubHostName": "a/b""#).is_err());
    }

    #[test]
    fn other_connection_types_and_missing_or_hostile_parts_are_errors() {
        let other = r#", "connectionStringType": "SharedAccessKey""#;
        assert!(answer(&connection(), other).is_err());
        for text in [
            "".into(),
            ";;=;".into(),
            format!("HostName=h;SharedAccessSignature={SAS}"),
            format!("DeviceId=w:d;SharedAccessSignature={SAS}"),
            "HostName=h;DeviceId=w:d".into(),
            "HostName=h;DeviceId=w:d;SharedAccessSignature=".into(),
            "HostName=h;DeviceId=w:d;SharedAccessSignature=a\\r\\nX: y".into(),
            format!("HostName=h b;DeviceId=w:d;SharedAccessSignature={SAS}"),
            format!("HostName=h;DeviceId=wd;SharedAccessSignature={SAS}"),
            format!("HostName=h;DeviceId=:d;SharedAccessSignature={SAS}"),
            format!("HostName=h;DeviceId=w:;SharedAccessSignature={SAS}"),
            format!("HostName=h;DeviceId=w:a/#;SharedAccessSignature={SAS}"),
        ] {
            assert!(answer(&text, "").is_err(), "{text}");
        }
    }

    #[test]
    fn a_sas_without_a_readable_expiry_has_an_unknown_lifetime() {
        for sas in [
            "x",
            "SharedAccessSignature sr=a",
            "SharedAccessSignature se=",
            "se=9e9",
        ] {
            assert_eq!(sas_expiry(sas), None, "{sas}");
        }
        assert_eq!(
            sas_expiry("SharedAccessSignature se=5&sr=a"),
            Some(ServerTime(5))
        );
    }
}
