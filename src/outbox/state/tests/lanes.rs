//! Which lane goes next, and what is recorded before it does.

use super::*;

/// Messages with these numbers, each stored in its lane.
pub(super) fn with_lanes(messages: &[(Priority, i64)]) -> State {
    let mut state = State::default();
    for (priority, number) in messages {
        state.stored(lane::id(*priority, *number), &new_message(1));
    }
    state
}

/// What is taken next, by its number, when nothing is in flight; changes of lane are recorded.
fn send_next(state: &mut State, changes: &mut usize) -> Option<i64> {
    let message = match state.take(1, &mut Turn::any()) {
        Some(message) => message,
        None => {
            let record = state.begin_due_record()?;
            assert!(record.is_synced && record.lane.is_some(), "{record:?}");
            assert!(
                state.take(1, &mut Turn::any()).is_none(),
                "before it is recorded"
            );
            *changes += 1;
            state.recorded(&record);
            state.take(1, &mut Turn::any())?
        }
    };
    state.acknowledged(message.id);
    record_all(state);
    Some(lane::number(message.id))
}

#[test]
fn a_higher_lane_goes_first_and_each_lane_in_its_order() {
    let (urgent, low) = (Priority::Urgent, Priority::Low);
    let mut state = with_lanes(&[
        (low, 1),
        (Priority::Normal, 2),
        (urgent, 3),
        (low, 4),
        (urgent, 5),
        (Priority::Normal, 6),
    ]);
    let mut changes = 0;
    let sent: Vec<i64> = std::iter::from_fn(|| send_next(&mut state, &mut changes)).collect();
    assert_eq!(sent, [3, 5, 2, 6, 1, 4]);
    assert_eq!(changes, 3);
    assert!(state.is_sent(Awaited::All(6)));
}

#[test]
fn the_lane_changes_only_when_nothing_is_in_flight() {
    let (normal, urgent) = (Priority::Normal, Priority::Urgent);
    let mut state = with_lanes(&[(normal, 1), (normal, 2)]);
    assert!(state.take(2, &mut Turn::any()).is_some());
    let alarm = lane::id(urgent, 3);
    state.stored(alarm, &new_message(1));
    assert!(
        state.take(2, &mut Turn::any()).is_none(),
        "there is a place, but not for it"
    );
    assert!(state.begin_due_record().is_none());
    state.acknowledged(1);
    assert!(
        state.take(2, &mut Turn::any()).is_none(),
        "acknowledged, but not recorded"
    );
    record_all(&mut state);
    assert!(state.take(2, &mut Turn::any()).is_none());
    let change = state.begin_due_record().unwrap();
    assert_eq!(change.lane, Some(urgent));
    assert_eq!(change.noted, [1], "to be synced first");
    assert!(change.is_synced && !change.deletes);
    state.recorded(&change);
    assert_eq!(
        state.take(2, &mut Turn::any()).map(|message| message.id),
        Some(alarm)
    );
    assert!(
        state.take(2, &mut Turn::any()).is_none(),
        "nor back, before that is settled"
    );
}

#[test]
fn a_change_of_lane_that_failed_is_recorded_by_a_retry_and_nothing_is_sent_before() {
    let mut state = with_lanes(&[(Priority::High, 1)]);
    assert!(state.take(1, &mut Turn::any()).is_none());
    let change = state.begin_due_record().unwrap();
    assert!(!state.record_failed(change), "not at once");
    assert!(state.is_stalled());
    assert!(state.take(1, &mut Turn::any()).is_none());
    assert!(state.begin_due_record().is_none(), "not with each look");
    state.unstall();
    let again = state.begin_delete().unwrap();
    assert_eq!(again.lane, Some(Priority::High));
    state.recorded(&again);
    assert!(state.take(1, &mut Turn::any()).is_some());
}

