//! How far content is that goes up in blocks: for the next attempt, and for the next process.

use rusqlite::Result;
use serde::{Deserialize, Serialize};

use super::documents::{self, DocumentKind};
use super::outbox;
use super::transaction::Transaction;

/// How much of a Message's content the hub's storage has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlocksUp {
    pub message: i64,
    /// The name under which the blocks are kept.
    pub blob_name: String,
    /// Of each block but the last.
    pub block_bytes: u32,
    /// So many are up, from the first.
    pub count: u32,
}

/// Of this Message; `None` if nothing of it is up.
pub(crate) fn load(transaction: &Transaction, message: i64) -> Result<Option<BlocksUp>> {
    let all = load_all(transaction)?;
    Ok(all.into_iter().find(|blocks| blocks.message == message))
}

/// In place of what is known of that Message. What is no longer to be uploaded is forgotten.
pub(crate) fn save(transaction: &mut Transaction, blocks: &BlocksUp) -> Result<()> {
    let mut all = Vec::new();
    for other in load_all(transaction)? {
        let message = other.message;
        if message != blocks.message && outbox::content_bytes(transaction, message)?.is_some() {
            all.push(other);
        }
    }
    all.push(blocks.clone());
    save_all(transaction, &all)
}

/// Nothing of this Message's content is up any more, or all of it.
pub(crate) fn forget(transaction: &mut Transaction, message: i64) -> Result<()> {
    let mut all = load_all(transaction)?;
    let count = all.len();
    all.retain(|blocks| blocks.message != message);
    match all.len() {
        0 if count > 0 => documents::forget(transaction, DocumentKind::BlocksUp),
        left if left < count => save_all(transaction, &all),
        _ => Ok(()),
    }
}

/// There are few: content is uploaded one by one, oldest first.
fn load_all(transaction: &Transaction) -> Result<Vec<BlocksUp>> {
    let row = documents::load(transaction, DocumentKind::BlocksUp)?;
    let all = row.and_then(|(_, document)| serde_json::from_str(&document).ok());
    Ok(all.unwrap_or_default())
}

fn save_all(transaction: &mut Transaction, all: &[BlocksUp]) -> Result<()> {
    let document = serde_json::to_string(all).unwrap_or_default();
    documents::save(transaction, DocumentKind::BlocksUp, Some(&(0, document)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::priority::Priority;
    use crate::store::rows::ids::RowIds;
    use crate::store::rows::schema;

    #[test]
    fn what_is_no_longer_to_be_uploaded_is_forgotten_with_the_next_that_is_noted() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        schema::create(&connection).unwrap();
        let mut transaction = Transaction::new(connection, RowIds::default());
        let mut blocks_of_an_upload = || {
            let id = outbox::insert(&mut transaction, Priority::Normal, 0, "", true, b"content");
            let blocks = BlocksUp {
                message: id.unwrap(),
                blob_name: "blob".to_owned(),
                block_bytes: 1,
                count: 1,
            };
            save(&mut transaction, &blocks).unwrap();
            blocks
        };
        let [gone, stays] = [blocks_of_an_upload(), blocks_of_an_upload()];
        outbox::replace_content(&mut transaction, gone.message, b"link").unwrap();
        assert!(load(&transaction, gone.message).unwrap().is_some());
        save(&mut transaction, &stays).unwrap();
        assert_eq!(load(&transaction, gone.message).unwrap(), None);
        assert_eq!(load(&transaction, stays.message).unwrap(), Some(stays));
    }
}
