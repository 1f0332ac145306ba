//! CONNECT: who may come in, and what becomes of the session and of an older connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rmqtt_codec::types::MQTT_LEVEL_311;
use rmqtt_codec::v3::{Connect, ConnectAck, ConnectAckReason, Packet};
use tokio::sync::Notify;

use super::packet_log::Direction;
use super::{Connection, Link, Live, Session, Transport};
use crate::news::Event;
use crate::state::{Core, State};

/// IoT Hub takes no longer keep-alive than this and closes at one and a half times it.
const KEEP_ALIVE_SECONDS_MAX: u16 = 1767;

/// What follows a CONNECT.
pub(crate) enum Outcome {
    Accepted { number: u64, wake: Arc<Notify> },
    Refused { code: u8 },
}

/// Decides on a CONNECT. What the device is to receive first is in the connection's output.
pub(crate) fn connect(
    core: &Core,
    state: &mut State,
    packet: &Connect,
    transport: Transport,
) -> Outcome {
    let number = state.connections.history.len() as u64 + 1;
    let verdict = match state.faults.refuse_this_connect() {
        Some(code) => Err(code),
        None => check(core, state, packet),
    };
    state.connections.history.push(Connection {
        number,
        transport,
        client_id: packet.client_id.to_string(),
        user_name: packet.username.as_ref().map(ToString::to_string),
        keep_alive: packet.keep_alive,
        clean_session: packet.clean_session,
        session_present: false,
        code: verdict.err().unwrap_or(0),
        end: verdict
            .err()
            .map(|code| format!("CONNECT refused with code {code}")),
    });
    match verdict {
        Ok(sas_expires) => accept(core, state, packet, number, sas_expires),
        Err(code) => {
            state.events.push(Event::ConnectRefused {
                client_id: packet.client_id.to_string(),
                code,
            });
            Outcome::Refused { code }
        }
    }
}

/// When the password expires, or with which code to refuse.
fn check(core: &Core, state: &State, packet: &Connect) -> Result<Option<Instant>, u8> {
    if packet.protocol.level() != MQTT_LEVEL_311 {
        return Err(1);
    }
    let Some(device) = state.registry.devices.get(&*packet.client_id) else {
        return Err(5);
    };
    let hubs = [Some(&core.hub_host), state.announced_hub.as_ref()];
    let user_name = packet.username.as_ref();
    if !user_name.is_some_and(|name| {
        let mut hubs = hubs.into_iter().flatten();
        hubs.any(|hub| is_user_name(name, hub, &packet.client_id))
    }) {
        return Err(4);
    }
    packet
        .password
        .as_ref()
        .and_then(|password| std::str::from_utf8(password).ok())
        .and_then(|password| device.valid_sas(password))
        .map(|sas| sas.expires)
        .ok_or(5)
}

/// `{hubHost}/{clientId}/?api-version=...`, the host with or without its port.
fn is_user_name(name: &str, hub_host: &str, client_id: &str) -> bool {
    let host_only = hub_host.rsplit_once(':').map_or(hub_host, |(host, _)| host);
    let mut parts = name.splitn(3, '/');
    let host = parts.next();
    (host == Some(hub_host) || host == Some(host_only))
        && parts.next() == Some(client_id)
        && parts
            .next()
            .and_then(|query| query.strip_prefix('?'))
            .and_then(|query| {
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("api-version="))
            })
            .is_some_and(is_api_version)
}

/// A day, on or after the one of the first version that devices still use.
fn is_api_version(version: &str) -> bool {
    const FIRST: &str = "2016-11-14";
    let like_first = |(byte, first): (u8, u8)| byte.is_ascii_digit() == first.is_ascii_digit();
    version.len() == FIRST.len()
        && version.bytes().zip(FIRST.bytes()).all(like_first)
        && version >= FIRST
}

fn accept(
    core: &Core,
    state: &mut State,
    packet: &Connect,
    number: u64,
    sas_expires: Option<Instant>,
) -> Outcome {
    let Some(device) = state.registry.devices.get_mut(&*packet.client_id) else {
        return Outcome::Refused { code: 5 };
    };
    let mailbox = &mut device.mailbox;
    if let Some(older) = mailbox.connection.replace(number) {
        state
            .connections
            .close(older, "a newer connection of the same device");
        mailbox.cloud.connection_lost();
    }
    let session_present = !packet.clean_session && mailbox.session.is_some();
    if !session_present {
        mailbox.session = Some(Session::default());
        mailbox.cloud.session_lost();
    }
    if let Some(entry) = state.connections.history.last_mut() {
        entry.session_present = session_present;
    }
    let mut live = Live::new(
        number,
        packet.client_id.to_string(),
        packet.clean_session,
        sas_expires,
        silence_max(packet.keep_alive),
    );
    let connect = Packet::Connect(Box::new(packet.clone()));
    mailbox
        .packets
        .note(number, Direction::FromDevice, &connect, Instant::now());
    let mut link = Link {
        live: &mut live,
        mailbox,
    };
    link.send(acknowledgement(0, session_present));
    link.deliver_cloud_messages(core.settings.cloud_message_lock, Instant::now());
    if state.faults.close_after_connack {
        live.close("told to close after each CONNACK");
    }
    let wake = live.wake.clone();
    state.connections.live.insert(number, live);
    state.events.push(Event::Connected {
        device: device.public.as_ref().clone(),
    });
    Outcome::Accepted { number, wake }
}

pub(crate) fn acknowledgement(code: u8, session_present: bool) -> Packet {
    let return_code =
        ConnectAckReason::try_from(code).unwrap_or(ConnectAckReason::ServiceUnavailable);
    Packet::ConnectAck(ConnectAck {
        return_code,
        session_present,
    })
}

fn silence_max(keep_alive: u16) -> Duration {
    let seconds = if keep_alive == 0 {
        KEEP_ALIVE_SECONDS_MAX
    } else {
        keep_alive
    };
    Duration::from_millis(u64::from(seconds.min(KEEP_ALIVE_SECONDS_MAX)) * 1500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_carry_hub_device_and_api_version() {
        let ok = |name| is_user_name(name, "localhost:4430", "ws:dev1");
        assert!(ok("localhost:4430/ws:dev1/?api-version=2018-06-30"));
        assert!(ok("localhost/ws:dev1/?api-version=2018-06-30"));
        assert!(ok(
            "localhost/ws:dev1/?api-version=2018-06-30&DeviceClientType=x"
        ));
        assert!(ok(
            "localhost/ws:dev1/?DeviceClientType=x&api-version=2019-10-01"
        ));
        assert!(!ok("localhost/ws:dev1/?api-version=2015-01-01"));
        assert!(!ok("localhost/ws:dev1/?api-version=yyyy-mm-dd"));
        assert!(!ok("localhost/ws:dev1/?DeviceClientType=x"));
        assert!(!ok("elsewhere/ws:dev1/?api-version=2018-06-30"));
        assert!(!ok("localhost/ws:dev2/?api-version=2018-06-30"));
        assert!(!ok("localhost/ws:dev1/?api-version=2018-06-301"));
        assert!(!ok("localhost/ws:dev1"));
    }

    #[test]
    fn a_device_may_be_silent_for_one_and_a_half_keep_alives() {
        assert_eq!(silence_max(2), Duration::from_secs(3));
        assert_eq!(silence_max(0), silence_max(u16::MAX));
    }
}
