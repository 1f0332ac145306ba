//! What only the device needs to know of a Message. It is kept behind the property bag, in the same column of its row:
//! so it goes wherever the row goes, and a Message without any is not a byte longer.

use std::time::Duration;

use super::StreamAddress;
#[cfg(feature = "tool")]
use super::property_bag::decode;
use super::property_bag::encoded;

/// Ends a property bag, and each term but the last: in both everything but unreserved characters is encoded.
const SEPARATOR: char = '\n';
const TIME_TO_LIVE_MS: &str = "time-to-live-ms=";
/// The last term, as the index of the rows that have it wants it.
pub(crate) const LATEST: &str = "latest=";

/// What a sender wants of its Messages.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// For how long after it was stored a Message is worth being sent.
    pub time_to_live: Option<Duration>,
    /// Of the unsent Messages with this key only the newest is kept.
    pub latest: Option<String>,
}

/// The key of what is kept as the latest: of a Stream, or of those among its Messages that are `named` so.
pub(crate) fn latest_key(address: &StreamAddress, named: Option<&str>) -> String {
    let StreamAddress {
        stream_group,
        stream,
    } = address;
    // No name is empty, and none has a slash when it is encoded.
    let parts = [stream_group.as_deref(), stream.as_deref(), named];
    parts
        .map(|part| part.map_or_else(String::new, encoded))
        .join("/")
}

/// A property bag, with the terms behind it.
pub(crate) fn with(mut bag: String, terms: &Terms) -> String {
    if let Some(time) = terms.time_to_live {
        bag.push(SEPARATOR);
        bag.push_str(TIME_TO_LIVE_MS);
        bag.push_str(&time.as_millis().to_string());
    }
    if let Some(key) = &terms.latest {
        bag.push(SEPARATOR);
        bag.push_str(LATEST);
        bag.push_str(key);
    }
    bag
}

/// Whether it is a property bag with known terms behind it, as [`with`] makes it.
#[cfg(feature = "tool")]
pub(crate) fn are_known(stored: &str) -> bool {
    let terms = Terms {
        time_to_live: time_to_live(stored),
        latest: latest(stored).map(str::to_owned),
    };
    with(bag(stored).to_owned(), &terms) == stored
}

/// The name in the key of what is kept as the latest; none if that is of a whole Stream.
#[cfg(feature = "tool")]
pub(crate) fn latest_name(stored: &str) -> Option<String> {
    let (_, name) = latest(stored)?.rsplit_once('/')?;
    (!name.is_empty()).then(|| decode(name))
}

/// What goes on the wire.
pub(crate) fn bag(stored: &str) -> &str {
    stored.split_once(SEPARATOR).map_or(stored, |(bag, _)| bag)
}

/// For how long after it was stored a Message is worth being sent; always, if that cannot be read.
pub(crate) fn time_to_live(stored: &str) -> Option<Duration> {
    let ms = term(stored, TIME_TO_LIVE_MS)?;
    ms.parse().ok().map(Duration::from_millis)
}

/// The key of those of which only the newest is kept, if it is one of them.
pub(crate) fn latest(stored: &str) -> Option<&str> {
    term(stored, LATEST)
}

fn term<'a>(stored: &'a str, name: &str) -> Option<&'a str> {
    let (_, terms) = stored.split_once(SEPARATOR)?;
    let mut terms = terms.split(SEPARATOR);
    terms.find_map(|term| term.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(stream_group: Option<&str>, stream: Option<&str>) -> StreamAddress {
        StreamAddress {
            stream_group: stream_group.map(str::to_owned),
            stream: stream.map(str::to_owned),
        }
    }

    #[test]
    fn the_terms_are_behind_the_bag_and_do_not_go_on_the_wire() {
        let wire = "stream-name=a%0Ab&message-id=1";
        let time = Some(Duration::from_millis(86_400_001));
        let key = Some(latest_key(&address(None, Some("a\nb")), Some("x/y=z")));
        for time_to_live in [None, time] {
            for key in [&None, &key] {
                let terms = Terms {
                    time_to_live,
                    latest: key.clone(),
                };
                let stored = with(wire.to_owned(), &terms);
                assert_eq!(bag(&stored), wire);
                assert_eq!(self::time_to_live(&stored), time_to_live);
                assert_eq!(latest(&stored), key.as_deref());
            }
        }
        assert_eq!(with(wire.to_owned(), &Terms::default()), wire);
    }

    #[test]
    fn a_time_to_live_that_cannot_be_read_or_is_longer_than_all_time_is_none() {
        let terms = Terms {
            time_to_live: Some(Duration::MAX),
            latest: None,
        };
        let longest = with("a=b".to_owned(), &terms);
        for stored in [&longest, "a=b\ntime-to-live-ms=x", "a=b\nother=1", "\n", ""] {
            assert_eq!(time_to_live(stored), None, "{stored:?}");
        }
    }

    #[test]
    fn what_differs_in_stream_or_name_has_another_key() {
        let texts = [
            None,
            Some("a"),
            Some("a/"),
            Some("/a"),
            Some("%2F"),
            Some("a\nlatest="),
        ];
        let mut keys = Vec::new();
        for stream_group in texts {
            for stream in texts {
                let address = address(stream_group, stream);
                keys.extend(texts.map(|named| latest_key(&address, named)));
            }
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(keys.iter().all(|key| !key.contains(SEPARATOR)));
    }
}