#[test]
fn behind_a_restart_the_first_are_of_the_lane_that_was_sent_from_last() {
    let left = Left {
        pending: Totals { count: 4, bytes: 4 },
        stored_through: 4,
        sent_from: Priority::Low,
    };
    let rows = |priority, numbers: &[i64]| Loaded {
        priority,
        rows: numbers
            .iter()
            .map(|it| row(lane::id(priority, *it)))
            .collect(),
        more: false,
    };
    let mut state = State::new(left);
    state.loaded(vec![
        rows(Priority::Urgent, &[4]),
        rows(Priority::Low, &[1, 2, 3]),
    ]);
    let mut changes = 0;
    let sent: Vec<i64> = std::iter::from_fn(|| send_next(&mut state, &mut changes)).collect();
    assert_eq!(sent, [1, 4, 2, 3]);
    assert_eq!(changes, 2);

    let mut state = State::new(left);
    state.loaded(vec![
        rows(Priority::Urgent, &[4]),
        rows(Priority::Low, &[1, 2, 3]),
    ]);
    let taken = std::iter::from_fn(|| state.take(2, &mut Turn::any()))
        .map(|message| lane::number(message.id));
    assert_eq!(
        taken.collect::<Vec<_>>(),
        [1, 2],
        "as many as can have been in flight"
    );
}

#[test]
fn an_upload_holds_up_its_own_lane_alone() {
    let mut state = State::default();
    let upload = NewMessage {
        priority: Priority::High,
        body: NewBody::Upload(Bytes::from(vec![0; 300_000])),
        ..new_message(0)
    };
    let camera = lane::id(Priority::High, 1);
    state.stored(camera, &upload);
    state.stored(lane::id(Priority::High, 2), &new_message(1));
    state.stored(3, &new_message(1));
    assert_eq!(state.next_upload(|_| true), Some(camera));
    let mut changes = 0;
    assert_eq!(send_next(&mut state, &mut changes), Some(3));
    assert_eq!(send_next(&mut state, &mut changes), None);
    state.uploaded(camera, Bytes::from_static(b"link"));
    assert_eq!(send_next(&mut state, &mut changes), Some(1));
    assert_eq!(send_next(&mut state, &mut changes), Some(2));
}

#[test]
fn a_higher_lane_that_is_still_to_be_loaded_is_waited_for() {
    let mut state = with_lanes(&[(Priority::Bulk, 1)]);
    state.put_back(2, Totals { count: 1, bytes: 1 });
    assert!(state.begin_load());
    assert!(state.take(1, &mut Turn::any()).is_none());
    let urgent = lane::id(Priority::Urgent, 2);
    let each = |priority| Loaded {
        priority,
        rows: Vec::from_iter((priority == Priority::Urgent).then(|| row(urgent))),
        more: false,
    };
    state.loaded(Priority::ALL.into_iter().map(each).collect());
    let mut changes = 0;
    assert_eq!(send_next(&mut state, &mut changes), Some(2));
    assert_eq!(send_next(&mut state, &mut changes), Some(1));
}

#[test]
fn a_message_is_waited_for_in_its_lane_and_everything_in_all() {
    let urgent = lane::id(Priority::Urgent, 2);
    let mut state = with_lanes(&[(Priority::Normal, 1), (Priority::Urgent, 2)]);
    assert_eq!(send_next(&mut state, &mut 0), Some(2));
    assert!(state.is_sent(Awaited::Message(urgent)));
    assert!(!state.is_sent(Awaited::Message(1)));
    assert!(!state.is_sent(Awaited::All(2)), "the usual lane waits");
    assert_eq!(send_next(&mut state, &mut 0), Some(1));
    assert!(state.is_sent(Awaited::All(2)));
}

#[test]
fn a_lane_that_has_to_wait_is_passed_over_and_comes_first_again_when_it_may() {
    let (normal, urgent) = (Priority::Normal, Priority::Urgent);
    let mut state = with_lanes(&[(urgent, 1), (normal, 2), (normal, 3)]);
    let mut turn = Turn::holding(|lane| lane == urgent);
    assert_eq!(state.take(1, &mut turn).map(|message| message.id), Some(2));
    assert!(turn.held_until().is_some(), "there is one to wait for");
    state.acknowledged(2);
    record_all(&mut state);
    assert_eq!(send_next(&mut state, &mut 0), Some(1));
    assert_eq!(send_next(&mut state, &mut 0), Some(3));
    let mut turn = Turn::none();
    assert!(state.take(1, &mut turn).is_none());
    assert_eq!(turn.held_until(), None, "there is nothing to wait for");
}

