//! Hosts of any text.

use std::net::{Ipv4Addr, Ipv6Addr};

use spotflow_fuzz::{Choices, fuzz};

use super::*;

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

/// A host with a port or without, as it is written, and as it is read where the default is 8883.
pub(crate) fn address(choices: &mut Choices<'_>) -> (String, Host) {
    let (written, name) = name(choices);
    let port = choices.u16().max(1);
    if choices.bool() {
        (format!("{written}:{port}"), Host { name, port })
    } else {
        (written, Host { name, port: 8883 })
    }
}

#[test]
fn every_host_is_read_as_it_was_written() {
    fuzz("host", |choices| {
        let (text, expected) = address(choices);
        let host = Host::parse(&text, 8883).unwrap();
        assert_eq!(host, expected, "{text}");
        for default_port in [8883, 443] {
            let authority = host.authority(default_port);
            assert_eq!(
                Host::parse(&authority, default_port).as_ref(),
                Ok(&host),
                "{authority}"
            );
        }
    });
}
