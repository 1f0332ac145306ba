//! The page's main view, section by section.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use spotflow_emulator::{Message, OperationState, Platform};

use super::feed::received_unix_ms;
use super::{Page, faults_view};

const PAYLOAD_CHARS_MAX: usize = 400;
const UTC_TIME: std::ops::Range<usize> = 11..23;

/// Around every page. `events` is where its news come from.
pub(super) fn layout(title: &str, events: &str, notice: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - Spotflow emulator" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="data:,";
                script src="/script.js" defer {}
            }
            body data-events=(events) {
                a.skip href="#content" { "Skip to the content" }
                header { a.home href="/" { "Spotflow emulator" } }
                // Reached by the skip link, and scrolled by the keyboard.
                main #content tabindex="-1" { h1 { (title) } (content) }
                p #notice role="status" { (notice) }
            }
        }
    }
}

pub(super) fn overview(page: &Page, stream: &str, notice: &str) -> Markup {
    let platform = &page.platform;
    let (last, rows, streams, numbers) = page.feed.look(|recent| {
        let rows = recent.rows_after(0, stream);
        let streams = recent.streams.clone();
        (
            recent.last_sequence(),
            rows,
            streams,
            recent.numbers.table(stream),
        )
    });
    let events = format!(
        "/events?after={last}&stream={}",
        utf8_percent_encode(stream, NON_ALPHANUMERIC)
    );
    let content = html! {
        (connect(page))
        section aria-labelledby="operations-title" {
            h2 #operations-title { "Asking to be let in" }
            div #operations aria-live="polite" { (operations(platform)) }
        }
        section aria-labelledby="devices-title" {
            h2 #devices-title { "Devices" }
            div #devices { (devices(platform)) }
        }
        section aria-labelledby="messages-title" {
            h2 #messages-title { "Messages" }
            (filter(stream, &streams))
            p { span #count { (platform.received_count()) } " have arrived."
                " " button #pause type="button" aria-pressed="false" hidden { "Pause" } }
            div.scroll tabindex="0" role="group" aria-labelledby="messages-title" {
                table {
                    thead { tr {
                        th scope="col" { "Time (UTC)" } th scope="col" { "Device" }
                        th scope="col" { "Stream" } th scope="col" { "Content" }
                    } }
                    tbody #messages { @for row in rows { (maud::PreEscaped(&row.html)) } }
                }
            }
        }
        section aria-labelledby="numbers-title" {
            h2 #numbers-title { "Numbers" }
            div #numbers { (numbers) }
        }
        section aria-labelledby="tunnels-title" {
            h2 #tunnels-title { "Tunnels" }
            div #tunnels { (tunnels(platform)) }
        }
        (faults_view::faults())
    };
    layout("What happens", &events, notice, content)
}

fn connect(page: &Page) -> Markup {
    let platform = &page.platform;
    html! {
        section aria-labelledby="connect-title" {
            h2 #connect-title { "Connect a device" }
            dl {
                dt { "Instance" } dd { code { (platform.instance()) } }
                dt { "Provisioning Token" } dd { code { (platform.provisioning_token()) } }
                dt { "In its environment" } dd { code { "SSL_CERT_FILE=" (page.ca_file.display()) } }
            }
        }
    }
}

pub(super) fn operations(platform: &Platform) -> Markup {
    let mut operations = platform.operations();
    operations.retain(|operation| operation.state == OperationState::Pending);
    html! {
        @if operations.is_empty() { p { "Nobody waits." } }
        @for operation in &operations {
            @let code = &operation.verification_code;
            form.inline method="post" action="/do/decide" {
                p { strong { (code) } " wants to be "
                    (operation.requested_device_id.as_deref().unwrap_or("any device")) }
                input type="hidden" name="operation" value=(operation.id);
                label for=(format!("name-{code}")) { "Under another ID" }
                input #(format!("name-{code}")) name="device" autocomplete="off";
                button #(format!("approve-{code}")) name="decision" value="approve" { "Approve " span.hidden { (code) } }
                button #(format!("refuse-{code}")) name="decision" value="refuse" { "Refuse " span.hidden { (code) } }
            }
        }
    }
}

pub(super) fn devices(platform: &Platform) -> Markup {
    let devices = platform.devices();
    html! {
        @if devices.is_empty() { p { "No device yet." } }
        @else {
            table {
                thead { tr { th scope="col" { "Device" } th scope="col" { "Connection" } th scope="col" { "Workspace" } } }
                tbody {
                    @for device in &devices {
                        @let hub_id = format!("{}:{}", device.workspace_id, device.device_id);
                        tr {
                            th scope="row" data-label="Device" {
                                a #(format!("device-{hub_id}")) href=(device_path(&hub_id)) { (device.device_id) }
                            }
                            td data-label="Connection" { (state(platform.connected(&hub_id))) }
                            td data-label="Workspace" { (device.workspace_id) }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn state(connected: bool) -> Markup {
    html! {
        @if connected { span.good { "connected" } } @else { span.bad { "not connected" } }
    }
}

pub(super) fn device_path(hub_id: &str) -> String {
    format!("/devices/{}", utf8_percent_encode(hub_id, NON_ALPHANUMERIC))
}

fn filter(stream: &str, streams: &BTreeSet<String>) -> Markup {
    html! {
        form.inline method="get" action="/" data-plain {
            label for="stream" { "Stream" }
            select #stream name="stream" { (streams_to_choose(stream, streams)) }
            button { "Show" }
        }
    }
}

pub(super) fn streams_to_choose(stream: &str, streams: &BTreeSet<String>) -> Markup {
    html! {
        option value="" selected[stream.is_empty()] { "all" }
        @for name in streams {
            option value=(name) selected[name == stream] { (name) }
        }
        @if !stream.is_empty() && !streams.contains(stream) {
            option value=(stream) selected { (stream) }
        }
    }
}

pub(super) fn message_row(message: &Message, stream: &str) -> Markup {
    let unix_ms = received_unix_ms(message);
    let received = std::time::UNIX_EPOCH + std::time::Duration::from_millis(unix_ms);
    let received = humantime::format_rfc3339_millis(received).to_string();
    let time = received.get(UTC_TIME).unwrap_or_default();
    html! {
        tr data-received=(unix_ms) {
            td data-label="Time (UTC)" { time datetime=(received) { (time) } }
            td data-label="Device" { (message.device_id) }
            td data-label="Stream" { (stream)
                @if let Some(batch) = &message.batch_id { " " small { "batch " (batch) } } }
            td data-label="Content" { (content(message))
                @if message.repeat { " " small { "(a repeat, dropped)" } } }
        }
    }
}

fn content(message: &Message) -> Markup {
    let bytes = message.payload.len();
    let text = std::str::from_utf8(&message.payload).ok();
    let readable = text.filter(|text| text.chars().all(|c| !c.is_control() || c.is_whitespace()));
    html! {
        @if let Some(error) = &message.payload_error { em { (bytes) " bytes, " (error) } }
        @else if message.completes_batch() { em { "completes the Batch" } }
        @else if message.completes_message() { em { "completes the Message" } }
        @else if let Some(text) = readable {
            @let mut shown = text.chars();
            code { (shown.by_ref().take(PAYLOAD_CHARS_MAX).collect::<String>()) }
            @if !shown.as_str().is_empty() { "... " small { (bytes) " bytes" } }
        } @else { em { (bytes) " bytes" } }
    }
}

pub(super) fn tunnels(platform: &Platform) -> Markup {
    let (forwardings, tunnels) = (platform.forwardings(), platform.tunnels());
    html! {
        @if forwardings.is_empty() && tunnels.is_empty() {
            p { "No port leads to a device. A device's page can open one." }
        }
        @if !forwardings.is_empty() {
            ul {
                @for (local, device, port) in &forwardings {
                    li { code { (local) } " leads to port " (port) " of " (device) " "
                        form.inline method="post" action="/do/stop-forwarding" {
                            input type="hidden" name="port" value=(local.port());
                            button #(format!("stop-{}", local.port())) { "Stop " span.hidden { (local) } }
                        } }
                }
            }
        }
        @if !tunnels.is_empty() {
            table {
                thead { tr {
                    th scope="col" { "Device" } th.number scope="col" { "Port" } th scope="col" { "State" }
                    th.number scope="col" { "Bytes there" } th.number scope="col" { "Bytes back" }
                } }
                tbody {
                    @for tunnel in tunnels.iter().rev().take(20) {
                        tr {
                            td data-label="Device" { (tunnel.device) }
                            td.number data-label="Port" { (tunnel.port) }
                            td data-label="State" {
                                @match &tunnel.end {
                                    Some((_, reason)) => (reason),
                                    None if tunnel.is_open() => span.good { "open" },
                                    None => "asked for",
                                }
                            }
                            td.number data-label="Bytes there" { (tunnel.bytes_to_device) }
                            td.number data-label="Bytes back" { (tunnel.bytes_from_device) }
                        }
                    }
                }
            }
        }
    }
}
