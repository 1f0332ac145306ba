//! A device's own page: its configuration, and what can be done with it.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Page, view};

/// Nothing if there is no such device.
pub(super) fn page(page: &Page, device: &str, notice: &str) -> Option<Markup> {
    let (desired, _) = page.platform.desired(device).ok()?;
    let name = device.rsplit(':').next().unwrap_or(device);
    let events = format!(
        "/events?device={}",
        utf8_percent_encode(device, NON_ALPHANUMERIC)
    );
    let content = html! {
        div #device-state aria-live="polite" { (state(page, device)) }
        div.sides {
            section aria-labelledby="desired-title" {
                h2 #desired-title { "Desired Properties" }
                div #desired { (properties(page.platform.desired(device).ok())) }
                form method="post" action="/do/desired" {
                    input type="hidden" name="device" value=(device);
                    label for="desired-editor" { "New Desired Properties (JSON)" }
                    textarea #desired-editor name="properties" rows="8" spellcheck="false" { (pretty(&desired)) }
                    button { "Set" }
                }
            }
            section aria-labelledby="reported-title" {
                h2 #reported-title { "Reported Properties" }
                div #reported { (properties(page.platform.reported(device).ok())) }
            }
        }
        (orders(device))
    };
    Some(view::layout(name, &events, notice, content))
}

pub(super) fn state(page: &Page, device: &str) -> Markup {
    let platform = &page.platform;
    let listens = platform.subscriptions(device).len();
    let waiting = platform.cloud_messages_waiting(device);
    html! {
        p { (view::state(platform.connected(device))) "; subscriptions: " (listens)
            "; cloud-to-device messages that wait: " (waiting) }
    }
}

pub(super) fn properties(properties: Option<(Value, u64)>) -> Markup {
    html! {
        @if let Some((properties, version)) = properties {
            p { "Version " (version) }
            pre tabindex="0" { (pretty(&properties)) }
        } @else { p { "The device is gone." } }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn orders(device: &str) -> Markup {
    let order = |name: &str, label: &str| {
        html! { button name="order" value=(name) { (label) } }
    };
    html! {
        section aria-labelledby="send-title" {
            h2 #send-title { "Send" }
            form method="post" action="/do/send" {
                input type="hidden" name="device" value=(device);
                label for="send-text" { "Cloud-to-device message" }
                textarea #send-text name="text" rows="2" {}
                button { "Send" }
            }
            form method="post" action="/do/call" {
                input type="hidden" name="device" value=(device);
                label for="method" { "Direct method" }
                input #method name="method" required autocomplete="off" spellcheck="false";
                label for="method-payload" { "Payload (JSON, or nothing)" }
                textarea #method-payload name="payload" rows="2" spellcheck="false" { "{}" }
                button { "Call" }
            }
            form method="post" action="/do/forward" {
                input type="hidden" name="device" value=(device);
                label for="port" { "Port of the device" }
                input #port name="port" type="number" min="1" max="65535" value="22" required;
                button { "Lead a local port there" }
            }
        }
        section aria-labelledby="orders-title" {
            h2 #orders-title { "Make it hard" }
            form.inline method="post" action="/do/device" {
                input type="hidden" name="device" value=(device);
                (order("cut", "Cut its connection"))
                (order("expire-sas", "Let its password expire"))
                (order("revoke", "Revoke its Registration Tokens"))
                (order("reset-twin", "Forget its properties"))
                (order("delete", "Delete it"))
            }
        }
    }
}
