//! The way to the Platform and what it says: each step needs the one before.

use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::board::{Board, Found};
use super::cause::Cause;
use super::clock;
use super::reaching::{Reached, Way};
use super::subject::Subject;
use crate::error::{Chain, Error};
use crate::http::agent::Agent;
use crate::http::api::Api;
use crate::http::hub_question::ask_hub;
use crate::http::registration::{HubCredentials, Registration};
use crate::http::time::Lifetime;
use crate::net::dial::Dialer;
use crate::net::host::{HTTPS_PORT, Host};
use crate::net::issuer::valid_until;
use crate::net::trust::{Trust, read_pem};
use crate::secret::Secret;
use crate::tool::{token_file, units};

const MQTT_PORT: u16 = 8883;
/// For each call.
const CALL: Duration = Duration::from_secs(4);

/// Everything about the Platform.
pub(super) fn check(subject: &Subject, board: &Board, deadline: Instant) {
    if let Some(path) = &subject.ca_file {
        board.check("ca file", || ca_file(path, subject.clock.wall_ms()));
    }
    if let Some(path) = &subject.token_file {
        board.check("provisioning token", || provisioning_token(path, subject));
    }
    let trust = Trust::load(subject.ca_file.as_deref(), subject.clock.clone());
    // Without the file, what else can be seen is seen.
    let trust = trust.or_else(|_| Trust::load(None, subject.clock.clone()));
    let trust = match trust {
        Ok(trust) => trust,
        Err(error) => {
            board.check("trust", || Found::unknown(error.chain().to_string()));
            return;
        }
    };
    let way = Way {
        proxies: subject.proxies.clone(),
        dialer: Dialer::new(subject.proxies.clone()),
        trust,
        deadline,
    };
    let reached = way.reach(board, "platform", subject.instance.host(), true);
    board.check("clock", || check_clock(subject, &reached));
    let mut hub = subject.hub.clone();
    if reached.is_whole {
        let agent = Agent::new(way.dialer.clone(), way.trust.clone());
        let api = Api::new(&subject.instance, agent.clone()).within(CALL);
        let registration = ask_platform(subject, board, &api);
        if let Some(registration) = registration {
            let credentials = registration.credentials;
            board.check("hub: password", || hub_password(&agent, &credentials));
            hub = Host::parse(&credentials.host_name, MQTT_PORT).ok().or(hub);
        }
    }
    reach_others(subject, board, &way, hub);
}

/// The hub, by both its ways, and the storage: at once.
fn reach_others(subject: &Subject, board: &Board, way: &Way, hub: Option<Host>) {
    let Some(hub) = hub else {
        board.check("hub", || {
            Found::note(
                "not known: the Platform names it to a device that it registers; or say --hub",
            )
        });
        return;
    };
    let https = Host {
        port: if hub.port == MQTT_PORT {
            HTTPS_PORT
        } else {
            hub.port
        },
        ..hub.clone()
    };
    let mut targets = vec![("hub", hub)];
    if https != targets[0].1 {
        targets.push(("hub by WebSocket", https));
    }
    if let Some(storage) = subject.storage.clone() {
        targets.push(("storage", storage));
    }
    let mut threads = Vec::new();
    for (what, host) in targets {
        let (way, of_board) = (way.clone(), board.clone());
        let work = move || {
            let reached = way.reach(&of_board, what, &host, false);
            if what == "hub" && !reached.is_whole {
                of_board.check("hub: port", || port_blocked(&host));
            }
        };
        match crate::threads::spawn("spotflow-reach", work) {
            Ok(thread) => threads.push(thread),
            Err(error) => drop(board.check(what, || Found::unknown(error.to_string()))),
        }
    }
    for thread in threads {
        // A panic in it was reported when it happened.
        drop(thread.join());
    }
}

fn port_blocked(host: &Host) -> Found {
    let Host { name, port } = host;
    let summary = format!("MQTT's port {port} of {name} is not to be had, while the Platform is");
    let advice = "have the firewall let it out, or leave the client's transport automatic: MQTT over WebSocket takes port 443";
    Found::finding(Cause::PortBlocked, summary, advice)
}

fn check_clock(subject: &Subject, reached: &Reached) -> Found {
    let wall_ms = subject.clock.wall_ms();
    match reached.met.as_ref().and_then(|met| met.time) {
        Some(time) => clock::compare(wall_ms, time, reached.is_whole),
        None => clock::alone(wall_ms).unwrap_or_else(|| {
            Found::unknown(format!(
                "the clock says {}, and nobody could be asked",
                units::time(wall_ms)
            ))
        }),
    }
}

/// What the Platform says to the device's token: it registers the device once more, as each start of a client does. That
/// uses nothing up, and the passwords from before stay valid.
fn ask_platform(subject: &Subject, board: &Board, api: &Api) -> Option<Registration> {
    let device = subject.device.as_ref();
    let Some(token) = device.and_then(|device| device.registration_token.clone()) else {
        board.check("platform: answer", || platforms_word(api));
        board.check("registration token", || {
            if subject.database.is_none() {
                return Found::note("not looked at: there is no --db");
            }
            if !subject.is_file_read {
                return Found::unknown("the file could not be read");
            }
            let advice = "start the device's program, and approve the device";
            Found::finding(
                Cause::NotRegistered,
                "the device is not registered yet",
                advice,
            )
        });
        return None;
    };
    let (_, registration) = board.check_with("registration token", || match api.register(&token) {
        Ok(registration) => (registered(&registration), Some(registration)),
        Err(error) => (not_registered(&error), None),
    });
    registration
}

