//! Property bags, and the percent-encoding in them.

use spotflow_fuzz::{Choices, fuzz};

use super::*;

/// Percent-decoding as RFC 3986 describes it, written once more.
fn decoded(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn pairs(choices: &mut Choices<'_>) -> Vec<(String, String)> {
    (0..choices.below(6))
        .map(|_| (choices.text(), choices.text()))
        .collect()
}

#[test]
fn every_bag_parses_to_the_pairs_it_was_made_of() {
    fuzz("property bag", |choices| {
        let pairs = pairs(choices);
        let mut bag = String::new();
        for (key, value) in &pairs {
            push_encoded(&mut bag, key, value);
        }
        assert!(bag.bytes().all(|byte| byte.is_ascii_graphic()), "{bag}");
        assert_eq!(parse(&bag), pairs, "{bag}");
    });
}

#[test]
fn damaged_bags_parse_to_what_an_independent_reading_finds() {
    fuzz("damaged property bag", |choices| {
        let mut bag = String::from("%24.to=%2Fdevices%2Fd&$.mid=1&a=%C3%A9");
        for (key, value) in pairs(choices) {
            push_encoded(&mut bag, &key, &value);
        }
        let bag = choices.damaged_text(&bag);
        let expected: Vec<(String, String)> = bag
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let end = pair.find('=').unwrap_or(pair.len());
                (
                    decoded(&pair[..end]),
                    decoded(pair.get(end + 1..).unwrap_or("")),
                )
            })
            .collect();
        assert_eq!(parse(&bag), expected, "{bag:?}");
    });
}
