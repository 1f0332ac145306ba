//! The choices of one case, and what is often drawn from them.

use serde_json::{Map, Number, Value};

/// Random bytes that are used up one by one; behind their end there are zeros, so that everything
/// that is drawn ends.
pub struct Choices<'a> {
    bytes: &'a [u8],
}

/// Texts that decoders stumble over.
const TEXTS: [&str; 24] = [
    "",
    "a",
    "b",
    "version",
    "$version",
    "$metadata",
    "ä",
    "😀",
    "\u{0}",
    "\n",
    "\u{1b}[31m",
    "%",
    "%zz",
    "%ff",
    "%24",
    "\u{fffd}",
    " ",
    "/",
    "&=",
    "\"",
    "\\",
    "null",
    "-0",
    "0123456789",
];

/// Pieces that change what bytes mean to one decoder or the other.
const PIECES: [&[u8]; 24] = [
    b"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b";",
    b"=",
    b"&",
    b"/",
    b"?",
    b"%",
    b"-",
    b".",
    b"\xff",
    b"\xc3",
    b"\0",
    b"9",
    b"99999999999999999999",
    b"null",
    b"\\ud800",
];

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes }
    }

    /// Whether only zeros are left.
    pub fn is_used_up(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Any byte; zero when the choices are used up.
    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// Up to `count` bytes as they come.
    pub fn raw(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken.to_vec()
    }

    /// Either; false when the choices are used up.
    pub fn bool(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// True once in `n` times, and not when the choices are used up.
    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// A number in `0..n`, which must not be empty.
    pub fn below(&mut self, n: usize) -> usize {
        let choice = match n {
            0..=256 => usize::from(self.byte()),
            _ => usize::from(self.u16()) | usize::from(self.byte()) << 16,
        };
        choice % n
    }

    /// Any number, all as frequent.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Any number, all as frequent.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Any number. Small ones, and those at the borders, are frequent.
    pub fn u64(&mut self) -> u64 {
        match self.byte() % 8 {
            0..=3 => self.byte().into(),
            4 => u64::MAX - u64::from(self.byte()),
            5 => (i64::MAX as u64 - 128) + u64::from(self.byte()),
            6 => self.u32().into(),
            _ => u64::from(self.u32()) << 32 | u64::from(self.u32()),
        }
    }

    /// Any number. Small ones, and those at the borders, are frequent.
    pub fn i64(&mut self) -> i64 {
        self.u64() as i64
    }

    /// One of these, of which there must be one.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A short text: often one that decoders stumble over.
    pub fn text(&mut self) -> String {
        match self.byte() % 4 {
            0..=2 => self.pick(&TEXTS).to_owned(),
            _ => {
                let count = self.below(12);
                let bytes = self.raw(count);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    /// Any JSON, nested up to so deep.
    pub fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.bool()),
            2 => Value::Number(self.json_number()),
            3 | 4 => Value::String(self.text()),
            5 => {
                let count = self.below(4);
                (0..count).map(|_| self.json(depth - 1)).collect()
            }
            _ => Value::Object(self.document(depth - 1)),
        }
    }

    /// A JSON object. Few keys, so that documents overlap.
    pub fn document(&mut self, depth: usize) -> Map<String, Value> {
        let count = self.below(5);
        (0..count)
            .map(|_| {
                let key = if self.one_in(8) {
                    self.text()
                } else {
                    self.pick(&["a", "b", "c", "d"]).to_owned()
                };
                (key, self.json(depth))
            })
            .collect()
    }

    fn json_number(&mut self) -> Number {
        match self.byte() % 4 {
            0 => self.byte().into(),
            1 => self.u64().into(),
            2 => self.i64().into(),
            _ => {
                let float = f64::from_bits(u64::from(self.u32()) << 32 | u64::from(self.u32()));
                Number::from_f64(float).unwrap_or_else(|| 0.into())
            }
        }
    }

    /// Damages bytes in a few places, or in none.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let place = self.below(bytes.len() + 1);
            let end = (place + self.below(8)).min(bytes.len());
            match self.byte() % 6 {
                0 => bytes.truncate(place),
                1 => drop(bytes.drain(place..end)),
                2 => {
                    let piece = self.pick(&PIECES);
                    bytes
                        .splice(place..place, piece.iter().copied())
                        .for_each(drop);
                }
                3 => {
                    let repeated = bytes[place..end].to_vec();
                    bytes.splice(place..place, repeated).for_each(drop);
                }
                4 => {
                    let bit = 1 << (self.byte() % 8);
                    bytes
                        .get_mut(place)
                        .into_iter()
                        .for_each(|byte| *byte ^= bit);
                }
                _ => {
                    let other = self.byte();
                    bytes
                        .get_mut(place)
                        .into_iter()
                        .for_each(|byte| *byte = other);
                }
            }
        }
    }

    /// The text, damaged in a few places or in none.
    pub fn damaged_text(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.damage(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Cuts bytes into parts at any places, often into single ones.
    pub fn split<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let length = if self.is_used_up() {
                bytes.len()
            } else {
                self.pick(&[1, 1, 2, 3, 7, 64, 1024])
            };
            let (part, rest) = bytes.split_at(length.min(bytes.len()));
            parts.push(part);
            bytes = rest;
        }
        parts
    }
}
