//! What the device noted in its ledger against what the Platform received.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use spotflow_crash::OF_A_KEY;
use spotflow_emulator::Message;

use super::{DEVICE, Run};

/// What a thread has in its ledger under this word.
fn numbers(ledger: &Path, name: &str, word: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(ledger.join(name)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let numbers = lines.filter(|(first, _)| *first == word);
    numbers
        .filter_map(|(_, number)| number.parse().ok())
        .collect()
}

/// Which Message of the device's this is: `thread number`.
fn name(message: &Message) -> String {
    match message.completes_batch() {
        true => message.property("batch-id").unwrap_or_default().to_owned(),
        false => message.text().lines().next().unwrap_or_default().to_owned(),
    }
}

/// The Messages of the thread that keeps the latest which are not the newest of their key. What one run had in flight, and
/// the next replaced, leaves a window.
fn replaceable(received: &[String]) -> HashSet<&str> {
    let mut newest: HashMap<u64, u64> = HashMap::new();
    let of_it = |name: &str| name.strip_prefix("3 ")?.parse().ok();
    for number in received.iter().filter_map(|name| of_it(name)) {
        let of_key = newest.entry(number / OF_A_KEY).or_default();
        *of_key = (*of_key).max(number);
    }
    let is_older =
        |name: &&str| of_it(name).is_some_and(|number| newest[&(number / OF_A_KEY)] > number);
    received
        .iter()
        .map(String::as_str)
        .filter(is_older)
        .collect()
}

/// The order of first arrivals keeps each thread's order, and a repeat is at most `window` back.
fn check_order(received: &[String], window: usize) -> usize {
    // One that is alone in flight is repeated before all others, or not at all.
    let uncounted = match window {
        1 => HashSet::new(),
        _ => replaceable(received),
    };
    let mut arrived = 0;
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut last_of_thread: HashMap<&str, u64> = HashMap::new();
    let mut repeated = 0;
    for (at, text) in received.iter().enumerate() {
        if let Some(place) = first.get(text.as_str()) {
            repeated += 1;
            assert!(
                arrived - place <= window,
                "at {at}: {text} was repeated {} Messages after itself",
                arrived - place
            );
            if window == 1 {
                assert_eq!(
                    received[at - 1],
                    *text,
                    "a repeat directly follows its original"
                );
            }
            continue;
        }
        first.insert(text, arrived);
        arrived += usize::from(!uncounted.contains(text.as_str()));
        let (thread, number) = text.split_once(' ').expect("thread and number");
        let number = number.parse().expect("a number");
        if let Some(last) = last_of_thread.insert(thread, number) {
            assert!(last < number, "at {at}: {text} came after {last}");
        }
    }
    repeated
}

/// Messages against the ledger; returns how many were accepted.
pub(crate) fn check_messages(run: &Run) -> usize {
    let messages = run.platform.messages_of(DEVICE);
    let mine = |message: &&Message| !message.text().starts_with("of another");
    let received: Vec<&Message> = messages.iter().filter(mine).collect();
    assert!(
        received
            .iter()
            .all(|message| message.payload_error.is_none())
    );
    let names: Vec<String> = received.iter().map(|message| name(message)).collect();
    let distinct: HashSet<&String> = names.iter().collect();
    let mut accepted = Vec::new();
    for thread in ["0", "1", "2"] {
        let numbers = numbers(&run.ledger(), thread, "ok").into_iter();
        accepted.extend(numbers.map(|number| format!("{thread} {number}")));
    }
    let lost: Vec<&String> = accepted
        .iter()
        .filter(|name| !distinct.contains(name))
        .collect();
    let repeated = check_order(&names, run.window);
    let count = |wanted: fn(&Message) -> bool| received.iter().filter(|it| wanted(it)).count();
    println!(
        "ledger: {} accepted, {} received ({} compressed, {} uploaded, {} completions), {} lost, {repeated} repeated",
        accepted.len(),
        received.len(),
        count(|message| message.property("content-encoding").is_some()),
        count(Message::is_external),
        count(Message::completes_batch),
        lost.len(),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    accepted.len()
}

/// Of each key the newest that was accepted came, or one that was tried behind it.
pub(crate) fn check_newest(run: &Run) {
    let messages = run.platform.messages_of(DEVICE);
    let received: HashSet<String> = messages.iter().map(name).collect();
    let accepted = numbers(&run.ledger(), "3", "ok");
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    for number in &accepted {
        let of_key = newest.entry(number / OF_A_KEY).or_default();
        *of_key = (*of_key).max(*number);
    }
    let came = |number: u64| received.contains(&format!("3 {number}"));
    let lost: Vec<u64> = newest
        .iter()
        .filter(|(key, newest)| !(**newest..(*key + 1) * OF_A_KEY).any(came))
        .map(|(_, newest)| *newest)
        .collect();
    let replaced = accepted.iter().filter(|number| !came(**number)).count();
    println!(
        "        {} of {} keys accepted, {replaced} replaced, the newest of {} lost",
        accepted.len(),
        newest.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(replaced > 0);
}

/// What the cloud sent is in the ledger of what was processed.
pub(crate) fn check_commands(run: &Run) {
    let processed = numbers(&run.ledger(), "cloud", "command");
    let distinct: HashSet<u64> = processed.iter().copied().collect();
    let lost: Vec<u64> = (0..run.commands)
        .filter(|n| !distinct.contains(n))
        .collect();
    println!(
        "        {} messages from the cloud, {} processed, {} lost, {} repeated",
        run.commands,
        processed.len(),
        lost.len(),
        processed.len() - distinct.len(),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// The Platform has the last statement that was accepted, or one that was tried behind it.
pub(crate) fn check_reported(run: &Run) {
    let (reported, _) = run.platform.reported(DEVICE).expect("the device");
    let number = reported["number"].as_u64().expect("a number");
    let last = |word| numbers(&run.ledger(), "reported", word).into_iter().max();
    let (accepted, tried) = (last("ok"), last("try"));
    println!("        reported {number}, accepted {accepted:?}, tried {tried:?}");
    assert!(accepted <= Some(number) && Some(number) <= tried);
}
