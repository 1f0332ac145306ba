//! What is too old when its turn comes.

use super::lanes::with_lanes;
use super::*;

#[test]
fn what_is_too_old_when_its_turn_comes_is_deleted_and_what_is_in_flight_is_not() {
    let mut state = with_lanes(&[
        (Priority::Normal, 1),
        (Priority::Normal, 2),
        (Priority::Normal, 3),
        (Priority::Normal, 4),
        (Priority::Low, 5),
    ]);
    let is_old =
        |message: &Outgoing| [1, 2, 3].contains(&message.id) || lane::number(message.id) == 5;
    state.expire(1, &mut Turn::any(), |_| false);
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(1)
    );
    state.expire(1, &mut Turn::any(), is_old);
    assert!(
        state.begin_due_record().is_none(),
        "their turn has not come"
    );
    state.acknowledged(1);
    record_all(&mut state);
    state.expire(1, &mut Turn::any(), is_old);
    let record = state.begin_due_record().unwrap();
    assert_eq!(
        record.expired,
        [2, 3],
        "not those of a lane whose turn has not come"
    );
    assert!(record.deletes && record.is_synced);
    assert_eq!(record.deleted_rows(), [1, 2, 3], "and what was noted");
    assert!(
        state.take(1, &mut Turn::any()).is_none(),
        "a kill now, and a clock that is not set, would have them sent behind the next one"
    );
    assert!(
        state.take_behind(&mut Turn::any()).is_none(),
        "a witness neither"
    );
    assert!(
        !state.is_sent(Awaited::Message(3)),
        "not before it is recorded"
    );
    let expired = state.recorded(&record);
    let ids: Vec<i64> = expired.iter().map(|rows| rows.first).collect();
    assert_eq!(ids, [2, 3]);
    assert!(state.is_sent(Awaited::Message(3)));
    assert_eq!(state.pending().count, 2);
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(4)
    );
}

#[test]
fn a_change_of_lane_shares_the_record_of_what_has_expired() {
    let mut state = with_lanes(&[(Priority::Normal, 1), (Priority::Low, 2)]);
    state.expire(1, &mut Turn::any(), |message| message.id == 1);
    assert!(state.take(1, &mut Turn::any()).is_none());
    let record = state.begin_due_record().unwrap();
    assert_eq!(
        (&record.expired[..], record.lane),
        (&[1][..], Some(Priority::Low))
    );
    state.recorded(&record);
    let taken = state.take(1, &mut Turn::any());
    assert_eq!(taken.map(|it| lane::number(it.id)), Some(2));
}

#[test]
fn behind_a_restart_what_is_too_old_in_the_lane_that_goes_first_is_not_sent_either() {
    let low = |number| lane::id(Priority::Low, number);
    let mut state = State::new(Left {
        pending: Totals { count: 3, bytes: 3 },
        stored_through: 3,
        sent_from: Priority::Low,
    });
    let of = |priority, rows| Loaded {
        priority,
        rows,
        more: false,
    };
    let urgent = row(lane::id(Priority::Urgent, 3));
    state.loaded(vec![
        of(Priority::Urgent, vec![urgent]),
        of(Priority::Low, vec![row(low(1)), row(low(2))]),
    ]);
    state.expire(1, &mut Turn::any(), |message| message.id == low(1));
    let record = state.begin_due_record().unwrap();
    assert_eq!(record.expired, [low(1)]);
    state.recorded(&record);
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(low(2))
    );
}

#[test]
fn what_expired_and_could_not_be_deleted_is_tried_again_and_never_sent() {
    let mut state = with_lanes(&[(Priority::Normal, 1)]);
    state.expire(1, &mut Turn::any(), |_| true);
    let record = state.begin_due_record().unwrap();
    assert!(!state.record_failed(record));
    assert!(state.is_stalled());
    assert!(state.take(1, &mut Turn::any()).is_none());
    state.unstall();
    let again = state.begin_delete().unwrap();
    assert_eq!(again.expired, [1]);
    state.recorded(&again);
    assert_eq!(state.pending().count, 0);
}