#[test]
fn rows_of_a_lane_that_has_to_wait_need_not_be_loaded_before_a_lower_one_goes() {
    let (low, urgent) = (Priority::Low, Priority::Urgent);
    let mut state = State::new(left(Totals { count: 2, bytes: 2 }, 2));
    let more = |priority, rows, more| Loaded {
        priority,
        rows,
        more,
    };
    let lower = vec![row(lane::id(low, 1))];
    state.loaded(vec![
        more(urgent, Vec::new(), true),
        more(low, lower, false),
    ]);
    assert!(state.take(1, &mut Turn::any()).is_none());
    assert!(state.begin_due_record().is_none(), "it must not overtake");
    let mut turn = Turn::holding(|lane| lane == urgent);
    assert!(state.take(1, &mut turn).is_none());
    let change = state.begin_due_record().unwrap();
    assert_eq!(change.lane, Some(low));
}

#[test]
fn what_may_be_a_repeat_of_an_earlier_run_waits_only_for_the_pace_of_all() {
    let mut state = State::new(left(Totals::default(), 0));
    for (priority, number) in [(Priority::Normal, 1), (Priority::Urgent, 2)] {
        state.stored(lane::id(priority, number), &new_message(1));
    }
    assert!(state.take(1, &mut Turn::none()).is_none());
    let mut turn = Turn::holding(|lane| lane == Priority::Normal);
    assert_eq!(state.take(1, &mut turn).map(|message| message.id), Some(1));
}

#[test]
fn what_is_too_old_is_not_sent_from_below_a_lane_that_has_to_wait() {
    let mut state = with_lanes(&[(Priority::Urgent, 1), (Priority::Normal, 2)]);
    let mut turn = Turn::holding(|lane| lane == Priority::Urgent);
    state.expire(1, &mut turn, |message| message.id == 2);
    let record = state.begin_due_record().unwrap();
    assert_eq!(record.expired, [2]);
}

#[test]
fn who_bears_witness_may_be_of_another_lane_and_goes_behind_the_suspects() {
    let (normal, urgent) = (Priority::Normal, Priority::Urgent);
    let mut state = with_lanes(&[(normal, 1)]);
    assert!(state.take(1, &mut Turn::any()).is_some());
    let witness = lane::id(urgent, 2);
    state.stored(witness, &new_message(1));
    assert_eq!(
        state
            .take_behind(&mut Turn::any())
            .map(|message| message.id),
        Some(witness)
    );
    assert!(state.has_place(1, 1), "first taken, first sent");
    assert!(!state.has_place(witness, 1));
}

#[test]
fn who_was_to_bear_witness_is_sent_in_another_lane_only_when_that_is_recorded() {
    let (normal, urgent) = (Priority::Normal, Priority::Urgent);
    for window in [1, 4] {
        let mut state = with_lanes(&[(normal, 1)]);
        assert!(state.take(1, &mut Turn::any()).is_some());
        let witness = lane::id(urgent, 2);
        state.stored(witness, &new_message(1));
        state.stored(3, &new_message(1));
        assert_eq!(
            state
                .take_behind(&mut Turn::any())
                .map(|message| message.id),
            Some(witness)
        );
        assert_eq!(
            state
                .take_behind(&mut Turn::any())
                .map(|message| message.id),
            Some(3)
        );
        // The experiment came to nothing: all that is in flight is sent again, in the order in which it was taken.
        assert!(state.has_place(1, window));
        assert!(!state.has_place(witness, window), "two lanes in flight");
        assert!(state.begin_due_record().is_none());
        state.acknowledged(1);
        record_all(&mut state);
        // And each of another lane alone, behind the record of that.
        for (id, lane, other) in [(witness, urgent, Some(3)), (3, normal, None)] {
            assert!(!state.has_place(id, window));
            let record = state.begin_due_record().expect("a change of lane");
            assert_eq!(record.lane, Some(lane));
            assert!(record.is_synced);
            assert!(!state.has_place(id, window), "it is not recorded yet");
            assert!(state.begin_due_record().is_none(), "one is enough");
            state.recorded(&record);
            assert_eq!(state.sent_from(), lane);
            assert!(state.has_place(id, window));
            assert!(other.is_none_or(|other| !state.has_place(other, window)));
            assert!(state.begin_due_record().is_none());
            state.acknowledged(id);
            record_all(&mut state);
        }
    }
}
