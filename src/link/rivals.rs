//! Whether another client with the same Device ID takes the connection away, each time: pure.
//!
//! A hub keeps one connection of a device: a newer one closes the older. It does not say so; but a network breaks
//! connections in other ways, a hub that restarts refuses the next one, one that throttles closes before it has
//! answered, and one that does not take a Message closes on that.

use std::time::Duration;

use crate::clock::Moment;

/// So many in a row are no accident.
const IN_A_ROW: u32 = 3;
/// Clients that take it from each other wait a minute at most before they do.
const LASTED_MAX: Duration = Duration::from_secs(120);
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How a connection ended that the hub had accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub lasted: Duration,
    /// By the hub, in order.
    pub is_closed: bool,
    /// The hub had answered everything.
    pub is_settled: bool,
}

/// The connections so far.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    in_a_row: u32,
    told_at: Option<Moment>,
}

impl Rivals {
    /// A connection ended; returns whether it looks as if another client had taken it.
    pub fn lost(&mut self, loss: Loss) -> bool {
        if !loss.is_closed || loss.lasted > LASTED_MAX {
            self.in_a_row = 0;
            return false;
        }
        // In the midst of an exchange the end may have another reason, or the same.
        if loss.is_settled {
            self.in_a_row += 1;
        }
        loss.is_settled && self.in_a_row >= IN_A_ROW
    }

    /// A connection could not be made: the hub or the network has troubles of its own.
    pub fn not_connected(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether it is time to say so (again).
    pub fn may_tell(&mut self, now: Moment) -> bool {
        let may_tell = self
            .told_at
            .is_none_or(|told_at| now.since(told_at) >= TELL_EVERY);
        if may_tell {
            self.told_at = Some(now);
        }
        may_tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Loss = Loss {
        lasted: Duration::from_secs(5),
        is_closed: true,
        is_settled: true,
    };

    #[test]
    fn three_connections_in_a_row_that_were_closed_for_no_other_reason_were_taken() {
        let mut rivals = Rivals::default();
        assert_eq!(
            [TAKEN; 4].map(|it| rivals.lost(it)),
            [false, false, true, true]
        );
    }

    #[test]
    fn what_ends_otherwise_begins_the_count_anew() {
        let broken = Loss {
            is_closed: false,
            ..TAKEN
        };
        let long = Loss {
            lasted: Duration::from_secs(121),
            ..TAKEN
        };
        for other in [broken, long] {
            let mut rivals = Rivals::default();
            let lost = [TAKEN, TAKEN, other, TAKEN, TAKEN, TAKEN].map(|it| rivals.lost(it));
            assert_eq!(lost, [false, false, false, false, false, true], "{other:?}");
        }
        let mut rivals = Rivals::default();
        rivals.lost(TAKEN);
        rivals.lost(TAKEN);
        rivals.not_connected();
        assert!(!rivals.lost(TAKEN));
    }

    #[test]
    fn one_that_ends_in_the_midst_of_an_exchange_says_nothing() {
        let amid = Loss {
            is_settled: false,
            ..TAKEN
        };
        let mut rivals = Rivals::default();
        let lost = [amid, amid, amid, TAKEN, amid, TAKEN, amid, TAKEN].map(|it| rivals.lost(it));
        assert_eq!(
            lost,
            [false, false, false, false, false, false, false, true]
        );
    }

    #[test]
    fn it_is_told_once_a_minute_at_most() {
        let mut rivals = Rivals::default();
        let told = [0, 1, 59, 60, 61, 119, 120]
            .map(|seconds| rivals.may_tell(Moment::START + Duration::from_secs(seconds)));
        assert_eq!(told, [true, false, false, true, false, false, true]);
    }
}
