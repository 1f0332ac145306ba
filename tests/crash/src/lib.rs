//! What the device and its tests agree on.
#![forbid(unsafe_code)]

/// So many Messages in turn have the same key, by a sender that keeps the newest of each.
pub const OF_A_KEY: u64 = 8;

/// The content of the Message that takes long to upload: as much as a Message takes, and each block of it different.
#[must_use]
pub fn content() -> Vec<u8> {
    let words = spotflow_device::MAX_PAYLOAD_BYTES as u32 / 4;
    let word = |number: u32| number.wrapping_mul(0x9E37_79B9).to_le_bytes();
    (0..words).flat_map(word).collect()
}
