use super::*;
use crate::identity::HubDeviceId;
use crate::message::outgoing::Body;
use crate::outbox::new_message::NewBody;
use crate::outbox::ready::READY_COUNT;
use crate::outbox::records::ACKNOWLEDGEMENTS_PER_SYNC;
use crate::store::Durability;

fn new_message(bytes: usize) -> NewMessage {
    NewMessage {
        priority: Priority::Normal,
        stored_at_ms: 0,
        properties: String::new(),
        body: NewBody::Inline(Bytes::from(vec![0; bytes])),
    }
}

fn row(id: i64) -> Outgoing {
    Outgoing {
        id,
        stored_at_ms: 0,
        properties: String::new(),
        body: Body::Inline(Bytes::from_static(b"x")),
    }
}

fn left(pending: Totals, stored_through: i64) -> Left {
    Left {
        pending,
        stored_through,
        sent_from: Priority::Normal,
    }
}

fn loaded(rows: Vec<Outgoing>, more: bool) -> Vec<Loaded> {
    vec![Loaded {
        priority: Priority::Normal,
        rows,
        more,
    }]
}

fn with_stored(count: i64) -> State {
    let mut state = State::default();
    (1..=count).for_each(|id| state.stored(id, &new_message(1)));
    state
}

fn record_all(state: &mut State) {
    let record = state.begin_record().expect("something to record");
    state.recorded(&record);
}

#[test]
fn the_window_has_its_place_back_only_after_the_record() {
    let mut state = with_stored(2);
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(1)
    );
    assert!(state.take(1, &mut Turn::any()).is_none());
    state.acknowledged(1);
    let record = state.begin_record().unwrap();
    assert!(
        state.take(1, &mut Turn::any()).is_none(),
        "acknowledged, but not recorded"
    );
    state.recorded(&record);
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(2)
    );
}

#[test]
fn a_failed_record_keeps_the_place_and_is_made_again() {
    let mut state = with_stored(2);
    state.take(1, &mut Turn::any());
    state.acknowledged(1);
    let failed = state.begin_record().unwrap();
    state.record_failed(failed);
    assert!(state.is_stalled());
    assert!(state.take(1, &mut Turn::any()).is_none());
    assert!(!state.is_sent(Awaited::All(1)));
    record_all(&mut state);
    assert!(state.is_sent(Awaited::All(1)));
    assert_eq!(state.pending().count, 1);
}

fn set_aside(id: i64) -> SetAside {
    SetAside {
        id,
        reason: String::new(),
        identity: HubDeviceId {
            workspace_id: String::new(),
            device_id: String::new(),
        },
        now_ms: 0,
    }
}

#[test]
fn a_refused_message_is_recorded_with_the_acknowledgement_of_the_one_behind_it() {
    let mut state = with_stored(3);
    state.take(1, &mut Turn::any());
    assert!(state.take(1, &mut Turn::any()).is_none());
    assert_eq!(
        state
            .take(usize::MAX, &mut Turn::any())
            .map(|message| message.id),
        Some(2)
    );
    state.set_aside_taken(set_aside(1));
    state.acknowledged(2);
    let record = state.begin_record().expect("something to record");
    assert_eq!(record.ids().collect::<Vec<_>>(), [2, 1]);
    assert_eq!(record.durability(), Durability::PowerSafe);
    assert!(!state.is_sent(Awaited::All(1)));
    state.record_failed(record);
    state.unstall();
    record_all(&mut state);
    assert!(state.is_sent(Awaited::All(2)));
    assert_eq!(state.pending(), Totals { count: 1, bytes: 1 });
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(3)
    );
}

#[test]
fn refusals_that_cannot_be_recorded_hold_up_neither_acknowledgements_nor_what_is_behind() {
    let mut state = with_stored(4);
    state.take(1, &mut Turn::any());
    state.take(usize::MAX, &mut Turn::any());
    state.set_aside_taken(set_aside(1));
    state.acknowledged(2);
    assert!(!state.has_place(2, 1));
    let failed = state.begin_record().unwrap();
    assert!(state.record_failed(failed), "the rest may be recorded");
    let record = state.begin_record().expect("the acknowledgement alone");
    assert!(record.deletes, "nothing is noted behind a failed delete");
    assert_eq!(record.ids().collect::<Vec<_>>(), [2]);
    state.recorded(&record);
    assert!(state.begin_record().is_none(), "not before the next try");
    assert!(state.is_stalled() && state.has_unrecorded());
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(3)
    );
    assert!(state.has_place(3, 1), "the refused one needs none");
    assert!(
        state.take(1, &mut Turn::any()).is_none(),
        "the window is full"
    );
    assert!(!state.is_sent(Awaited::All(1)));

    state.acknowledged(3);
    state.unstall();
    let record = state.begin_record().expect("all of it");
    assert_eq!(record.ids().collect::<Vec<_>>(), [3, 1]);
    state.recorded(&record);
    assert!(!state.is_stalled());
    assert!(state.is_sent(Awaited::All(3)));
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(4)
    );
    assert_eq!(state.pending(), Totals { count: 1, bytes: 1 });
}

#[test]
fn a_message_that_was_taken_beyond_the_window_has_its_place_after_the_records_before_it() {
    let mut state = with_stored(3);
    (0..3).for_each(|_| drop(state.take(usize::MAX, &mut Turn::any())));
    let with_place = |state: &mut State| (1..=3).filter(|id| state.has_place(*id, 2)).count();
    assert_eq!(with_place(&mut state), 2);
    state.acknowledged(1);
    assert_eq!(with_place(&mut state), 2, "acknowledged, but not recorded");
    record_all(&mut state);
    assert!(state.has_place(3, 2));
}

