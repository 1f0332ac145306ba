//! Blobs and their blocks, as Azure Blob Storage keeps them.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};

use crate::registry::HubId;

/// Azure's limits, for what a service of the version in the SAS takes.
const BLOCK_ID_BYTES_MAX: usize = 64;
const COMMITTED_BLOCKS_MAX: usize = 50_000;
const UNCOMMITTED_BLOCKS_MAX: usize = 100_000;

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The id of a block is no Base64, or too long.
    BlockId,
    /// The ids of a blob's blocks differ in length.
    BlockIdLength,
    /// Too many blocks are not committed.
    TooManyBlocks,
    /// A list names too many blocks.
    ListTooLong,
    /// A list names a block that is not there.
    UnknownBlock,
}

/// Where a list says that a block is to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockSource {
    Committed,
    Uncommitted,
    /// Not committed if there is such a one, else committed.
    Latest,
}

#[derive(Default)]
struct Blob {
    content: Option<Bytes>,
    committed: Vec<(String, Bytes)>,
    uncommitted: HashMap<String, Bytes>,
}

/// By device and name.
#[derive(Default)]
pub(crate) struct Blobs {
    blobs: HashMap<(HubId, String), Blob>,
}

impl Blobs {
    pub fn content(&self, hub_id: &str, name: &str) -> Option<Bytes> {
        let blob = self.blobs.get(&(hub_id.to_owned(), name.to_owned()))?;
        blob.content.clone()
    }

    /// The whole content at once, in place of what was there; blocks are gone.
    pub fn put(&mut self, hub_id: &str, name: &str, content: Bytes) {
        let blob = Blob {
            content: Some(content),
            ..Blob::default()
        };
        self.blobs
            .insert((hub_id.to_owned(), name.to_owned()), blob);
    }

    /// A block, in place of one with the same id that is not committed.
    pub fn put_block(
        &mut self,
        hub_id: &str,
        name: &str,
        id: &str,
        content: Bytes,
    ) -> Result<(), Refused> {
        check_id(id)?;
        let blob = self.blob(hub_id, name);
        let committed = blob.committed.iter().map(|(id, _)| id);
        let mut others = blob.uncommitted.keys().chain(committed);
        if others.next().is_some_and(|other| other.len() != id.len()) {
            return Err(Refused::BlockIdLength);
        }
        if blob.uncommitted.len() >= UNCOMMITTED_BLOCKS_MAX && !blob.uncommitted.contains_key(id) {
            return Err(Refused::TooManyBlocks);
        }
        blob.uncommitted.insert(id.to_owned(), content);
        Ok(())
    }

    /// Makes these blocks the content; returns its size. All other blocks are gone.
    pub fn commit(
        &mut self,
        hub_id: &str,
        name: &str,
        list: &[(BlockSource, String)],
    ) -> Result<usize, Refused> {
        if list.len() > COMMITTED_BLOCKS_MAX {
            return Err(Refused::ListTooLong);
        }
        let blob = self.blob(hub_id, name);
        let blocks = list
            .iter()
            .map(|(source, id)| blob.block(*source, id))
            .collect::<Option<Vec<_>>>()
            .ok_or(Refused::UnknownBlock)?;
        let mut content = BytesMut::with_capacity(blocks.iter().map(Bytes::len).sum());
        for block in &blocks {
            content.extend_from_slice(block);
        }
        let content = content.freeze();
        // Parts of the content, which is so kept once.
        let mut rest = content.clone();
        let ids = list.iter().map(|(_, id)| id.clone());
        let parts = blocks.iter().map(|block| rest.split_to(block.len()));
        let committed = ids.zip(parts).collect();
        let bytes = content.len();
        *blob = Blob {
            content: Some(content),
            committed,
            uncommitted: HashMap::new(),
        };
        Ok(bytes)
    }

    /// The ids and sizes of a blob's blocks that are not committed, by id.
    pub fn uncommitted(&self, hub_id: &str, name: &str) -> Vec<(String, usize)> {
        let blob = self.blobs.get(&(hub_id.to_owned(), name.to_owned()));
        let blocks = blob.into_iter().flat_map(|blob| &blob.uncommitted);
        let mut blocks: Vec<_> = blocks
            .map(|(id, block)| (id.clone(), block.len()))
            .collect();
        blocks.sort_unstable();
        blocks
    }

    fn blob(&mut self, hub_id: &str, name: &str) -> &mut Blob {
        self.blobs
            .entry((hub_id.to_owned(), name.to_owned()))
            .or_default()
    }
}

