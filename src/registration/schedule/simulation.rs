//! Weeks of a device's life: offline spells, nights in suspension, a wall clock that jumps, and a
//! Platform that draws how long what it issues is valid. All that the device gets from it are the texts
//! of its answers.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::*;
use crate::http::registration::RegistrationAnswer;
use crate::http::time::{Lifetime, ServerTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The server's time when a simulation begins.
const EPOCH: u64 = 1_800_000_000;

/// Who knows the right time, in seconds since the device booted.
struct Platform {
    sas_life: u64,
    /// `None`: it does not expire.
    token_life: Option<u64>,
    token_expires: Option<u64>,
    sas_expires: u64,
}

impl Platform {
    fn date(now: u64) -> Option<ServerTime> {
        Some(ServerTime((EPOCH + now) as i64))
    }

    /// What a registration is answered with; `None` if the token has expired.
    fn register(&mut self, now: u64) -> Option<(Option<Duration>, Lifetime)> {
        if self.token_expires.is_some_and(|end| now >= end) {
            return None;
        }
        self.sas_expires = now + self.sas_life;
        let mut answer = json!({
            "connectionString": format!(
                "HostName=h;DeviceId=w:d;SharedAccessSignature=SharedAccessSignature sr=x&sig=y&se={}",
                EPOCH + self.sas_expires
            ),
        });
        if let Some(end) = self.token_expires {
            let left = end - now;
            let (days, hours) = (left / DAY, left / HOUR % 24);
            let (minutes, seconds) = (left / MINUTE % 60, left % MINUTE);
            let text = format!("{days}.{hours:02}:{minutes:02}:{seconds:02}");
            answer["tokenRemainingLifetime"] = text.into();
        }
        let answer: RegistrationAnswer = serde_json::from_value(answer).unwrap();
        let registration = answer.interpret(Platform::date(now)).unwrap();
        Some((
            registration.credentials.lifetime,
            registration.token_lifetime,
        ))
    }

    fn refresh(&mut self, now: u64) -> Option<Lifetime> {
        if self.token_expires.is_some_and(|end| now >= end) {
            return None;
        }
        self.token_expires = self.token_life.map(|life| now + life);
        let expiry = self
            .token_expires
            .map(|end| ServerTime((EPOCH + end) as i64));
        Some(match expiry {
            None => Lifetime::Unlimited,
            expiry => Lifetime::until(expiry, Platform::date(now)),
        })
    }
}

/// When something was impossible: asleep, or offline.
#[derive(Default)]
struct Hindrances(Vec<(u64, u64)>);

impl Hindrances {
    /// Whether it was possible to act somewhere between the two, for longer than a back-off lasts.
    fn left_time(&self, from: u64, to: u64) -> bool {
        let hindered: u64 = self
            .0
            .iter()
            .map(|(begin, end)| (*end).min(to).saturating_sub((*begin).max(from)))
            .sum();
        to.saturating_sub(from) > hindered + 3 * MINUTE
    }
}

#[derive(Debug, Default)]
struct Calls {
    registrations: u64,
    refreshes: u64,
    failures: u64,
}

/// Lives for `end` seconds; returns the calls that it took.
fn live(random: &mut Rng, end: u64) -> Calls {
    let mut platform = Platform {
        sas_life: random.u64(10 * MINUTE..2 * DAY),
        token_life: random.bool().then(|| random.u64(HOUR..60 * DAY)),
        token_expires: None,
        sas_expires: 0,
    };
    platform.token_expires = platform.token_life;
    let at = |now: u64| Moment::START + Duration::from_secs(now);
    let mut schedule = Schedule::register_at_once(Moment::START);
    let (mut now, mut offline_until) = (0, 0);
    let mut hindrances = Hindrances::default();
    let mut calls = Calls::default();
    let mut registered_at = 0;
    while now < end {
        let due = schedule.take_due(at(now));
        let offline = now < offline_until;
        if due.register {
            if offline {
                calls.failures += 1;
                schedule.registration_failed(false, at(now), random.f64());
            } else {
                let half = registered_at + (platform.sas_expires - registered_at) / 2;
                let was_possible = hindrances.left_time(half, platform.sas_expires);
                assert!(
                    now <= platform.sas_expires || !was_possible,
                    "the SAS expired at {}, and it is {now}",
                    platform.sas_expires
                );
                calls.registrations += 1;
                let Some((sas, token)) = platform.register(now) else {
                    // The token: checked below. The device is provisioned anew, or was lost.
                    return calls;
                };
                registered_at = now;
                schedule.registered(at(now), sas, token.remaining());
            }
        }
        if due.refresh {
            if offline {
                calls.failures += 1;
                schedule.refresh_failed(at(now), random.f64());
            } else {
                calls.refreshes += 1;
                if let Some(lifetime) = platform.refresh(now) {
                    schedule.refreshed(at(now), lifetime.remaining());
                }
            }
        }
        if let (Some(token_end), Some(life)) = (platform.token_expires, platform.token_life) {
            let was_possible = hindrances.left_time(token_end - life / 2, token_end);
            assert!(
                now < token_end || !was_possible,
                "the token expired at {token_end}"
            );
        }
        // What happens next: something is due, the machine sleeps, the network goes.
        let next = schedule
            .next_due()
            .map(|due| due.since(Moment::START).as_secs() + 1);
        let next = next.unwrap_or(u64::MAX).max(now + 1);
        let event = now + random.u64(1..6 * HOUR);
        if next <= event {
            now = next;
            continue;
        }
        now = event;
        let length = random.u64(1..2 * DAY);
        match random.u8(0..3) {
            // The timers stand still, and the wall clock may come back as anything: nothing here
            // knows. What is due is seen right after.
            0 => {
                hindrances.0.push((now, now + length));
                now += length;
            }
            1 if now >= offline_until => {
                offline_until = now + length;
                hindrances.0.push((now, offline_until));
            }
            _ => {}
        }
    }
    calls
}

#[test]
fn what_the_platform_issued_is_renewed_in_time_and_not_more_often_than_needed() {
    let mut random = Rng::with_seed(spotflow_fuzz::seed());
    for _ in 0..500 {
        let weeks = 8;
        let calls = live(&mut random, weeks * 7 * DAY);
        // A SAS of 10 minutes is renewed every 5; a token of an hour every half.
        assert!(
            calls.registrations <= weeks * 7 * DAY / (5 * MINUTE) + 1,
            "{calls:?}"
        );
        assert!(
            calls.refreshes <= weeks * 7 * DAY / (HOUR / 2) + 1,
            "{calls:?}"
        );
        // Registration and refresh, each 20 to 30 s apart on average when the network is away for long.
        assert!(calls.failures <= 2 * weeks * 7 * DAY / 25, "{calls:?}");
    }
}
