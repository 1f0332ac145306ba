//! What every thread got accepted, held against what the Platform received.

use std::collections::HashMap;

/// How many Messages each thread got accepted: numbered from 0, as `THREAD NUMBER`.
pub type Accepted = HashMap<String, u64>;

/// What was received.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub distinct: u64,
    pub repeated: u64,
}

/// With a window of 1: every thread's Messages came in order, none is missing, and a repeat came directly
/// after its original.
pub fn reconcile(accepted: &Accepted, received: &[String]) -> Result<Received, String> {
    let mut totals = Received::default();
    let mut next: HashMap<&str, u64> = HashMap::new();
    let mut before = None;
    for (at, text) in received.iter().enumerate() {
        if before.replace(text) == Some(text) {
            totals.repeated += 1;
            continue;
        }
        let (thread, number) = text.split_once(' ').ok_or(format!("at {at}: {text}"))?;
        let expected = next.entry(thread).or_default();
        if number != expected.to_string() {
            return Err(format!("at {at}: {text}, where {expected} was expected"));
        }
        *expected += 1;
        totals.distinct += 1;
    }
    for (thread, count) in accepted {
        let arrived = next.get(thread.as_str()).copied().unwrap_or(0);
        if arrived != *count {
            return Err(format!("{thread}: {count} accepted, {arrived} received"));
        }
    }
    Ok(totals)
}

#[test]
fn losses_wrong_orders_and_late_repeats_are_found() {
    let accepted = Accepted::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let check = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        reconcile(&accepted, &texts)
    };
    let totals = Received {
        distinct: 3,
        repeated: 1,
    };
    assert_eq!(check(&["a 0", "b 0", "b 0", "a 1"]), Ok(totals));
    assert!(check(&["a 0", "b 0"]).is_err(), "the newest is lost");
    assert!(check(&["b 0", "a 1"]).is_err(), "one in between is lost");
    assert!(check(&["a 1", "a 0", "b 0"]).is_err(), "out of order");
    assert!(
        check(&["a 0", "b 0", "a 0", "a 1"]).is_err(),
        "a late repeat"
    );
}
