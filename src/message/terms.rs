//! What only the device needs to know of a Message. It is kept behind the property bag, in the same column of its row:
//! so it goes wherever the row goes, and a Message without any is not a byte longer.

use std::time::Duration;

/// Ends a property bag, in which everything but unreserved characters is encoded.
const SEPARATOR: char = '\n';
const TIME_TO_LIVE_MS: &str = "time-to-live-ms=";

/// A property bag, with the time to live behind it.
pub(crate) fn with_time_to_live(bag: String, time_to_live: Option<Duration>) -> String {
    match time_to_live {
        None => bag,
        Some(time) => format!("{bag}{SEPARATOR}{TIME_TO_LIVE_MS}{}", time.as_millis()),
    }
}

/// What goes on the wire.
pub(crate) fn bag(stored: &str) -> &str {
    stored.split_once(SEPARATOR).map_or(stored, |(bag, _)| bag)
}

/// For how long after it was stored a Message is worth being sent; always, if that cannot be read.
pub(crate) fn time_to_live(stored: &str) -> Option<Duration> {
    let (_, terms) = stored.split_once(SEPARATOR)?;
    let ms = terms.strip_prefix(TIME_TO_LIVE_MS)?;
    ms.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live_is_behind_the_bag_and_does_not_go_on_the_wire() {
        let wire = "stream-name=a%0Ab&message-id=1";
        let time = Duration::from_millis(86_400_001);
        let stored = with_time_to_live(wire.to_owned(), Some(time));
        assert_eq!((bag(&stored), time_to_live(&stored)), (wire, Some(time)));
        let stored = with_time_to_live(wire.to_owned(), None);
        assert_eq!((stored.as_str(), time_to_live(&stored)), (wire, None));
        assert_eq!(bag(&stored), wire);
    }

    #[test]
    fn a_time_to_live_that_cannot_be_read_or_is_longer_than_all_time_is_none() {
        let longest = with_time_to_live("a=b".to_owned(), Some(Duration::MAX));
        for stored in [&longest, "a=b\ntime-to-live-ms=x", "a=b\nother=1", "\n", ""] {
            assert_eq!(time_to_live(stored), None, "{stored:?}");
        }
    }
}
