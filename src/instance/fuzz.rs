//! Instances of any text.

use spotflow_fuzz::fuzz;

use super::*;
use crate::net::host::fuzz::address;

#[test]
fn every_instance_is_read_as_it_was_written() {
    fuzz("instance", |choices| {
        let (text, _) = address(choices);
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
