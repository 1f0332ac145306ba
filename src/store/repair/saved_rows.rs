//! The rows of our tables, recognised by their shape and written into a new database.

use std::collections::{HashMap, HashSet};

use rusqlite::types::Value::{self, Blob, Integer, Null, Text};
use rusqlite::{Connection, ErrorCode, Result, params_from_iter};

use super::record::{Pages, Record};
use super::tree::{Ids, Tree, free_pages};
use crate::store::disk::sqlite::PAGE_BYTES;
use crate::store::rows::{chunks, schema};

/// In the order in which they are saved: who we are comes first.
pub(super) const TABLES: [&str; 7] = [
    "device",
    "counter",
    "document",
    "inbox",
    "outbox",
    "set_aside",
    CHUNKS,
];

/// Not in every file.
const CHUNKS: &str = "chunk";

/// What was saved of a table, and which ids may be missing.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub rows: u64,
    pub gaps: Vec<Ids>,
}

/// What was saved of all.
#[derive(Debug, Default)]
pub(super) struct SavedTables {
    pub tables: HashMap<&'static str, Saved>,
    /// Messages that were sent may be among those that were saved: the damage has cut pages off, and took the
    /// list of free pages with it, or the generation of what is noted in the sent log.
    pub may_repeat: bool,
}

impl SavedTables {
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.get(table).map_or(0, |saved| saved.rows)
    }

    pub fn gaps(&self, table: &str) -> &[Ids] {
        self.tables.get(table).map_or(&[], |saved| &saved.gaps)
    }
}

/// Copies what can be read.
pub(super) fn save(pages: &impl Pages, new: &Connection) -> Result<SavedTables> {
    let roots = roots(pages)?;
    let (free, free_is_complete) = free_pages(pages);
    let mut seen = HashSet::new();
    let mut saved = SavedTables::default();
    for table in TABLES {
        if table == CHUNKS {
            if !roots.contains_key(CHUNKS) && !chunks::are_wanted(new)? {
                continue;
            }
            schema::add_chunks(new)?;
        }
        let mut tree = Tree::new(pages, &mut seen);
        let mut rows = 0;
        let root = roots.get(table).copied().unwrap_or(0);
        tree.walk(root, &mut |id, record| {
            let taken = insert(new, table, id, &record)?;
            rows += u64::from(taken);
            Ok::<bool, rusqlite::Error>(taken)
        })?;
        let gaps = tree.gaps;
        saved.tables.insert(table, Saved { rows, gaps });
    }
    for (table, saved_table) in &mut saved.tables {
        let mut tree = Tree::new(pages, &mut seen);
        tree.gaps = std::mem::take(&mut saved_table.gaps);
        saved.may_repeat |= match *table {
            "outbox" => !tree.gaps.is_empty() && !free_is_complete,
            "counter" => !tree.gaps.is_empty(),
            _ => false,
        };
        tree.search_gaps(&free, &mut |id, record| {
            let taken = insert(new, table, id, &record)?;
            saved_table.rows += u64::from(taken);
            Ok::<bool, rusqlite::Error>(taken)
        })?;
        saved_table.gaps = tree.gaps;
    }
    for (table, id) in chunks::delete_broken(new)? {
        let saved = saved.tables.entry(table).or_default();
        saved.rows = saved.rows.saturating_sub(1);
        saved.gaps.push(id..=id);
    }
    Ok(saved)
}

/// Where the tables begin: as the schema says, or as it does in every file of ours.
fn roots(pages: &impl Pages) -> Result<HashMap<String, u32>> {
    let fresh = Connection::open_in_memory()?;
    fresh.pragma_update(None, "page_size", PAGE_BYTES)?;
    schema::create(&fresh)?;
    let mut roots: HashMap<String, u32> = fresh
        .prepare("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    let mut seen = HashSet::new();
    let mut row = |_, record: Record| {
        if let [Text(kind), Text(name), _, Integer(root), _] = record.as_slice()
            && kind == "table"
            && let Ok(root) = u32::try_from(*root)
        {
            let name = schema::name_today(name);
            if TABLES.contains(&name) {
                roots.insert(name.to_owned(), root);
            }
        }
        Ok::<bool, rusqlite::Error>(true)
    };
    Tree::new(pages, &mut seen).walk(1, &mut row)?;
    Ok(roots)
}

/// Whether a record is a row of this table.
pub(super) fn fits(table: &str, id: i64, record: &[Value]) -> bool {
    match (table, record) {
        (
            "device",
            [
                Null | Integer(_),
                Text(_),
                Text(_),
                fields @ ..,
                Integer(0 | 1),
            ],
        ) => {
            id == 0
                && fields.len() == 4
                && fields.iter().all(|field| matches!(field, Null | Text(_)))
        }
        ("counter", [Text(_), Integer(_)]) => true,
        ("document", [Text(_), Integer(_), Text(_)]) => true,
        ("inbox", [Null, Text(_), Blob(_)]) => id > 0,
        ("outbox", [Null, Integer(_), Text(_), Integer(0..=2), Blob(_)]) => id > 0,
        (CHUNKS, [Null, Integer(_) | Blob(_)]) => id > 0,
        (
            "set_aside",
            [
                Null,
                Integer(_),
                Text(_),
                Text(_),
                Text(_),
                Integer(_),
                Text(_),
                Integer(0..=2),
                Blob(_),
            ],
        ) => id > 0,
        _ => false,
    }
}

/// Returns whether it is a row of the table, and was not there yet.
pub(super) fn insert(new: &Connection, table: &str, id: i64, record: &[Value]) -> Result<bool> {
    if !fits(table, id, record) {
        return Ok(false);
    }
    let places = vec!["?"; record.len()].join(", ");
    let id = Integer(id);
    let fields = record.iter().enumerate().map(|(place, field)| match field {
        Null if place == 0 => &id,
        field => field,
    });
    let inserted = new
        .prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"))?
        .execute(params_from_iter(fields));
    match inserted {
        Ok(rows) => Ok(rows > 0),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
