//! The published SDK's table `Messages`: what it has not sent, or not seen acknowledged.
//!
//! Its content is stored as it was given; compression, and whether it is uploaded, are decided when
//! it is sent. Each Message becomes the one that the published SDK would have sent.

use std::borrow::Cow;

use rusqlite::{Result, Row};

use super::columns::{Problems, bytes, required_text, text};
use super::old_file::OldFile;
use crate::compression::{Codec, Compression, compress};
use crate::identity::HubDeviceId;
use crate::message::rules::{UPLOAD_THRESHOLD_BYTES, check_rendered};
use crate::message::{MessageIds, Priority, StreamAddress, property_bag};
use crate::store::rows::set_aside::{self, Cause};
use crate::store::rows::{Transaction, outbox};

/// The published SDK knows no other. In a build without it, content goes as it is.
const CODEC: Option<Codec> = Some(Codec::Brotli);

/// How much content is compressed as hard as the application wanted. A backlog can be large, and
/// `SmallestSize` takes seconds for a MiB, more on a small device: beyond this the start would take
/// too long, and a watchdog might never let it end.
const SMALLEST_SIZE_BUDGET_BYTES: usize = 1 << 20;

/// How many were copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub pending: u64,
    pub set_aside: u64,
}

/// Copies them in their order, one at a time in memory. What breaks a rule is set aside.
pub(super) fn copy(
    old: OldFile<'_>,
    transaction: &mut Transaction,
    device: &HubDeviceId,
    now_ms: i64,
) -> Result<Copied> {
    let mut copied = Copied::default();
    let mut statement = old
        .connection
        .prepare("SELECT * FROM Messages ORDER BY id")?;
    let mut rows = statement.query(())?;
    let mut effort = Effort(SMALLEST_SIZE_BUDGET_BYTES);
    while let Some(row) = rows.next()? {
        let message = read(row, &mut effort);
        let (bag, upload) = (&message.properties, message.upload);
        let id = outbox::insert(
            transaction,
            Priority::Normal,
            now_ms,
            bag,
            upload,
            &message.body,
        )?;
        if message.problems.is_empty() {
            copied.pending += 1;
            continue;
        }
        let reason = format!(
            "taken over from the published SDK: {}",
            message.problems.join("; ")
        );
        let row_id: i64 = row.get("id")?;
        old.log(format_args!(
            "row {row_id} of Messages is set aside: {reason}"
        ));
        let cause = Cause {
            reason: &reason,
            identity: device,
            now_ms,
        };
        set_aside::move_one(transaction, id, cause)?;
        copied.set_aside += 1;
    }
    Ok(copied)
}

/// A Message as it is stored here, and why it cannot be sent.
struct Converted<'a> {
    properties: String,
    upload: bool,
    body: Cow<'a, [u8]>,
    problems: Problems,
}

/// What is left of the budget for the smallest size.
struct Effort(usize);

impl Effort {
    fn spend(&mut self, wanted: Compression, content: &[u8]) -> Compression {
        match (wanted, self.0.checked_sub(content.len())) {
            (Compression::SmallestSize, Some(left)) => self.0 = left,
            (Compression::SmallestSize, None) => return Compression::Fastest,
            _ => {}
        }
        wanted
    }
}

fn read<'a>(row: &'a Row<'_>, effort: &mut Effort) -> Converted<'a> {
    let mut problems = Problems::new();
    let mut id = |column| text(row, column, &mut problems);
    let address = StreamAddress {
        stream_group: id("stream_group"),
        stream: id("stream"),
    };
    let ids = MessageIds {
        site_id: id("site_id"),
        batch_id: id("batch_id"),
        batch_slice_id: id("batch_slice_id"),
        message_id: id("message_id"),
        chunk_id: id("chunk_id"),
    };
    let content = bytes(row, "content", &mut problems);
    let compression = effort.spend(compression(row, &mut problems), content);
    let (body, encoding) = match compress(content, compression, CODEC) {
        Some(compressed) => (
            Cow::Owned(compressed.body),
            Some(compressed.content_encoding),
        ),
        None => (Cow::Borrowed(content), None),
    };
    let upload = body.len() > UPLOAD_THRESHOLD_BYTES;
    let mut properties = property_bag::render(&address, &ids, encoding, upload);
    for pair in completion(row, &mut problems) {
        property_bag::push(&mut properties, pair);
    }
    let inline_bytes = if upload { 0 } else { body.len() };
    problems.extend(check_rendered(&properties, inline_bytes).err());
    Converted {
        properties,
        upload,
        body,
        problems,
    }
}

fn compression(row: &Row<'_>, problems: &mut Problems) -> Compression {
    match required_text(row, "compression", problems).as_str() {
        "None" => Compression::Uncompressed,
        "BrotliFastest" => Compression::Fastest,
        "BrotliSmallestSize" => Compression::SmallestSize,
        _ => {
            problems.push("its compression is unknown".to_owned());
            Compression::Uncompressed
        }
    }
}

/// What it completes, besides or instead of bringing content.
fn completion(row: &Row<'_>, problems: &mut Problems) -> &'static [&'static str] {
    match required_text(row, "close_option", problems).as_str() {
        "None" => &[],
        "Close" => &["complete-batch=true"],
        "CloseOnly" => &["complete-batch=true", "ignore-payload=true"],
        "CloseMessageOnly" => &["complete-message=true", "ignore-payload=true"],
        _ => {
            problems.push("its close_option is unknown".to_owned());
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_is_sought_within_a_budget() {
        let mut effort = Effort(10);
        let mut spend = |wanted, bytes| effort.spend(wanted, &vec![0; bytes]);
        assert_eq!(spend(Compression::Fastest, 100), Compression::Fastest);
        assert_eq!(
            spend(Compression::Uncompressed, 100),
            Compression::Uncompressed
        );
        assert_eq!(spend(Compression::SmallestSize, 11), Compression::Fastest);
        assert_eq!(
            spend(Compression::SmallestSize, 6),
            Compression::SmallestSize
        );
        assert_eq!(spend(Compression::SmallestSize, 6), Compression::Fastest);
        assert_eq!(
            spend(Compression::SmallestSize, 4),
            Compression::SmallestSize
        );
        assert_eq!(spend(Compression::SmallestSize, 1), Compression::Fastest);
    }
}
