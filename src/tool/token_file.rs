//! A token that somebody has put into a file, where other users cannot see it as they see a program's arguments.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::failure::Failure;
use crate::secret::Secret;

/// Longer than any token.
const BYTES_MAX: usize = 16 << 10;

/// Reads the token; blanks and line ends around it are no part of it.
pub(crate) fn read(path: &Path) -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    // No more than that, should it be a device that has no end.
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(Failure::file(path))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_token = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() || bytes.len() > BYTES_MAX || !text.bytes().all(is_token) {
        let rule = "there is no token in it: one line of printable ASCII without spaces";
        return Err(Failure::Refused(format!("{}: {rule}", path.display())));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_what_is_none_is_refused_without_being_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, " CAEaBA\r\n").unwrap();
        assert_eq!(read(&path).unwrap().expose(), "CAEaBA");
        for text in ["", "\n", "hunter2 hunter2", "hunter2\nhunter2", "h\u{e4}"] {
            std::fs::write(&path, text).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains("no token"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn of_what_has_no_end_only_a_token_s_length_is_read() {
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
