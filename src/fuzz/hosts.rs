//! Hosts and instances.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Choices, fuzz};
use crate::http::instance::Instance;
use crate::net::host::Host;

fn label(choices: &mut Choices<'_>) -> String {
    let length = choices.below(8);
    let mut label = choices.pick(&["a", "B", "z9", "x_y", "0a"]).to_owned();
    for _ in 0..length {
        label.push(choices.pick(&['a', 'Z', '7', '-', '_']));
    }
    label.push('e');
    label
}

/// A host name or address, as it is written, and as it is read.
fn name(choices: &mut Choices<'_>) -> (String, String) {
    match choices.byte() % 4 {
        0 => {
            let address = Ipv4Addr::from(choices.u32()).to_string();
            (address.clone(), address)
        }
        1 => {
            let half = |choices: &mut Choices<'_>| u128::from(choices.u64());
            let address = Ipv6Addr::from(half(choices) << 64 | half(choices)).to_string();
            (format!("[{}]", address.to_ascii_uppercase()), address)
        }
        _ => {
            let labels: Vec<String> = (0..=choices.below(4)).map(|_| label(choices)).collect();
            let name = labels.join(".");
            (name.clone(), name.to_ascii_lowercase())
        }
    }
}

#[test]
fn every_host_is_read_as_it_was_written() {
    fuzz("host", |choices| {
        let (written, name) = name(choices);
        let port = choices.u16().max(1);
        let (text, port) = match choices.bool() {
            true => (format!("{written}:{port}"), port),
            false => (written, 8883),
        };
        let host = Host::parse(&text, 8883);
        assert_eq!(host, Ok(Host { name, port }), "{text}");
        let host = host.unwrap();
        for default_port in [8883, 443] {
            let authority = host.authority(default_port);
            assert_eq!(
                Host::parse(&authority, default_port).as_ref(),
                Ok(&host),
                "{authority}"
            );
        }
        let schemes = ["", "https://", "HTTPS://"];
        let url = format!(
            "{}{text}{}",
            choices.pick(&schemes),
            choices.pick(&["", "/"])
        );
        let instance = Instance::parse(&url).expect(&url);
        assert_eq!(
            Instance::parse(&instance.to_string()).unwrap(),
            instance,
            "{url}"
        );
    });
}

#[test]
fn what_passes_for_a_host_cannot_change_a_url_and_what_does_not_is_not_repeated() {
    let texts = [
        "https://api.eu1.spotflow.io",
        "hub.example:8883",
        "[2001:db8::1]:443",
        "https://user:hunter2@hub.example/",
        "127.0.0.1",
    ];
    fuzz("damaged host", move |choices| {
        let text = choices.pick(&texts);
        let text = choices.damaged_text(text);
        match Instance::parse(&text) {
            Ok(instance) => {
                let shown = instance.to_string();
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
                assert!(shown.chars().all(is_plain), "{text:?} is read as {shown}");
                assert_eq!(Instance::parse(&shown).unwrap(), instance);
            }
            Err(error) => assert!(!error.to_string().contains("hunter2"), "{error}"),
        }
    });
}
