mod lanes;
mod lifetimes;

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
