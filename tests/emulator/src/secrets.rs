//! Random values nobody can guess: tokens, signatures, codes.

use uuid::Uuid;

/// 256 bits in hexadecimal.
pub(crate) fn token(prefix: &str) -> String {
    format!(
        "{prefix}{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    )
}

/// Short enough to be read aloud, such as `K7QX-M2PA`.
pub(crate) fn verification_code() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut code: String = Uuid::new_v4().as_bytes()[8..]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    code.insert(4, '-');
    code
}
