//! Reads columns that may be missing, as in older schemas, or hold what they should not.
//!
//! Whatever is there is kept as well as it can be, and what is wrong with it is noted.

use rusqlite::Row;
use rusqlite::types::ValueRef;

/// What is wrong with a row, in words that do not repeat its content.
pub(super) type Problems = Vec<String>;

/// The text of a column, or `None` if it is NULL or there is no such column.
pub(super) fn text(row: &Row<'_>, column: &str, problems: &mut Problems) -> Option<String> {
    let value = row.get_ref(column).unwrap_or(ValueRef::Null);
    let (text, found) = match value {
        ValueRef::Null => return None,
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => return Some(text.to_owned()),
            Err(_) => (lossy(bytes), "text that is not UTF-8"),
        },
        ValueRef::Blob(bytes) => (lossy(bytes), "a BLOB in the place of text"),
        ValueRef::Integer(number) => (number.to_string(), "a number in the place of text"),
        ValueRef::Real(number) => (number.to_string(), "a number in the place of text"),
    };
    problems.push(format!("{column} is {found}"));
    Some(text)
}

/// The text of a column that must have one; else it is empty.
pub(super) fn required_text(row: &Row<'_>, column: &str, problems: &mut Problems) -> String {
    text(row, column, problems).unwrap_or_else(|| {
        problems.push(format!("{column} is missing"));
        String::new()
    })
}

/// The bytes of a column; empty if there are none.
pub(super) fn bytes<'a>(row: &'a Row<'_>, column: &str, problems: &mut Problems) -> &'a [u8] {
    let (bytes, found) = match row.get_ref(column).unwrap_or(ValueRef::Null) {
        ValueRef::Blob(bytes) => return bytes,
        ValueRef::Text(bytes) => (bytes, "text in the place of a BLOB"),
        ValueRef::Null => (&[][..], "missing"),
        ValueRef::Integer(_) | ValueRef::Real(_) => (&[][..], "a number in the place of a BLOB"),
    };
    problems.push(format!("{column} is {found}"));
    bytes
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
