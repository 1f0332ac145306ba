//! When a tunnel counts as dead. Pure: time is passed in.

use std::time::{Duration, Instant};

/// After how long without a byte the relay is asked for a sign of life, and after how long it counts as gone.
const PING_AFTER: Duration = Duration::from_secs(30);
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(90);

/// When a tunnel was last seen alive.
pub(super) struct Life {
    heard_at: Instant,
    has_pinged: bool,
    used_at: Instant,
    idle_limit: Option<Duration>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing until then.
    Wait(Option<Instant>),
    Ping,
    RelaySilent,
    Idle(Duration),
}

impl Life {
    pub fn new(idle_limit: Option<Duration>, now: Instant) -> Life {
        Life {
            heard_at: now,
            has_pinged: false,
            used_at: now,
            idle_limit,
        }
    }

    /// The relay sent something.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.has_pinged = false;
    }

    /// Payload went one way or the other.
    pub fn used(&mut self, now: Instant) {
        self.used_at = now;
    }

    /// A relay that has closed its direction may answer no ping any more (RFC 6455, section 5.5.1), and one that is
    /// not read cannot be heard: `can_be_heard` is false for both.
    pub fn look(&mut self, can_be_heard: bool, now: Instant) -> Look {
        if let Some(limit) = self.idle_limit
            && now.saturating_duration_since(self.used_at) >= limit
        {
            return Look::Idle(limit);
        }
        // None for a limit beyond what the clock can say.
        let idle_due = self
            .idle_limit
            .and_then(|limit| self.used_at.checked_add(limit));
        if !can_be_heard {
            self.heard(now);
            return Look::Wait(idle_due);
        }
        let silence = now.saturating_duration_since(self.heard_at);
        if silence >= SILENCE_LIMIT {
            return Look::RelaySilent;
        }
        if silence >= PING_AFTER && !self.has_pinged {
            self.has_pinged = true;
            return Look::Ping;
        }
        let limit = if self.has_pinged {
            SILENCE_LIMIT
        } else {
            PING_AFTER
        };
        Look::Wait(idle_due.into_iter().chain([self.heard_at + limit]).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_relay_is_asked_once_and_then_counts_as_gone() {
        let begin = Instant::now();
        let mut life = Life::new(None, begin);
        assert_eq!(life.look(true, begin), Look::Wait(Some(begin + PING_AFTER)));
        assert_eq!(life.look(true, begin + PING_AFTER), Look::Ping);
        let end = begin + SILENCE_LIMIT;
        assert_eq!(life.look(true, begin + PING_AFTER), Look::Wait(Some(end)));
        assert_eq!(life.look(true, end), Look::RelaySilent);
        life.heard(end);
        assert_eq!(life.look(true, end), Look::Wait(Some(end + PING_AFTER)));
    }

    #[test]
    fn a_relay_that_has_closed_its_direction_or_is_not_read_owes_no_sign_of_life() {
        let begin = Instant::now();
        let mut life = Life::new(None, begin);
        let later = begin + 100 * SILENCE_LIMIT;
        assert_eq!(life.look(false, later), Look::Wait(None));
        // When it is read again, its time begins anew.
        assert_eq!(life.look(true, later), Look::Wait(Some(later + PING_AFTER)));
    }

    #[test]
    fn an_idle_limit_holds_whatever_the_relay_does() {
        let begin = Instant::now();
        let mut life = Life::new(Some(10 * SECOND), begin);
        life.used(begin + SECOND);
        let end = begin + 11 * SECOND;
        assert_eq!(life.look(false, begin + SECOND), Look::Wait(Some(end)));
        assert_eq!(life.look(true, end - SECOND), Look::Wait(Some(end)));
        assert_eq!(life.look(true, end), Look::Idle(10 * SECOND));
        assert_eq!(life.look(false, end), Look::Idle(10 * SECOND));
    }

    #[test]
    fn an_idle_limit_beyond_all_time_is_none() {
        let begin = Instant::now();
        let mut life = Life::new(Some(Duration::MAX), begin);
        assert_eq!(life.look(false, begin), Look::Wait(None));
        assert_eq!(life.look(true, begin), Look::Wait(Some(begin + PING_AFTER)));
    }
}
