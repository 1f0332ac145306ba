//! Which Message is to blame when the hub closes the connection, if any is. Pure: times and what
//! happened in, what may be sent out.
//!
//! A flapping network closes connections whatever is sent, and so do a hub that restarts, throttles or
//! has used up its quota, and another client under the same Device ID. So that a Message is not blamed
//! for their doing, it takes an experiment with two controls:
//!
//! ```text
//! free ── closed 3 times in a row with the same Message as the oldest in flight ──┐
//!  ^                                                                              v
//!  │   1 hold    no Message is sent until the connection has lasted for some time, a minute at
//!  │             most; the hub has answered everything, at last a ping
//!  │   2 probe   the suspect is sent, and nothing else: it goes out whole, and the hub closes the
//!  │             stream in order, without an acknowledgement. This is a refusal.
//!  │   3 witness after 5 clear refusals, at once, on the next connection: the Message behind it is sent
//!  │             alone. Acknowledged: the suspect is set aside. Refused: it is a suspect, too. Then
//!  │             after twice as many refusals of the first, all suspects are probed, oldest first,
//!  │             and those refused a second time have the next one for a witness; and so on.
//!  └── anything else: a connection that cannot be made, that breaks in another way or without the
//!      suspect being sent, a request that is not answered; or the suspect is acknowledged
//! ```
//!
//! - The hold tells a refusal from a network that closes every now and then: such a one would have
//!   closed during the hold. It is random, so that nothing periodic coincides with the probe. It is never longer
//!   than a minute, as the suspect may be innocent. So a refusal is the clearer, the sooner it follows the probe;
//!   one that comes late says less, and more of them are needed.
//! - The witness tells it from a hub that takes no Messages at all. It overtakes only what is then set
//!   aside, so the order is kept.
//! - Where nobody can bear witness (nothing waits behind, or so many in a row are refused that it
//!   looks like the hub), time has to: longer than the hub's quotas, which are of a day.
//! - A Message that is acknowledged after all was innocent of the losses before. Each such loss makes
//!   one more refusal necessary, until others go through at once.
//!
//! What can still mislead it is not a network but a hub: one that for minutes does everything except take
//! Messages, and begins to take them again in just the moment between the refusals and the witness
//! (witnesses are heard ever more rarely, so the longer it lasts the less likely that is); or one that
//! for hours takes hardly any Message, at random, and does everything else.

use std::time::Duration;

use crate::clock::Moment;

/// So many losses in a row with the same oldest Message in flight begin a trial; after a trial that
/// came to nothing twice as many, up to the limit, as holding costs a bad connection's best time.
const LOSSES: u32 = 3;
const LOSSES_MAX: u32 = 24;
/// Refusals of the first suspect before a witness is heard, on a hub and network that have not closed
/// innocent Messages.
const REFUSALS: u32 = 5;
/// Refusals of those behind it, each right after a refusal of all before.
const REFUSALS_BEHIND: u32 = 2;
/// Innocent losses count up to this, and one is forgotten for so many Messages sent at once.
const INNOCENT_MAX: u32 = 60;
const FORGET_AFTER: u32 = 16;
/// No Message is held back longer than this before the probe.
const HELD_MAX: Duration = Duration::from_secs(60);
/// For how long a connection is held in a round, or up to twice as long: what is left of `HELD_MAX` is for the answers.
const HOLD_MAX: Duration = Duration::from_secs(25);
/// A refusal is clear if the hold was so many times as long as the suspect ever survived.
const CLEAR: f64 = 20.0;
/// With less than this it says nothing.
const UNCLEAR: f64 = 2.0;
/// Before a witness is heard, everything must be answered within this time.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// More than so many in a row look like a hub that takes nothing.
const SUSPECTS_MAX: usize = 8;
/// Without a witness: longer than the hub's quotas, which are of a day, can last.
const WITHOUT_WITNESS: Duration = Duration::from_secs(25 * 3600);

/// What the link may send of Messages now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All, as the window allows.
    All,
    /// None.
    Nothing,
    /// None, and the hub is to be pinged.
    Ping,
    /// Only the one in flight at this place, counted from the oldest.
    One(usize),
    /// None of these again: they are set aside.
    SetAside(Vec<Verdict>),
}

/// How a connection ended that the hub had accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By the hub, in order, after all that was written went out.
    Closed,
    /// By the other end of the line, but not like that.
    Broken,
    /// In any other way.
    Failed,
}

/// A Message that is to be set aside, and the evidence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub id: i64,
    pub refusals: u32,
    /// From the first loss to the last.
    pub time: Duration,
    /// Whether the hub took the Message behind it.
    pub witness: bool,
}

/// The experiment, over all connections of a client.
pub(super) struct Suspects {
    /// For how long a connection is held in a round, or up to twice as long.
    hold: Duration,
    random: fastrand::Rng,
    trouble: Option<Trouble>,
    losses_needed: u32,
    innocent_losses: u32,
    sent_at_once: u32,
    trial: Option<Trial>,
    phase: Phase,
}

/// The oldest Message in flight when connections were lost.
struct Trouble {
    id: i64,
    since: Moment,
    in_a_row: u32,
    total: u32,
}

