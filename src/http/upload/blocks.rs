//! Step 2 in blocks (Azure Blob Storage's Put Block and Put Block List): each is kept by the storage when it has
//! answered, for a week, also for whoever comes with a newer link to the same blob. So an upload that broke off goes
//! on where it was.
//!
//! ```text
//! PUT blob  /container/blob?sasToken&comp=block&blockid=...   a block, again and again
//! PUT blob  /container/blob?sasToken&comp=blocklist           the blocks become the content
//! ```

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Answer, Place, UploadError, refusal, refused, unavailable};
use crate::http::agent::Agent;

impl Place {
    /// Uploads one block, for as long as that makes progress. A block sent again replaces itself.
    pub fn put_block(&self, agent: &Agent, number: u32, block: &[u8]) -> Result<(), UploadError> {
        let query = format!("&comp=block&blockid={}", block_id(number));
        let headers = [("content-type", "application/octet-stream")];
        let answer = self.write(agent, &query, &headers, block)?;
        match answer.status {
            200..=299 => Ok(()),
            status @ (408 | 429) => Err(refusal(status)),
            403 if number > 0 || is_about_signature(&answer) => {
                Err(UploadError::Transient(unavailable(403)))
            }
            // A storage that has taken the first block knows what blocks are.
            status @ 400..=499 if number == 0 => Err(UploadError::BlocksRefused(refused(status))),
            status => Err(refusal(status)),
        }
    }

    /// Makes the first `count` blocks the content. It may be called again, also after a success that nobody heard.
    pub fn commit_blocks(&self, agent: &Agent, count: u32) -> Result<(), UploadError> {
        let headers = [("content-type", "application/xml")];
        let list = block_list(count);
        let answer = self.write(agent, "&comp=blocklist", &headers, list.as_bytes())?;
        match answer.status {
            200..=299 => Ok(()),
            403 => Err(UploadError::Transient(unavailable(403))),
            status => Err(refusal(status)),
        }
    }
}

/// Azure answers 403 to a link that is no longer valid, and says so in words.
fn is_about_signature(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    text.contains("signature") || text.contains("expir")
}

/// Ids of one length, as Azure wants them. The Base64 of digits has no character that a query could not hold.
fn block_id(number: u32) -> String {
    BASE64_STANDARD.encode(format!("{number:06}"))
}

fn block_list(count: u32) -> String {
    let blocks = (0..count).map(|number| format!("<Latest>{}</Latest>", block_id(number)));
    let blocks: String = blocks.collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_length_and_need_no_encoding() {
        for number in [0, 1, 9, 1_023, 49_999] {
            let id = block_id(number);
            assert_eq!(id.len(), 8, "{number}");
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
        }
        assert_ne!(block_id(1), block_id(10));
    }

    #[test]
    fn a_list_names_the_blocks_in_order() {
        let list = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
                    <BlockList><Latest>MDAwMDAw</Latest><Latest>MDAwMDAx</Latest></BlockList>";
        assert_eq!(block_list(2), list);
    }
}