impl Blob {
    fn block(&self, source: BlockSource, id: &str) -> Option<Bytes> {
        let uncommitted = || self.uncommitted.get(id).cloned();
        let committed = || {
            let mut committed = self.committed.iter();
            let (_, block) = committed.find(|(committed, _)| committed == id)?;
            Some(block.clone())
        };
        match source {
            BlockSource::Committed => committed(),
            BlockSource::Uncommitted => uncommitted(),
            BlockSource::Latest => uncommitted().or_else(committed),
        }
    }
}

fn check_id(id: &str) -> Result<(), Refused> {
    let decoded = BASE64_STANDARD.decode(id).map_err(|_| Refused::BlockId)?;
    if decoded.is_empty() || decoded.len() > BLOCK_ID_BYTES_MAX {
        return Err(Refused::BlockId);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["MDAx", "MDAy", "MDAz"];

    fn put(blobs: &mut Blobs, id: &str, content: &'static str) -> Result<(), Refused> {
        blobs.put_block("ws:dev", "b", id, content.into())
    }

    fn latest(ids: &[&str]) -> Vec<(BlockSource, String)> {
        ids.iter()
            .map(|id| (BlockSource::Latest, (*id).to_owned()))
            .collect()
    }

    fn commit(blobs: &mut Blobs, ids: &[&str]) -> Result<usize, Refused> {
        blobs.commit("ws:dev", "b", &latest(ids))
    }

    #[test]
    fn a_list_decides_on_order_and_on_what_stays() {
        let mut blobs = Blobs::default();
        for (id, content) in IDS.into_iter().zip(["a", "bb", "ccc"]) {
            put(&mut blobs, id, content).unwrap();
        }
        assert_eq!(blobs.content("ws:dev", "b"), None);
        put(&mut blobs, IDS[1], "B").unwrap();
        assert_eq!(commit(&mut blobs, &[IDS[2], IDS[1]]), Ok(4));
        assert_eq!(blobs.content("ws:dev", "b").unwrap(), "cccB");
        assert_eq!(commit(&mut blobs, &[IDS[0]]), Err(Refused::UnknownBlock));
        put(&mut blobs, IDS[0], "A").unwrap();
        assert_eq!(blobs.uncommitted("ws:dev", "b"), [(IDS[0].to_owned(), 1)]);
        assert_eq!(commit(&mut blobs, &[IDS[0], IDS[1]]), Ok(2));
        assert_eq!(blobs.content("ws:dev", "b").unwrap(), "AB");
        blobs.put("ws:dev", "b", "whole".into());
        assert_eq!(blobs.content("ws:dev", "b").unwrap(), "whole");
        assert_eq!(commit(&mut blobs, &[IDS[1]]), Err(Refused::UnknownBlock));
        assert_eq!(commit(&mut blobs, &[]), Ok(0));
    }

    #[test]
    fn sources_are_told_apart() {
        let mut blobs = Blobs::default();
        put(&mut blobs, IDS[0], "old").unwrap();
        commit(&mut blobs, &[IDS[0]]).unwrap();
        put(&mut blobs, IDS[0], "new").unwrap();
        let id = || IDS[0].to_owned();
        let both = [
            (BlockSource::Committed, id()),
            (BlockSource::Uncommitted, id()),
        ];
        blobs.commit("ws:dev", "b", &both).unwrap();
        assert_eq!(blobs.content("ws:dev", "b").unwrap(), "oldnew");
    }

    #[test]
    fn ids_keep_to_the_rules() {
        let mut blobs = Blobs::default();
        assert_eq!(put(&mut blobs, "no Base64", ""), Err(Refused::BlockId));
        assert_eq!(put(&mut blobs, "", ""), Err(Refused::BlockId));
        let long = BASE64_STANDARD.encode([0; 65]);
        assert_eq!(put(&mut blobs, &long, ""), Err(Refused::BlockId));
        put(&mut blobs, IDS[0], "").unwrap();
        assert_eq!(put(&mut blobs, "MDAxMDAx", ""), Err(Refused::BlockIdLength));
        commit(&mut blobs, &[IDS[0]]).unwrap();
        assert_eq!(put(&mut blobs, "MDAxMDAx", ""), Err(Refused::BlockIdLength));
        let many: Vec<_> = vec![IDS[0]; COMMITTED_BLOCKS_MAX + 1];
        assert_eq!(commit(&mut blobs, &many), Err(Refused::ListTooLong));
    }
}