struct Trial {
    /// Refused so far, oldest first: those at the first places in flight.
    suspects: Vec<Suspect>,
    /// At so many clear refusals of the first, those behind are probed.
    hear_at: u32,
    /// Whom this connection is for.
    place: usize,
    /// Whom the next connection is for, if it follows at once.
    next_place: usize,
    /// How long the connection at the beginning of the round was held.
    held: Duration,
    survived_longest: Duration,
}

struct Suspect {
    id: i64,
    refusals: u32,
    /// So many clear refusals are they worth.
    evidence: f64,
    since: Moment,
}

/// Where the present connection is.
#[derive(Clone, Copy)]
enum Phase {
    Free,
    Holding { until: Moment, by: Moment },
    Settling { by: Moment },
    Pinged { by: Moment },
    Probing { since: Moment },
}

impl Trial {
    /// What a refusal says now, where a clear one is 1: how much less likely it is than the hold that a network
    /// closes within what the suspect survives, by orders of magnitude.
    fn evidence(&self) -> Option<f64> {
        let ratio = self.held.as_secs_f64() / self.survived_longest.as_secs_f64();
        (ratio >= UNCLEAR).then(|| (ratio.ln() / CLEAR.ln()).min(1.0))
    }

    /// Counts a refusal, and decides whether the next one behind is probed in the same round.
    fn refused(&mut self, id: i64, evidence: f64, now: Moment) {
        if self.place == self.suspects.len() {
            self.suspects.push(Suspect {
                id,
                refusals: 0,
                evidence: 0.0,
                since: now,
            });
        }
        let Some(suspect) = self.suspects.get_mut(self.place) else {
            return;
        };
        suspect.refusals += 1;
        suspect.evidence += evidence;
        let needed = match self.place {
            0 => self.hear_at,
            _ => REFUSALS_BEHIND,
        };
        let goes_on = suspect.evidence >= f64::from(needed);
        if goes_on {
            self.next_place = self.place + 1;
        }
        // Nobody who could bear witness is left, for this time.
        if self.place > 0 && (!goes_on || self.next_place == SUSPECTS_MAX) {
            self.hear_at *= 2;
        }
    }
}

impl Suspects {
    /// The connection's keep-alive says how patient the device is: half of it, up to a limit, is what a connection
    /// has to last without the suspect.
    pub fn new(keep_alive: Duration, random: fastrand::Rng) -> Suspects {
        Suspects {
            hold: (keep_alive / 2).min(HOLD_MAX),
            random,
            trouble: None,
            losses_needed: LOSSES,
            innocent_losses: 0,
            sent_at_once: 0,
            trial: None,
            phase: Phase::Free,
        }
    }

    /// Whether a Message is being tried.
    pub fn is_trying(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether the next connection is to follow at once, for a witness.
    pub fn wants_witness(&self) -> bool {
        self.trial
            .as_ref()
            .is_some_and(|trial| trial.next_place > 0)
    }

    /// Whether other requests are to wait, because a Message is probed.
    pub fn wants_silence(&self) -> bool {
        matches!(self.phase, Phase::Pinged { .. } | Phase::Probing { .. })
    }

    /// When [`step`](Self::step) has something to do by the clock alone.
    pub fn next_due(&self) -> Option<Moment> {
        match self.phase {
            Phase::Free | Phase::Probing { .. } => None,
            Phase::Holding { until, .. } => Some(until),
            Phase::Settling { by } | Phase::Pinged { by } => Some(by),
        }
    }

    /// The hub accepted a connection.
    pub fn connected(&mut self, now: Moment) {
        let Some(trial) = &mut self.trial else {
            self.phase = Phase::Free;
            return;
        };
        trial.place = std::mem::take(&mut trial.next_place);
        match trial.place {
            0 => self.begin_round(now),
            _ => {
                let by = now + SETTLE_LIMIT;
                self.phase = Phase::Settling { by };
            }
        }
    }

    /// Holds: shortly at first, as most suspects are innocent.
    fn begin_round(&mut self, now: Moment) {
        let Some(trial) = &mut self.trial else { return };
        trial.place = 0;
        let refusals = trial.suspects.first().map_or(0, |first| first.refusals);
        let usual = self.hold * (refusals + 1).min(REFUSALS) / REFUSALS;
        let clear = trial.survived_longest.mul_f64(CLEAR);
        let least = usual.max(clear).min(self.hold);
        trial.held = least.mul_f64(1.0 + self.random.f64());
        self.phase = Phase::Holding {
            until: now + trial.held,
            by: now + HELD_MAX,
        };
    }

    /// What may be sent on the connection that stands. `settled`: the hub has answered all, and taken
    /// part in everything but Messages. `exists` tells whether there is a Message at a place in flight;
    /// one that nothing was sent of yet may be taken in for that.
    pub fn step(&mut self, now: Moment, settled: bool, exists: impl FnOnce(usize) -> bool) -> Step {
        if let Phase::Holding { until, by } = self.phase
            && now >= until
        {
            self.phase = Phase::Settling { by };
        }
        match self.phase {
            Phase::Free => Step::All,
            Phase::Holding { .. } | Phase::Probing { .. } => Step::Nothing,
            Phase::Settling { by } if settled && self.is_at_first() => {
                self.phase = Phase::Pinged { by };
                Step::Ping
            }
            Phase::Settling { .. } | Phase::Pinged { .. } if settled => self.probe(now, exists),
            Phase::Settling { by } | Phase::Pinged { by } if now < by => Step::Nothing,
            Phase::Settling { .. } | Phase::Pinged { .. } => {
                self.give_up();
                Step::All
            }
        }
    }

    fn is_at_first(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.place == 0)
    }