#[test]
fn sent_through_counts_the_oldest_whatever_the_order_of_acknowledgements() {
    let mut state = with_stored(3);
    (0..3).for_each(|_| drop(state.take(8, &mut Turn::any())));
    for (acknowledged, sent_through) in [(2, 0), (3, 0), (1, 3)] {
        state.acknowledged(acknowledged);
        record_all(&mut state);
        assert_eq!(
            (0..=3).rfind(|id| state.is_sent(Awaited::All(*id))),
            Some(sent_through)
        );
    }
}

#[test]
fn rows_beyond_the_budget_stay_in_the_store_and_keep_their_place() {
    let mut state = with_stored(READY_COUNT as i64 + 10);
    let mut last = 0;
    while let Some(message) = state.take(usize::MAX, &mut Turn::any()) {
        assert_eq!(message.id, last + 1);
        last = message.id;
    }
    assert_eq!(last, READY_COUNT as i64);
    assert!(!state.is_sent(Awaited::All(last + 1)));
    assert!(state.begin_load());
    assert!(!state.begin_load(), "one load at a time");
    state.stored(last + 11, &new_message(1));
    assert!(
        state.take(usize::MAX, &mut Turn::any()).is_none(),
        "it must not overtake"
    );
    state.loaded(loaded((last + 1..=last + 11).map(row).collect(), false));
    assert_eq!(
        state
            .take(usize::MAX, &mut Turn::any())
            .map(|message| message.id),
        Some(last + 1)
    );
}

#[test]
fn a_load_that_failed_is_made_again_only_when_it_may() {
    let mut state = State::new(left(Totals { count: 1, bytes: 1 }, 1));
    state.put_back(2, Totals { count: 1, bytes: 1 });
    assert!(state.begin_load());
    state.load_failed();
    assert!(state.is_stalled());
    assert!(!state.begin_load());
    state.unstall();
    assert!(state.begin_load());
}

#[test]
fn every_so_many_records_one_is_synced() {
    let count = 3 * ACKNOWLEDGEMENTS_PER_SYNC as i64;
    let mut unsynced = 0;
    let mut state = State::default();
    for id in 1..=count {
        state.stored(id, &new_message(1));
        state.take(1, &mut Turn::any());
        state.acknowledged(id);
        let record = state.begin_record().unwrap();
        state.recorded(&record);
        unsynced = match record.durability() {
            Durability::KillSafe => unsynced + 1,
            Durability::PowerSafe => 0,
        };
        assert!(unsynced < ACKNOWLEDGEMENTS_PER_SYNC);
    }
    assert_eq!(unsynced, 0, "the last was one of those");
}

#[test]
fn an_upload_holds_back_what_follows_until_it_is_a_link() {
    let mut state = State::default();
    let large = NewMessage {
        body: NewBody::Upload(Bytes::from(vec![0; 300_000])),
        ..new_message(0)
    };
    state.stored(1, &large);
    state.stored(2, &new_message(1));
    assert!(state.take(8, &mut Turn::any()).is_none());
    assert_eq!(state.next_upload(|_| true), Some(1));
    state.uploaded(1, Bytes::from_static(b"link"));
    assert_eq!(state.next_upload(|_| true), None);
    assert_eq!(state.pending(), Totals { count: 2, bytes: 5 });
    assert_eq!(
        state.take(8, &mut Turn::any()).map(|message| message.id),
        Some(1)
    );
    assert_eq!(
        state.take(8, &mut Turn::any()).map(|message| message.id),
        Some(2)
    );
}

#[test]
fn what_the_platform_has_is_known_until_its_row_is_deleted() {
    let mut state = with_stored(4);
    (1..=4).for_each(|_| drop(state.take(8, &mut Turn::any())));
    state.acknowledged(2);
    record_all(&mut state);
    state.acknowledged(3);
    let record = state.begin_delete().expect("something to record");
    state.acknowledged(1);
    assert_eq!(state.sent(), [1, 2, 3], "noted, under way, not recorded");
    state.record_failed(record);
    assert_eq!(state.sent(), [1, 2, 3]);
    record_all(&mut state);
    assert_eq!(state.sent(), [0_i64; 0]);
}

#[test]
fn what_is_stored_after_everything_was_set_aside_goes_out() {
    let mut state = with_stored(3);
    state.take(1, &mut Turn::any());
    state.all_set_aside();
    assert_eq!(state.pending().count, 0);
    assert!(state.is_sent(Awaited::All(3)));
    state.stored(4, &new_message(1));
    assert_eq!(
        state.take(1, &mut Turn::any()).map(|message| message.id),
        Some(4)
    );
}

/// Messages with these numbers, each stored in its lane.
fn with_lanes(messages: &[(Priority, i64)]) -> State {
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

#[test]
fn what_is_stored_behind_an_identity_change_is_there_once_though_a_load_reads_it_too() {
    let mut state = State::new(left(Totals { count: 9, bytes: 9 }, 9));
    state.put_back(9, Totals::default());
    assert!(state.begin_load());
    // All three in one commit; the load reads what is stored before it is told of.
    state.all_set_aside();
    state.stored(10, &new_message(1));
    state.stored(11, &new_message(1));
    state.loaded(loaded(vec![row(10), row(11)], false));
    assert_eq!(
        state.take(9, &mut Turn::any()).map(|message| message.id),
        Some(10)
    );
    assert_eq!(
        state.take(9, &mut Turn::any()).map(|message| message.id),
        Some(11)
    );
    assert!(state.take(9, &mut Turn::any()).is_none(), "each once");
}
