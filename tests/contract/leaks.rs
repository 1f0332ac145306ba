//! Finds secrets in what was logged or shown: whole or in pieces, in any of the ways in which bytes
//! are commonly written, also when they are spread over several lines.

use std::collections::{BTreeMap, HashMap};

/// A piece of a secret this long does not come about by chance.
const PLAIN_PIECE: usize = 12;
/// In spellings with fewer different characters, which say less each.
const SPELT_PIECE: usize = 24;

/// A line of the log, or another text that people see.
#[derive(Debug, Clone)]
pub struct Text {
    /// Who says it: a log line's target. What one says is also looked at as a whole.
    pub source: String,
    pub text: String,
}

/// Pieces of secrets, by length, and of which secret.
pub struct Leaks {
    pieces: BTreeMap<usize, HashMap<Vec<u8>, usize>>,
    secrets: Vec<String>,
}

impl Leaks {
    pub fn of(secrets: impl IntoIterator<Item = String>) -> Leaks {
        let mut leaks = Leaks {
            pieces: BTreeMap::new(),
            secrets: secrets.into_iter().collect(),
        };
        for (number, secret) in leaks.secrets.clone().iter().enumerate() {
            assert!(
                condensed(secret).len() >= PLAIN_PIECE,
                "too short to be found for certain: {secret:?}"
            );
            leaks.learn(number, PLAIN_PIECE, secret);
            let bytes = secret.as_bytes();
            let spelt = |spell: fn(&u8) -> String| bytes.iter().map(spell).collect::<String>();
            // Percent-encoded is in hexadecimal, too.
            leaks.learn(number, SPELT_PIECE, &spelt(|byte| format!("{byte:02x}")));
            leaks.learn(number, SPELT_PIECE, &spelt(|byte| format!("{byte}")));
            for skipped in 0..3 {
                let base64 = base64(bytes.get(skipped..).unwrap_or_default());
                leaks.learn(number, PLAIN_PIECE + 4, &base64);
            }
        }
        leaks
    }

    fn learn(&mut self, secret: usize, length: usize, spelling: &str) {
        let pieces = self.pieces.entry(length).or_default();
        for piece in condensed(spelling).windows(length) {
            pieces.insert(piece.to_vec(), secret);
        }
    }

    /// What leaks, and where.
    pub fn find(&self, texts: &[Text]) -> Vec<String> {
        let mut found = Vec::new();
        let mut by_source: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for Text { source, text } in texts {
            let condensed = condensed(text);
            if let Some(secret) = self.find_in(&condensed) {
                found.push(format!("{secret:?} in {source}: {text:?}"));
            }
            by_source.entry(source).or_default().extend(condensed);
        }
        if found.is_empty() {
            for (source, text) in by_source {
                let secret = self.find_in(&text);
                found.extend(secret.map(|secret| format!("{secret:?} over lines of {source}")));
            }
        }
        found
    }

    fn find_in(&self, text: &[u8]) -> Option<&str> {
        self.pieces.iter().find_map(|(length, pieces)| {
            let secret = text.windows(*length).find_map(|piece| pieces.get(piece))?;
            self.secrets.get(*secret).map(String::as_str)
        })
    }
}

/// Letters and digits only, in lower case: what separates and quotes them differs from dump to dump.
fn condensed(text: &str) -> Vec<u8> {
    let bytes = text.bytes().filter(u8::is_ascii_alphanumeric);
    bytes.map(|byte| byte.to_ascii_lowercase()).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    // What is left over at the end depends on what follows there.
    for three in bytes.chunks_exact(3) {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[bits >> shift & 63]));
        }
    }
    text
}

#[test]
fn a_leak_is_found_in_every_spelling() {
    let secret = "pt-0123456789abcdef0123456789ABCDEF+/xyz";
    let bytes = secret.as_bytes();
    let leaks = Leaks::of([secret.to_owned()]);
    let find = |lines: &[&str]| {
        let text = |line: &&str| Text {
            source: "source".into(),
            text: (*line).into(),
        };
        let texts: Vec<Text> = lines.iter().map(text).collect();
        !leaks.find(&texts).is_empty()
    };
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = hex.iter().map(|hex| format!("%{hex}")).collect();
    for text in [
        secret,
        &secret[5..18],
        &secret.replace('+', "%2B").replace('/', "%2F"),
        &hex.join(" "),
        &hex.concat().to_uppercase(),
        &percent,
        &format!("{bytes:?}"),
        &base64(bytes),
        &base64(format!("x{secret}").as_bytes()),
        &base64(format!("xy{secret}").as_bytes()),
    ] {
        assert!(find(&["before", &format!("a {text} b")]), "{text}");
    }
    let rows: Vec<&str> = bytes
        .chunks(8)
        .map(|row| str::from_utf8(row).unwrap())
        .collect();
    assert!(find(&rows), "rows of 8");
    let rows: Vec<String> = hex.chunks(8).map(|row| row.join(" ")).collect();
    assert!(
        find(&rows.iter().map(String::as_str).collect::<Vec<_>>()),
        "hex rows"
    );
    assert!(!find(
        &["no leak", "pt-0123", "456789ab", "0a 0b", "[1, 2, 3]"][..2]
    ));
}
