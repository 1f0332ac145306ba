//! Registration answers, and the connection strings in them.

use serde_json::{Value, json};
use spotflow_fuzz::{Choices, fuzz};

use super::*;

const NOW: ServerTime = ServerTime(1_700_000_000);

fn registration(choices: &mut Choices<'_>, connection_string: &str) -> Value {
    let mut answer = json!({"connectionString": connection_string, "other": choices.json(1)});
    let fields = [
        ("iotHubHostName", "hub.example"),
        ("connectionStringType", "SharedAccessSignature"),
        ("connectionStringExpiration", "2026-11-22T12:00:00Z"),
        ("tokenRemainingLifetime", "8.11:55:36.3296177"),
    ];
    for (field, value) in fields {
        match choices.byte() % 4 {
            0 => {}
            1 => answer[field] = choices.json(1),
            _ => answer[field] = choices.damaged_text(value).into(),
        }
    }
    answer
}

#[test]
fn a_registration_gives_only_what_fits_a_header_a_topic_and_a_host() {
    fuzz("registration answer", |choices| {
        let connection = "HostName=hub.example;DeviceId=ws:dev-1;SharedAccessSignature=\
                          SharedAccessSignature sr=hub&sig=hunter2%3D&se=1700003600";
        let connection = choices.damaged_text(connection);
        let mut body = registration(choices, &connection).to_string().into_bytes();
        choices.damage(&mut body);
        let Ok(answer) = serde_json::from_slice::<RegistrationAnswer>(&body) else {
            return;
        };
        match answer.interpret(Some(NOW)) {
            Ok(registration) => {
                let credentials = registration.credentials;
                let sas = credentials.sas.expose();
                assert!(!sas.is_empty() && sas.bytes().all(|b| (b' '..=b'~').contains(&b)));
                let device = credentials.device.to_string();
                let splits = |c: char| c.is_whitespace() || c.is_control() || "/+#?&".contains(c);
                assert!(!device.contains(splits), "{device:?}");
                assert!(crate::net::host::Host::parse(&credentials.host_name, 1).is_ok());
                assert!(!format!("{credentials:?}").contains("hunter2"));
            }
            Err(problem) => assert!(!problem.contains("hunter2")),
        }
    });
}

#[test]
fn every_connection_string_is_read_as_it_was_written() {
    fuzz("connection string", |choices| {
        let word = |choices: &mut Choices<'_>| {
            let count = 1 + choices.below(10);
            (0..count)
                .map(|_| choices.pick(&['a', 'Z', '0', '-', '_', '.']))
                .collect::<String>()
        };
        let (workspace, device) = (word(choices), word(choices));
        let expires = choices.u32();
        let sas = format!(
            "SharedAccessSignature sr={}&sig={}%3D=&se={expires}",
            word(choices),
            word(choices)
        );
        let mut parts = [
            "HostName=hub.example".to_owned(),
            format!("DeviceId={workspace}:{device}"),
            format!("SharedAccessSignature={sas}"),
            format!("{}={}", word(choices), word(choices)),
        ];
        let turn = choices.below(parts.len());
        parts.rotate_left(turn);
        let body = json!({"connectionString": parts.join(";")});
        let answer: RegistrationAnswer = serde_json::from_value(body).unwrap();
        let registration = answer.interpret(Some(NOW)).unwrap();
        let credentials = registration.credentials;
        assert_eq!(credentials.host_name, "hub.example");
        assert_eq!(credentials.device.workspace_id, workspace);
        assert_eq!(credentials.device.device_id, device);
        assert_eq!(credentials.sas.expose(), sas);
        let left = u64::from(expires).saturating_sub(NOW.0 as u64);
        assert_eq!(credentials.lifetime.map(|left| left.as_secs()), Some(left));
        assert_eq!(registration.token_lifetime, Lifetime::Unlimited);
    });
}
