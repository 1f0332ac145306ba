//! The property bag: the `key=value` pairs at the end of a topic that say what a Message is.
//! Rendered for what we send; parsed for what the cloud sends, and to list what is stored.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Completion, MessageIds, StreamAddress};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const EXTERNALIZED: &str = "has-externalized-payload=true";

/// The bag of a Message. `externalized`: the payload is the link to uploaded content.
pub(crate) fn render(
    address: &StreamAddress,
    ids: &MessageIds,
    content_encoding: Option<&str>,
    externalized: bool,
) -> String {
    let mut bag = render_ids(address, ids);
    if let Some(encoding) = content_encoding {
        push_pair(&mut bag, "content-encoding", encoding);
    }
    if externalized {
        push(&mut bag, EXTERNALIZED);
    }
    bag
}

/// The bag of a completion, whose payload is empty.
pub(crate) fn render_completion(address: &StreamAddress, completion: &Completion) -> String {
    let mut bag = render_ids(address, &completion.ids());
    push(
        &mut bag,
        match completion {
            Completion::Batch { .. } => "complete-batch=true",
            Completion::Message { .. } => "complete-message=true",
        },
    );
    push(&mut bag, "ignore-payload=true");
    bag
}

/// The pairs of any bag, in its order: also of one that we did not write, and is not well-formed.
/// A pair without `=` has an empty value; what is not UTF-8 is replaced by U+FFFD.
pub(crate) fn parse(bag: &str) -> Vec<(String, String)> {
    bag.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// The keys that hold a name or an id, in the Platform's order, each with the argument it comes
/// from and its value.
pub(super) fn named<'a>(
    address: &'a StreamAddress,
    ids: &'a MessageIds,
) -> impl Iterator<Item = (&'static str, &'static str, &'a str)> {
    [
        ("stream-group-name", "stream_group", &address.stream_group),
        ("stream-name", "stream", &address.stream),
        ("site-id", "site_id", &ids.site_id),
        ("batch-id", "batch_id", &ids.batch_id),
        ("batch-slice-id", "batch_slice_id", &ids.batch_slice_id),
        ("message-id", "message_id", &ids.message_id),
        ("chunk-id", "chunk_id", &ids.chunk_id),
    ]
    .into_iter()
    .filter_map(|(key, argument, value)| Some((key, argument, value.as_deref()?)))
}

pub(super) fn encoded_bytes(value: &str) -> usize {
    utf8_percent_encode(value, RESERVED).map(str::len).sum()
}

/// A value as it is in a bag.
pub(super) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).collect()
}

fn render_ids(address: &StreamAddress, ids: &MessageIds) -> String {
    let mut bag = String::new();
    for (key, _, value) in named(address, ids) {
        push_pair(&mut bag, key, value);
    }
    bag
}

fn push_pair(bag: &mut String, key: &str, value: &str) {
    push(bag, key);
    bag.push('=');
    bag.extend(utf8_percent_encode(value, RESERVED));
}

/// Adds a pair of any text.
pub(crate) fn push_encoded(bag: &mut String, key: &str, value: &str) {
    push_pair(bag, &encoded(key), value);
}

/// Adds a pair that needs no encoding.
pub(crate) fn push(bag: &mut String, pair: &str) {
    if !bag.is_empty() {
        bag.push('&');
    }
    bag.push_str(pair);
}

pub(super) fn decode(encoded: &str) -> String {
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn address() -> StreamAddress {
        StreamAddress {
            stream_group: some("default-stream-group"),
            stream: some("default-stream"),
        }
    }

    #[test]
    fn keys_come_in_the_platforms_order() {
        let ids = MessageIds {
            site_id: some("s"),
            batch_id: some("b"),
            batch_slice_id: some("bs"),
            message_id: some("m"),
            chunk_id: some("c"),
        };
        assert_eq!(
            render(&address(), &ids, Some("br"), true),
            "stream-group-name=default-stream-group&stream-name=default-stream&site-id=s\
             &batch-id=b&batch-slice-id=bs&message-id=m&chunk-id=c\
             &content-encoding=br&has-externalized-payload=true"
        );
    }

    #[test]
    fn only_set_keys_are_written() {
        let (none, ids) = (StreamAddress::default(), MessageIds::default());
        assert_eq!(render(&none, &ids, None, false), "");
        assert_eq!(
            render(&none, &ids, Some("zstd"), false),
            "content-encoding=zstd"
        );
        assert_eq!(
            render(&none, &ids, None, true),
            "has-externalized-payload=true"
        );
    }

    #[test]
    fn completions_end_with_their_keys() {
        let batch = Completion::Batch {
            batch_id: "b 1".into(),
        };
        assert_eq!(
            render_completion(&address(), &batch),
            "stream-group-name=default-stream-group&stream-name=default-stream&batch-id=b%201\
             &complete-batch=true&ignore-payload=true"
        );
        let message = Completion::Message {
            batch_id: "b".into(),
            message_id: "m".into(),
        };
        assert_eq!(
            render_completion(&StreamAddress::default(), &message),
            "batch-id=b&message-id=m&complete-message=true&ignore-payload=true"
        );
    }

    #[test]
    fn all_but_unreserved_characters_are_percent_encoded() {
        let ids = MessageIds {
            batch_id: some("AZaz09-._~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}\u{7f}\u{0}é"),
            ..MessageIds::default()
        };
        assert_eq!(
            render(&StreamAddress::default(), &ids, None, false),
            "batch-id=AZaz09-._~%20%21%22%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3C%3D%3E%3F%40\
             %5B%5C%5D%5E%60%7B%7C%7D%7F%00%C3%A9"
        );
    }

    #[test]
    fn what_was_rendered_parses_to_the_same_values() {
        let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
        for _ in 0..500 {
            let id: String = (0..random.usize(1..30)).map(|_| random.char(..)).collect();
            let ids = MessageIds {
                message_id: Some(id.clone()),
                ..MessageIds::default()
            };
            let bag = render(&address(), &ids, None, false);
            assert!(bag.is_ascii() && !bag.contains(['+', '#', '/']));
            assert_eq!(
                parse(&bag).last(),
                Some(&("message-id".to_owned(), id.clone()))
            );
            assert_eq!(
                bag.rsplit_once('=').map(|(_, v)| v.len()),
                Some(encoded_bytes(&id))
            );
        }
    }

    #[test]
    fn malformed_bags_parse_to_what_can_be_made_of_them() {
        let pairs = |bag| {
            let parsed = parse(bag);
            parsed
                .iter()
                .map(|(k, v)| format!("{k}:{v}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(pairs(""), "");
        assert_eq!(pairs("&&&"), "");
        assert_eq!(pairs("a"), "a:");
        assert_eq!(pairs("=v&=&a=b=c"), ":v : a:b=c");
        assert_eq!(pairs("%24.to=%2Fdev&a=1&a=2"), "$.to:/dev a:1 a:2");
        assert_eq!(
            pairs("bad=%&worse=%f&worst=%zz"),
            "bad:% worse:%f worst:%zz"
        );
        assert_eq!(pairs("x=%ff%fe"), "x:\u{fffd}\u{fffd}");
    }
}
