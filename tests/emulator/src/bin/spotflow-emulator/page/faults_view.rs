//! The faults that can be switched on.

use maud::{Markup, html};

/// What is told to `/do/...`, and what a person reads.
type Choice = (&'static str, &'static str);

pub(super) const ROUTES: [Choice; 12] = [
    ("any", "all calls"),
    ("init", "init"),
    ("complete", "complete"),
    ("register", "register"),
    ("refresh", "refresh"),
    ("file_upload", "file upload"),
    ("blob_put", "blob"),
    ("block_put", "block"),
    ("block_list_put", "list of blocks"),
    ("file_notification", "file notification"),
    ("hub_web_socket", "MQTT over WebSocket"),
    ("tunnel", "tunnel"),
];
const WAYS: [Choice; 3] = [
    ("mqtt", "MQTT"),
    ("web_socket", "MQTT over WebSocket"),
    ("https", "HTTPS"),
];
const BLOCKAGES: [Choice; 5] = [
    ("open", "open"),
    ("refused", "refused"),
    ("silent", "silent"),
    ("cut", "cut"),
    ("foreign", "answered by somebody else"),
];
const ACKNOWLEDGEMENTS: [Choice; 3] = [
    ("immediately", "at once"),
    ("second", "after a second"),
    ("withhold", "not at all"),
];
const SWITCHES: [Choice; 6] = [
    ("silent", "The hub goes silent"),
    ("cut-all", "Cut all connections"),
    (
        "refuse-connects",
        "The hub refuses CONNECTs (3, unavailable)",
    ),
    ("throttle", "The hub takes one Message a second"),
    ("disable", "Disable the Workspace"),
    ("expire-upload-sas", "Let the SAS of all uploads expire"),
];

pub(super) fn faults() -> Markup {
    html! {
        section aria-labelledby="faults-title" {
            h2 #faults-title { "Faults" }
            form.inline method="post" action="/do/switch" {
                @for (name, label) in SWITCHES {
                    button #(format!("switch-{name}")) name="fault" value=(name) { (label) }
                }
            }
            form.inline method="post" action="/do/acknowledge" {
                (select("acknowledge", "mode", "Messages are acknowledged", &ACKNOWLEDGEMENTS))
                button { "Apply" }
            }
            form.inline method="post" action="/do/block" {
                (select("way", "way", "The way for", &WAYS))
                (select("blockage", "blockage", "is", &BLOCKAGES))
                button { "Apply" }
            }
            form.inline method="post" action="/do/http" {
                (select("route", "route", "Calls of", &ROUTES))
                label for="status" { "answered with" }
                input #status name="status" type="number" min="100" max="599" value="503" required;
                label for="times" { "so many times" }
                input #times name="count" type="number" min="1" value="1" required;
                label for="html" { "as HTML" }
                input #html name="html" type="checkbox" value="yes";
                button { "Apply" }
            }
            form.inline method="post" action="/do/mend" {
                button #mend { "Take everything back" }
            }
        }
    }
}

fn select(id: &str, name: &str, label: &str, choices: &[Choice]) -> Markup {
    html! {
        label for=(id) { (label) }
        select #(id) name=(name) {
            @for (value, label) in choices { option value=(value) { (label) } }
        }
    }
}
