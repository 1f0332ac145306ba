//! Pages and records of SQLite's file format (<https://sqlite.org/fileformat2.html>), read without
//! trusting them.

use std::collections::HashSet;

use rusqlite::types::Value;

use crate::store::disk::sqlite::PAGE_BYTES;

pub(super) const PAGE: usize = PAGE_BYTES as usize;
pub(super) type Page = [u8; PAGE];

/// The fields of a row, or of an index entry.
pub(super) type Record = Vec<Value>;

/// Where pages come from; `None` for one that cannot be read.
pub(super) trait Pages {
    fn page(&self, number: u32) -> Option<Page>;
    /// No page has a higher number.
    fn count(&self) -> u32;
}

/// The kinds of b-tree pages that we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TableInterior,
    TableLeaf,
    IndexLeaf,
}

/// A b-tree page: its kind, and where its cells begin.
pub(super) struct Cells {
    pub kind: Kind,
    pub starts: Vec<usize>,
    /// Of an interior page: the child behind all keys.
    pub last_child: u32,
}

/// Reads the header of a b-tree page; `None` if it is none.
pub(super) fn cells(page: &Page, number: u32) -> Option<Cells> {
    let header = if number == 1 { 100 } else { 0 };
    let (kind, header_bytes) = match page.get(header)? {
        5 => (Kind::TableInterior, 12),
        13 => (Kind::TableLeaf, 8),
        10 => (Kind::IndexLeaf, 8),
        _ => return None,
    };
    let count = be16(page, header + 3)?;
    let pointers = header + header_bytes;
    let starts = (0..count).map(|cell| be16(page, pointers + 2 * cell));
    let starts = starts.collect::<Option<Vec<usize>>>()?;
    let first = pointers + 2 * count;
    let last_child = be32(page, header + 8)?;
    starts
        .iter()
        .all(|start| (first..PAGE).contains(start))
        .then_some(Cells {
            kind,
            starts,
            last_child,
        })
}

/// The child and the key of a cell of an interior page.
pub(super) fn interior_cell(page: &Page, start: usize) -> Option<(u32, i64)> {
    Some((be32(page, start)?, varint(page, start + 4)?.0))
}

/// The rowid and the fields of a cell of a leaf page; the rowid of an index entry is 0.
pub(super) fn leaf_cell(
    pages: &impl Pages,
    page: &Page,
    kind: Kind,
    start: usize,
) -> Option<(i64, Record)> {
    let (bytes, start) = varint(page, start)?;
    let (rowid, start) = match kind {
        Kind::TableLeaf => varint(page, start)?,
        _ => (0, start),
    };
    let bytes = usize::try_from(bytes).ok()?;
    // In 64 bits: as `usize`, the size of a file of 4 GiB is 0 on a machine of 32.
    if bytes as u64 > u64::from(pages.count()) * PAGE as u64 {
        return None;
    }
    let local = local_bytes(bytes, kind);
    let mut payload = page.get(start..start + local)?.to_vec();
    if local < bytes {
        let mut next = be32(page, start + local)?;
        let mut seen = HashSet::new();
        while payload.len() < bytes {
            // A chain that comes back to a page would fill the memory.
            let is_new = next != 0 && seen.insert(next);
            let overflow = is_new.then(|| pages.page(next)).flatten()?;
            next = be32(&overflow, 0)?;
            let part = (bytes - payload.len()).min(PAGE - 4);
            payload.extend_from_slice(overflow.get(4..4 + part)?);
        }
        if next != 0 {
            return None;
        }
    }
    Some((rowid, record(&payload)?))
}

/// How much of a payload is on its b-tree page.
fn local_bytes(bytes: usize, kind: Kind) -> usize {
    let most = match kind {
        Kind::TableLeaf => PAGE - 35,
        _ => (PAGE - 12) * 64 / 255 - 23,
    };
    let least = (PAGE - 12) * 32 / 255 - 23;
    if bytes <= most {
        return bytes;
    }
    let wanted = least + (bytes - least) % (PAGE - 4);
    if wanted <= most { wanted } else { least }
}

fn record(payload: &[u8]) -> Option<Record> {
    let (header_bytes, mut at) = varint(payload, 0)?;
    let mut body = usize::try_from(header_bytes).ok()?;
    let header = payload.get(..body)?;
    let mut fields = Vec::new();
    while at < header.len() {
        let (kind, next) = varint(header, at)?;
        at = next;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let field = payload.get(body..body.checked_add(bytes)?)?;
        body += bytes;
        fields.push(match kind {
            0 => Value::Null,
            7 => return None,
            8 | 9 => Value::Integer(kind - 8),
            1..=6 => Value::Integer(integer(field)),
            _ if kind % 2 == 0 => Value::Blob(field.to_vec()),
            _ => Value::Text(String::from_utf8(field.to_vec()).ok()?),
        });
    }
    (body == payload.len()).then_some(fields)
}

fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |value, byte| value << 8 | i64::from(*byte))
}

/// A number of 1 to 9 bytes, and where the next begins.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut value: u64 = 0;
    for place in 0..9 {
        let byte = u64::from(*bytes.get(at + place)?);
        if place == 8 {
            return Some(((value << 8 | byte).cast_signed(), at + 9));
        }
        value = value << 7 | (byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value.cast_signed(), at + place + 1));
        }
    }
    None
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*word).into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A file of 4 GiB, all pages of which are the same.
    struct Huge {
        page: Page,
        reads: Cell<usize>,
    }

    impl Huge {
        fn of(bytes: &[u8]) -> Huge {
            let mut page = [0; PAGE];
            page[..bytes.len()].copy_from_slice(bytes);
            Huge {
                page,
                reads: Cell::new(0),
            }
        }
    }

    impl Pages for Huge {
        fn page(&self, _: u32) -> Option<Page> {
            self.reads.set(self.reads.get() + 1);
            Some(self.page)
        }

        fn count(&self) -> u32 {
            1 << 22
        }
    }

    #[test]
    fn a_row_of_a_file_of_4_gib_is_read_also_on_a_machine_of_32_bits() {
        // Three bytes with the rowid 5: a header of two, for one number of one byte.
        let file = Huge::of(&[3, 5, 2, 1, 7]);
        let found = leaf_cell(&file, &file.page, Kind::TableLeaf, 0);
        assert_eq!(found, Some((5, vec![Value::Integer(7)])));
    }

    #[test]
    fn a_chain_of_pages_that_leads_back_is_not_followed_for_ever() {
        // 2 GiB - 1, in pages each of which names the same one as the next.
        let mut file = Huge::of(&[0x87, 0xff, 0xff, 0xff, 0x7f, 5]);
        let local = local_bytes(i32::MAX as usize, Kind::TableLeaf);
        file.page[6 + local..][..4].fill(1);
        assert_eq!(leaf_cell(&file, &file.page, Kind::TableLeaf, 0), None);
        assert!(file.reads.get() <= 2, "{} reads", file.reads.get());
    }
}
