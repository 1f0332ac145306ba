//! Content that lies in chunks: it is saved whole, or its Message is lost.

use super::*;
use crate::store::Transaction;
use crate::store::rows::chunks::{self, CHUNK_BYTES, StoredContent};

/// A file in whose outbox are Messages with content in chunks, in its order, among others.
fn with_contents(directory: &Path, contents: &[usize]) -> std::path::PathBuf {
    let path = directory.join("device.db");
    let store = Store::open(&path).unwrap();
    for (number, bytes) in contents.iter().enumerate() {
        let content = content(number, *bytes);
        let write = move |transaction: &mut Transaction| {
            let id = chunks::begin(transaction)?;
            for (place, chunk) in (0..).zip(content.chunks(CHUNK_BYTES)) {
                chunks::append(transaction, id, place, chunk)?;
            }
            let bytes = content.len() as u64;
            let stored = StoredContent { id, bytes };
            let at_ms = 2 * number as i64;
            outbox::insert_with_content(transaction, Priority::Normal, at_ms, "p", stored)?;
            outbox::insert(transaction, Priority::Normal, at_ms + 1, "p", false, b"x")
        };
        store.execute(Durability::PowerSafe, write, |_| {}).unwrap();
    }
    drop(store);
    path
}

/// Each chunk of it is different.
fn content(number: usize, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    (0..bytes).map(|_| random.u8(..)).collect()
}

#[test]
fn content_in_chunks_is_saved_whole_or_its_message_is_lost_and_told() {
    let sizes = [2 * CHUNK_BYTES + 1, 3 * CHUNK_BYTES, CHUNK_BYTES + 9];
    let original = tempfile::tempdir().unwrap();
    let original = with_contents(original.path(), &sizes);
    let pages = fs::metadata(&original).unwrap().len() as usize / record::PAGE;
    let (mut whole, mut lost) = (0, 0);
    for page in (1..=12).chain((13..=pages).step_by(173)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.db");
        fs::copy(&original, &path).unwrap();
        damage(&path, page);
        let store = Store::open(&path).unwrap_or_else(|it| panic!("page {page}: {}", it.chain()));
        // Pages of chunks are read only when it is their turn: as the uploader does.
        let read = || {
            store.read(|transaction| {
                let (rows, _) = outbox::load(transaction, &(0..=i64::MAX), 100, usize::MAX)?;
                let read = |row: Outgoing| {
                    let content = outbox::content(transaction, row.id, 0..u64::MAX)?;
                    Ok((row.stored_at_ms, content))
                };
                rows.into_iter()
                    .map(read)
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        let rows = read().unwrap_or_else(|it| panic!("page {page}: {}", it.chain()));
        for (at_ms, found) in &rows {
            let number = *at_ms as usize / 2;
            if at_ms % 2 == 0 {
                let expected = content(number, sizes[number]);
                // Bytes that are damaged where no structure is are no matter here.
                let found = found.as_ref().expect("it is to be uploaded");
                assert_eq!(found.len(), expected.len(), "page {page}");
                whole += 1;
            } else {
                assert_eq!(*found, None, "page {page}");
            }
        }
        let missing = 2 * sizes.len() - rows.len();
        if missing > 0 {
            lost += 1;
            let recovery = store.recovery().expect("what is missing is reported");
            assert!(!recovery.gaps.is_empty(), "page {page}: {recovery:?}");
        }
    }
    assert!(whole > 0 && lost > 0, "{whole} {lost}");
}

#[test]
fn a_message_whose_chunk_is_gone_is_lost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = with_contents(directory.path(), &[CHUNK_BYTES + 1, CHUNK_BYTES + 2]);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "DELETE FROM chunk WHERE id = (SELECT max(id) FROM chunk)";
    assert_eq!(connection.execute(sql, ()).unwrap(), 1);
    drop(connection);
    let store = Store::open(&path).unwrap();
    let rows = |store: &Store| {
        let load = |transaction: &mut Transaction| {
            let ids = 0..=i64::MAX;
            let (rows, _) = outbox::load(transaction, &ids, 100, usize::MAX)?;
            Ok(rows.iter().map(|row| (row.id, row.stored_at_ms)).collect())
        };
        store.read::<Vec<(i64, i64)>>(load).unwrap()
    };
    let (broken, _) = rows(&store)[2];
    let read = store.read(move |it| outbox::content(it, broken, 0..u64::MAX));
    assert_eq!(
        read.unwrap(),
        None,
        "it is found when it is read, and mended"
    );
    let left: Vec<i64> = rows(&store).into_iter().map(|(_, at_ms)| at_ms).collect();
    assert_eq!(left, [0, 1, 3]);
    let recovery = store.recovery().expect("it is reported");
    assert_eq!(recovery.gaps, [broken..=broken]);
}