/// Whether it is the Platform that answers: it refuses what is no token.
fn platforms_word(api: &Api) -> Found {
    match api.register(&Secret::new("no-token")) {
        Ok(_) | Err(Error::InvalidToken { .. }) => Found::well("it is the Platform that answers"),
        Err(error) => not_registered(&error),
    }
}

fn registered(registration: &Registration) -> Found {
    let device = &registration.credentials.device;
    let life = match registration.token_lifetime {
        Lifetime::Unlimited => "without an end".to_owned(),
        Lifetime::Unknown => "for a time that it does not tell".to_owned(),
        Lifetime::Remaining(left) => {
            let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            if left.is_zero() {
                let advice = "start the device's program, and approve the device";
                return Found::finding(Cause::TokenExpired, "it has expired", advice);
            }
            format!("for {} more", units::age(left_ms))
        }
    };
    Found::well(format!(
        "the Platform takes it {life}, for the device {device}"
    ))
}

fn not_registered(error: &Error) -> Found {
    let with = |cause, advice| Found::finding(cause, Chain(error).to_string(), advice);
    match error {
        Error::InvalidToken { .. } => Found::finding(
            Cause::TokenRefused,
            "the Platform does not accept it: it was revoked, or the device was deleted",
            "start the device's program, and approve the device anew",
        ),
        Error::Unavailable { status: 423, .. } => with(
            Cause::WorkspaceDisabled,
            "the Workspace is disabled: enable it on the Platform",
        ),
        Error::Unavailable { status: 429, .. } => with(
            Cause::Throttled,
            "it passes; look for programs that start over and over, and devices with one identity",
        ),
        Error::Protocol { .. } => with(
            Cause::CaptivePortal,
            "somebody answers in the Platform's place: log in at the network's portal, or have the proxy let this host through",
        ),
        Error::Unavailable { .. } | Error::Refused { .. } => with(
            Cause::PlatformFails,
            "it is the Platform's: wait, or tell its support",
        ),
        _ => with(Cause::Unreachable, "look at the network"),
    }
}

/// Whether the hub takes the password that the Platform has just issued.
fn hub_password(agent: &Agent, credentials: &HubCredentials) -> Found {
    let status = match ask_hub(agent, credentials, CALL) {
        Ok(status) => status,
        Err(error) => {
            return Found::note(format!("not asked, over HTTPS: {}", Chain(&error)));
        }
    };
    match status {
        // That it knows no such upload it says only to a device that it knows.
        200..=299 | 400 | 404 => Found::well("the hub takes it"),
        401 => Found::finding(
            Cause::HubRefuses,
            "the hub does not take the password that the Platform issued",
            "look whether the device is disabled at its hub",
        ),
        403 => Found::finding(
            Cause::QuotaExceeded,
            "the hub refuses the device (403): its quota for today is used up, or the device is disabled",
            "look at the hub's quota",
        ),
        429 => Found::finding(
            Cause::Throttled,
            "the hub throttles (429): it has more to do than it was paid for",
            "send less or in larger Messages, or have a larger hub",
        ),
        status => Found::unknown(format!("the hub answers with HTTP status {status}")),
    }
}

/// The Provisioning Token: only beginning an operation would show whether the Platform takes it.
fn provisioning_token(path: &Path, subject: &Subject) -> Found {
    let token = match token_file::read(path) {
        Ok(token) => token,
        Err(failure) => {
            let advice = "put the Provisioning Token into the file, and nothing else";
            return Found::finding(Cause::NotRegistered, failure.to_string(), advice);
        }
    };
    match &subject.device {
        Some(device) if device.provisioning_token != token => Found::note(
            "it is another than at the last start: the next start needs another approval",
        ),
        Some(_) => Found::well("it is the one of the last start"),
        None => Found::note(
            "whether the Platform takes it cannot be told without beginning a Provisioning Operation",
        ),
    }
}

fn ca_file(path: &Path, now_ms: i64) -> Found {
    let advice = "name a PEM file with the certificates of today's authorities";
    let pem = match read_pem(path) {
        Ok(pem) => pem,
        Err(error) => {
            let summary = format!("{}: {error}", path.display());
            return Found::finding(Cause::CaFile, summary, advice);
        }
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let Some(certificates) = certificates.ok().filter(|found| !found.is_empty()) else {
        let summary = format!("{}: it holds no PEM certificates", path.display());
        return Found::finding(Cause::CaFile, summary, advice);
    };
    let ends = certificates.iter().filter_map(|it| valid_until(it));
    let ends: Vec<i64> = ends.collect();
    let now = now_ms.div_euclid(1000);
    let expired = ends.iter().filter(|end| **end < now).count();
    let (count, last) = (certificates.len(), ends.iter().max());
    let last = last.map_or_else(String::new, |end| units::time(end.saturating_mul(1000)));
    if expired == count {
        let summary = format!("all {count} certificates have expired, the last on {last}");
        return Found::finding(Cause::CaExpired, summary, advice);
    }
    let summary =
        format!("{count} certificates, {expired} of them expired, the last expires on {last}");
    Found::well(summary)
}