    fn probe(&mut self, now: Moment, exists: impl FnOnce(usize) -> bool) -> Step {
        let Some(trial) = &self.trial else {
            return Step::All;
        };
        let place = trial.place;
        if place < SUSPECTS_MAX && exists(place) {
            self.phase = Phase::Probing { since: now };
            return Step::One(place);
        }
        let last = trial.suspects.last();
        if last.is_some_and(|last| now.since(last.since) >= WITHOUT_WITNESS) {
            return Step::SetAside(self.convict(place, false, now));
        }
        self.begin_round(now);
        Step::Nothing
    }

    /// The hub acknowledged a Message; returns which are set aside, as it was their witness.
    pub fn acknowledged(&mut self, id: i64, now: Moment) -> Vec<Verdict> {
        if let (Some(trial), Phase::Probing { .. }) = (&self.trial, self.phase)
            && trial.place > 0
        {
            return self.convict(trial.place, true, now);
        }
        self.phase = Phase::Free;
        self.trial = None;
        match self.trouble.take_if(|trouble| trouble.id == id) {
            Some(trouble) => {
                self.losses_needed = LOSSES;
                self.innocent_losses = INNOCENT_MAX.min(self.innocent_losses + trouble.total);
            }
            None => {
                self.sent_at_once += 1;
                if self.sent_at_once >= FORGET_AFTER {
                    self.sent_at_once = 0;
                    self.innocent_losses = self.innocent_losses.saturating_sub(1);
                }
            }
        }
        Vec::new()
    }

    /// Ends the trial: those before `place` are to blame.
    fn convict(&mut self, place: usize, witness: bool, now: Moment) -> Vec<Verdict> {
        self.phase = Phase::Free;
        self.losses_needed = LOSSES;
        let since = self.trouble.take().map(|trouble| trouble.since);
        let suspects = self.trial.take().map(|trial| trial.suspects);
        let suspects = suspects.unwrap_or_default().into_iter();
        let convicted = suspects.take(place).enumerate();
        convicted
            .map(|(place, suspect)| Verdict {
                id: suspect.id,
                refusals: suspect.refusals,
                time: now.since(since.filter(|_| place == 0).unwrap_or(suspect.since)),
                witness,
            })
            .collect()
    }

    /// The connection was lost; `oldest` is the oldest Message that was sent on it and not
    /// acknowledged. Returns whether this was a refusal: then the next connection may follow at once.
    pub fn lost(&mut self, end: End, oldest: Option<i64>, now: Moment) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Free) {
            Phase::Free => {
                self.lost_freely(end, oldest, now);
                false
            }
            Phase::Probing { since } if end == End::Closed => self.lost_probing(since, oldest, now),
            _ => {
                self.give_up();
                false
            }
        }
    }

    fn lost_freely(&mut self, end: End, oldest: Option<i64>, now: Moment) {
        let (Some(id), End::Closed | End::Broken) = (oldest, end) else {
            self.not_connected();
            return;
        };
        let trouble = match &mut self.trouble {
            Some(trouble) if trouble.id == id => trouble,
            other => other.insert(Trouble {
                id,
                since: now,
                in_a_row: 0,
                total: 0,
            }),
        };
        trouble.in_a_row += 1;
        trouble.total += 1;
        if trouble.in_a_row >= self.losses_needed {
            self.trial = Some(Trial {
                suspects: Vec::new(),
                hear_at: REFUSALS + self.innocent_losses,
                place: 0,
                next_place: 0,
                held: Duration::ZERO,
                survived_longest: Duration::ZERO,
            });
        }
    }

    fn lost_probing(&mut self, since: Moment, oldest: Option<i64>, now: Moment) -> bool {
        let (Some(trial), Some(id)) = (&mut self.trial, oldest) else {
            return false;
        };
        let survived = now.since(since);
        trial.survived_longest = trial.survived_longest.max(survived);
        let Some(evidence) = trial.evidence() else {
            return false;
        };
        trial.refused(id, evidence, now);
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.id == id) {
            trouble.total += 1;
        }
        true
    }

    /// A connection could not be made, or ended with no Message to blame.
    pub fn not_connected(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.in_a_row = 0;
        }
        if self.trial.is_some() {
            self.give_up();
        }
    }

    /// The control failed.
    fn give_up(&mut self) {
        self.phase = Phase::Free;
        self.trial = None;
        self.losses_needed = LOSSES_MAX.min(self.losses_needed * 2);
        if let Some(trouble) = &mut self.trouble {
            trouble.in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests;
