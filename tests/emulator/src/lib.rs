//! The Spotflow IoT Platform on loopback ports: for tests of devices, and for trying things out without an account.
//!
//! It is the Platform's HTTP API, an MQTT broker with the manners of Azure IoT Hub, and its file upload, with a
//! throw-away certificate authority. One TLS port serves all of it. It speaks what a device sees of the Platform and
//! nothing more: there is no portal, and everything is forgotten at the end.
//!
//! # In a test
//!
//! ```
//! use std::time::Duration;
//! use spotflow_emulator::Platform;
//!
//! let platform = Platform::start()?;
//! // Give these to the device under test.
//! println!("{} {}", platform.instance(), platform.provisioning_token());
//! println!("SSL_CERT_FILE={}", platform.ca_file().display());
//! // ... let it provision itself, connect and send, then:
//! # let timeout = Duration::ZERO;
//! # let _ = || -> Result<(), Box<dyn std::error::Error>> {
//! let messages = platform.wait_for_messages(60, timeout)?;
//! assert_eq!(messages[0].batch_id.as_deref(), Some("batch"));
//! platform.set_desired("my-device", &serde_json::json!({ "interval": 5 }))?;
//! # Ok(()) };
//! # Ok::<(), spotflow_emulator::Error>(())
//! ```
//!
//! Everything is ordinary, blocking code: the Platform's own threads are out of sight. Nothing polls: whatever is
//! waited for ends the wait at once, and each wait has a time limit.
//!
//! # What it does
//!
//! - Provisioning Operations are approved at the first poll, or by [`Platform::approve`]
//!   ([`Builder::approval`]). Tokens and passwords are checked, and expire.
//! - The hub allows a device one connection, keeps sessions, enforces keep-alive and the 256 KiB limit, and closes
//!   the connection for QoS 2, retained publishes, and topics that are not the device's.
//!   [`Platform::connections`] tells why each connection ended.
//! - MQTT is spoken over TLS, and over WebSocket at `wss://{hub}/$iothub/websocket`.
//! - Every Message is recorded with its properties, its content decompressed, uploaded content joined in:
//!   [`Message`]. A repeat is marked, as the Platform would drop it: [`Message::repeat`].
//! - Twins with versions and IoT Hub's rules, cloud-to-device messages that come again until acknowledged.
//! - Direct methods, called at most once. An answer that is late, or comes over another connection than the call
//!   went, is dropped: [`Platform::dropped_method_answers`].
//!
//! - Remote access: a port of this machine leads to a port of a device, through the Platform's relay, so that
//!   `ssh -p PORT user@127.0.0.1` reaches the device's SSH server: [`Platform::forward`].
//!
//! # What it does wrong on request
//!
//! The hub withholds, delays and invents acknowledgements ([`Platform::acknowledge`]), cuts connections at a Message
//! ([`Platform::cut_after_messages`]) or on a poisonous one ([`Platform::close_on_message`]), refuses CONNECTs, forgets
//! sessions, throttles Messages ([`Platform::throttle_messages`]) and twin requests, leaves sockets open in silence
//! ([`Platform::go_silent`]). Ports are closed, ways blocked ([`Platform::block`]), certificates wrong
//! ([`Platform::present_certificate`]).
//!
//! HTTP calls are answered with any status ([`Platform::http_status`]), by somebody else, such as a captive portal
//! ([`Platform::http_answer`]), late, or not at all; with what is no HTTP, too early, byte by byte or cut
//! ([`Platform::http_raw`]). The storage refuses blocks, lets a SAS expire, takes content slowly or cuts
//! ([`Platform::storage_rate`]). The relay sends garbage, stalls and more ([`RelayFault`]).
//!
//! An order holds for everything that happens after the call that gave it returned.
//!
//! # Limits
//!
//! What a device cannot see is left out: quotas by the day, dead-lettering of cloud-to-device messages after ten
//! deliveries, device authentication other than by SAS. Twin updates and methods are delivered with the QoS that the
//! device subscribed with. Recorded Messages stay in memory until [`Platform::clear_messages`], uploads until the
//! end; see also [`Builder::record_payloads`].
//!
//! # The program, driven by another program
//!
//! `spotflow-emulator --control` is for tests in other languages; for Python there is a package that drives it, in
//! `python/spotflow_emulator`. It writes one JSON line when it is ready:
//!
//! ```json
//! {"instance": "localhost:4430", "hub": "localhost:4430", "workspace_id": "...", "provisioning_token": "...", "ca_file": "..."}
//! ```
//!
//! With `--page-port` there is also `page`, the link to its page for a browser.
//!
//! Then it reads commands, a JSON object on a line each, and answers each with one line:
//!
//! ```json
//! {"command": "approve", "operation": "K7QX-M2PA", "device": "decided", "id": 1}
//! {"ok": true, "result": "decided", "id": 1}
//! {"command": "approve", "operation": "unknown"}
//! {"ok": false, "error": "no provisioning operation has the id or verification code \"unknown\""}
//! ```
//!
//! `id` is optional and comes back as it is. Commands are executed one after the other. The program ends with `quit`,
//! or when its standard input ends. Times are in seconds; `?` marks what may be left out.
//!
//! | command | arguments | result |
//! |---|---|---|
//! | `operations`, `wait_operation` | -, `timeout` | all, or the first pending: `{id, verification_code, requested_device_id, expiration_time, state, device_id}` |
//! | `approve`, `refuse`, `expire_operation` | `operation` (id or code), for `approve` also `device`? | for `approve` the Device ID |
//! | `add_provisioning_token`, `revoke_provisioning_token` | `device`? `workspace`?, `token` | the token, - |
//! | `devices` | | `[{workspace_id, device_id, connected}]` |
//! | `delete_device`, `revoke_registration_tokens`, `expire_sas` | `device` | |
//! | `disable_workspace` | `disabled` | |
//! | `desired` | `device`, `properties`? | sets them: the version; without `properties`: `{properties, version}` |
//! | `patch_desired` | `device`, `patch` | the version |
//! | `reported`, `reported_patches` | `device` | `{properties, version}`, all patches |
//! | `wait_reported` | `device`, `properties` (exactly), `timeout` | the properties |
//! | `reset_twin` | `device` | |
//! | `send` | `device`, `text` or `payload` (Base64), `properties`? (an object) | |
//! | `cloud_messages_waiting`, `wait_cloud_messages` | `device`, for the wait `waiting` (at most), `timeout` | the number, - |
//! | `call_method` | `device`, `method`, `payload`? (JSON) or `raw`? (Base64), `timeout` | `{status, payload}` |
//! | `begin_method` | the same | the call's number |
//! | `wait_method` | `number`, `timeout` | `{status, payload}` |
//! | `method_calls` | | `[{number, device_id, method, payload, request_id, connection, outcome: waiting, answered, bad_answer or given_up, answer, error}]` |
//! | `dropped_method_answers` | | `[{device_id, request_id, answer, connection, reason: unknown, late, other_connection or repeated}]` |
//! | `forward` | `device`, `port`, `local_port`? | the local port that leads there |
//! | `stop_forwarding` | `local_port` | whether it led anywhere |
//! | `forwardings` | | `[{local_port, device, port}]` |
//! | `tunnels` | | `[{id, device, port, uri, status, answer, traceparent, traceparent_header, open, bytes_to_device, bytes_from_device, frames_from_device, frame_bytes_max, pings_from_device, close_code, end}]` |
//! | `wait_tunnels` | `open`?, `ended`? (at least so many), `timeout` | all |
//! | `break_relay` | `fault`: `garbage`, `text_frames`, `masked_frames`, `fragments`, `large_frames`, `endless_frame`, `close_with`, `cut_after`, `stall_after`, `no_pongs`; `number`? for some of them | |
//! | `mend_relay` | | |
//! | `messages` | `device`? `after`? (a sequence) | `[{sequence, workspace_id, device_id, connection, topic, properties: [[key, value]], payload (Base64), text, payload_error, raw_length, external, packet_id, dup, repeat, acknowledged}]` |
//! | `wait_messages` | `count`, `timeout` | all, when there are so many |
//! | `clear_messages` | | |
//! | `uploads` | | `[{hub_id, blob_name, bytes, blocks, success}]` |
//! | `storage_writes` | | `[{hub_id, blob_name, kind: blob, block or block_list, block_id, content_length, received_bytes, status}]` |
//! | `wait_storage_writes` | `count` (at least so many answered), `timeout` | all |
//! | `uncommitted_blocks` | `device`, `blob_name` | `[[id, bytes]]` |
//! | `expire_uploads`, `expire_upload_sas` | | |
//! | `refuse_blocks` | `refuse` | |
//! | `storage_rate` | `bytes_per_second`? | |
//! | `cut_storage_after` | `bytes`? | |
//! | `connections` | | `[{number, transport: mqtt or web_socket, client_id, user_name, keep_alive, clean_session, session_present, code, end}]` |
//! | `wait_connected` | `device`, `connected`, `timeout` | |
//! | `subscriptions` | `device` | the topic filters |
//! | `requests` | | `[{route, method, path, status}]` |
//! | `traffic` | | with `--record-traffic` every connection: `[{from_device, to_device}]`, all bytes without TLS (Base64) |
//! | `acknowledge` | `mode`: `immediately`, `after`, `withhold`; `seconds`? for `after` | |
//! | `release_acknowledgements`, `close_connections`, `forget_sessions`, `clear_http_faults` | | |
//! | `close_connection` | `device` | |
//! | `cut_after_messages` | `count`, `point`: `before_ack`, `after_ack` | |
//! | `refuse_connects` | `code`, `count`? | |
//! | `refuse_messages` | `refuse` | |
//! | `throttle_messages`, `stop_throttling` | `per_second`, `burst`, - | |
//! | `go_silent`, `accept_connections` | `silent`, `accept` | |
//! | `block` | `way`: `mqtt`, `web_socket`, `https`; `blockage`: `refused`, `silent`, `cut`, `foreign` | |
//! | `unblock` | `way` | |
//! | `websocket_frame_bytes` | `bytes`? | |
//! | `twin_status` | `status`, `count` | |
//! | `http_status` | `route`, `status`, `problem_type`?, `count` | |
//! | `http_answer` | `route`, `status`, `headers`? (`[[name, value]]`), `text`? or `body`? (Base64), `count`? | |
//! | `http_hang` | `route`, `hang` | |
//!
//! A route is one of `init`, `complete`, `register`, `refresh`, `file_upload`, `blob_put`, `block_put`,
//! `block_list_put`, `file_notification`, `hub_web_socket`, `tunnel`, `any`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod api;
mod ca;
mod clock;
mod error;
mod faults;
mod foreign;
mod front;
mod hub;
mod message;
mod news;
mod platform;
mod provisioning;
mod record;
mod registry;
mod relay;
mod requests;
mod secrets;
mod state;
mod storage;
mod throttle;
mod traffic;
mod websocket;

pub use ca::ServerCertificate;
pub use error::{Error, Timeout};
pub use faults::{AckMode, Blockage, CutPoint, Way};
pub use hub::{
    Connection, Direction, DropReason, DroppedAnswer, MethodAnswer, MethodCall, MethodOutcome,
    PacketKind, PacketSeen, Transport,
};
pub use message::Message;
pub use news::Event;
pub use platform::{Builder, Platform};
pub use provisioning::{Approval, Operation, OperationState};
pub use registry::Device;
pub use relay::{RelayFault, Tunnel};
pub use requests::{HttpAnswer, HttpRequest, RawAnswer, Route};
pub use storage::{StorageWrite, Upload, WriteKind};
pub use traffic::Traffic;
