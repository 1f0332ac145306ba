//! The storage over HTTP, with Azure Blob Storage's requests, answers and errors.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::registry::HubId;
use crate::state::{self, Core};
use crate::storage::{Access, BlockSource, Refused, StorageWrite, WriteKind};

/// What a block may have, and a blob that comes as a whole. The storage takes more of the latter, but no memory does.
const BLOCK_BYTES_MAX: u64 = 100 * 1024 * 1024;
const BLOB_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Ends a connection without an answer, when notified.
pub(crate) type Cut = Arc<Notify>;

/// An error as the storage tells it.
pub(crate) struct StorageError {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    detail: Option<String>,
}

impl StorageError {
    fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
            detail: None,
        }
    }

    fn bad_request(code: &'static str, message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn authentication(detail: String) -> Self {
        Self {
            detail: Some(detail),
            ..Self::new(
                StatusCode::FORBIDDEN,
                "AuthenticationFailed",
                "Server failed to authenticate the request. Make sure the value of Authorization header is formed \
                 correctly including the signature.",
            )
        }
    }

    fn unknown_comp() -> Self {
        Self::bad_request(
            "InvalidQueryParameterValue",
            "Value for one of the query parameters specified in the request URI is invalid.",
        )
    }
}

impl From<Refused> for StorageError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BlockId => Self::bad_request(
                "InvalidQueryParameterValue",
                "The specified block ID is invalid. The block ID must be Base64-encoded.",
            ),
            Refused::BlockIdLength => Self::bad_request(
                "InvalidBlobOrBlock",
                "The specified blob or block content is invalid.",
            ),
            Refused::TooManyBlocks => Self::new(
                StatusCode::CONFLICT,
                "BlockCountExceedsLimit",
                "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks.",
            ),
            Refused::ListTooLong => Self::bad_request(
                "BlockListTooLong",
                "The block list may not contain more than 50,000 blocks.",
            ),
            Refused::UnknownBlock => {
                Self::bad_request("InvalidBlockList", "The specified block list is invalid.")
            }
        }
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        let detail = self.detail.map_or_else(String::new, |detail| {
            format!("<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>")
        });
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message>{detail}</Error>",
            self.code, self.message
        );
        let headers = [
            (header::CONTENT_TYPE.as_str(), "application/xml"),
            ("x-ms-error-code", self.code),
        ];
        (self.status, headers, body).into_response()
    }
}

/// What a PUT request wants to write, and where.
struct Target {
    hub_id: HubId,
    blob_name: String,
    kind: WriteKind,
    upload: usize,
    content_length: u64,
}

/// `PUT /{container}/{blob}`: a blob, a block, or a list of blocks.
pub(crate) async fn put(
    State(core): State<Arc<Core>>,
    Extension(cut): Extension<Cut>,
    Path(blob): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, StorageError> {
    let query = query.unwrap_or_default();
    let (target, number) = core.change(|state| {
        let target = target(&core, state, &blob, &query, &headers)?;
        let number = state.storage.writes.began(StorageWrite {
            hub_id: target.hub_id.clone(),
            blob_name: target.blob_name.clone(),
            kind: target.kind.clone(),
            content_length: target.content_length,
            received_bytes: 0,
            status: None,
            at: Instant::now(),
        });
        Ok::<_, StorageError>((target, number))
    })?;
    let Some(content) = receive(&core, number, body).await else {
        cut.notify_one();
        // Never answered: the connection ends.
        return std::future::pending().await;
    };
    core.change(|state| {
        let written = write(state, target, content);
        let status = match &written {
            Ok(()) => StatusCode::CREATED,
            Err(error) => error.status,
        };
        let storage = &mut state.storage;
        storage
            .writes
            .change(number, |write| write.status = Some(status.as_u16()));
        written.map(|()| created(&core))
    })
}

/// Where a request may write to, and what.
fn target(
    core: &Core,
    state: &state::State,
    blob: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Target, StorageError> {
    let not_found = || {
        StorageError::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            "The specified resource does not exist.",
        )
    };
    let (hub_id, blob_name) = blob.split_once('/').ok_or_else(not_found)?;
    let signature = parameter(query, "sig").unwrap_or_default();
    let upload = match state.storage.uploads.access(hub_id, blob_name, &signature) {
        Access::Granted(upload) => upload,
        Access::UnknownBlob => return Err(not_found()),
        Access::WrongSignature => {
            let detail = "Signature did not match.".to_owned();
            return Err(StorageError::authentication(detail));
        }
        Access::Expired => {
            return Err(StorageError::authentication(format!(
                "Signature not valid in the specified time frame: Expiry [{}] - Current [{}]",
                parameter(query, "se").unwrap_or_default(),
                core.clock.http_date(),
            )));
        }
    };
    let kind = kind(query, headers)?;
    if kind != WriteKind::Blob && state.storage.faults.refuse_blocks {
        return Err(StorageError::unknown_comp());
    }
    let content_length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| {
            StorageError::new(
                StatusCode::LENGTH_REQUIRED,
                "MissingContentLengthHeader",
                "Content-Length HTTP header is missing.",
            )
        })?;
    let limit = match kind {
        WriteKind::Blob => BLOB_BYTES_MAX,
        WriteKind::Block(_) | WriteKind::BlockList => BLOCK_BYTES_MAX,
    };
    if content_length > limit {
        return Err(StorageError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestBodyTooLarge",
            "The request body is too large and exceeds the maximum permissible limit.",
        ));
    }
    Ok(Target {
        hub_id: hub_id.to_owned(),
        blob_name: blob_name.to_owned(),
        kind,
        upload,
        content_length,
    })
}

fn kind(query: &str, headers: &HeaderMap) -> Result<WriteKind, StorageError> {
    match parameter(query, "comp").as_deref() {
        Some("block") => {
            let id = parameter(query, "blockid").ok_or_else(|| {
                StorageError::bad_request(
                    "MissingRequiredQueryParameter",
                    "A required query parameter was not specified for this request.",
                )
            })?;
            Ok(WriteKind::Block(id))
        }
        Some("blocklist") => Ok(WriteKind::BlockList),
        Some(_) => Err(StorageError::unknown_comp()),
        None if headers
            .get("x-ms-blob-type")
            .is_some_and(|value| value == "BlockBlob") =>
        {
            Ok(WriteKind::Blob)
        }
        None => Err(StorageError::bad_request(
            "MissingRequiredHeader",
            "An HTTP header that's mandatory for this request is not specified.",
        )),
    }
}

/// The value of a query's parameter, decoded. A plus sign is one: Base64 that is not encoded stays what it is.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The content, at the storage's pace; none if the client broke off or the connection is to be cut.
async fn receive(core: &Core, number: u64, mut body: Body) -> Option<Bytes> {
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        let (next_at, cut) = core.change(|state| {
            let storage = &mut state.storage;
            let bytes = data.len() as u64;
            let cut = storage.faults.cut_within(bytes);
            storage.writes.change(number, |write| {
                write.received_bytes += cut.unwrap_or(bytes);
            });
            (storage.pace.take(data.len(), Instant::now()), cut.is_some())
        });
        if cut {
            return None;
        }
        content.extend_from_slice(&data);
        sleep_until(next_at.into()).await;
    }
    Some(content.freeze())
}

fn write(state: &mut state::State, target: Target, content: Bytes) -> Result<(), StorageError> {
    let Target {
        hub_id,
        blob_name,
        kind,
        upload,
        ..
    } = target;
    let storage = &mut state.storage;
    match kind {
        WriteKind::Blob => {
            storage.uploads.stored(upload, content.len(), 0);
            storage.blobs.put(&hub_id, &blob_name, content);
        }
        WriteKind::Block(id) => {
            storage.blobs.put_block(&hub_id, &blob_name, &id, content)?;
        }
        WriteKind::BlockList => {
            let list = block_list(&content).ok_or_else(|| {
                StorageError::bad_request(
                    "InvalidXmlDocument",
                    "XML specified is not syntactically valid.",
                )
            })?;
            let bytes = storage.blobs.commit(&hub_id, &blob_name, &list)?;
            storage.uploads.stored(upload, bytes, list.len());
        }
    }
    Ok(())
}

/// `<BlockList>` with `<Latest>`, `<Committed>` and `<Uncommitted>` ids.
fn block_list(xml: &[u8]) -> Option<Vec<(BlockSource, String)>> {
    let xml = std::str::from_utf8(xml).ok()?;
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    let mut list = Vec::new();
    let mut in_list = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) if element.name().as_ref() == "BlockList" && !in_list => {
                in_list = true;
            }
            Event::Start(element) if in_list => {
                let source = match element.name().as_ref() {
                    "Latest" => BlockSource::Latest,
                    "Committed" => BlockSource::Committed,
                    "Uncommitted" => BlockSource::Uncommitted,
                    _ => return None,
                };
                let id = reader.read_text(element.name()).ok()?;
                list.push((source, id.trim().to_owned()));
            }
            Event::End(_) if in_list => return Some(list),
            Event::Empty(element) if element.name().as_ref() == "BlockList" && !in_list => {
                return Some(list);
            }
            Event::Decl(_) | Event::Comment(_) => {}
            Event::Text(text) if text.trim().is_empty() => {}
            _ => return None,
        }
    }
}

fn created(core: &Core) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    let headers = [
        (header::ETAG.as_str(), format!("\"{request_id}\"")),
        (header::LAST_MODIFIED.as_str(), core.clock.http_date()),
        ("x-ms-request-id", request_id),
        ("x-ms-version", "2018-03-28".to_owned()),
        ("x-ms-request-server-encrypted", "true".to_owned()),
    ];
    (StatusCode::CREATED, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_blocks_are_read_or_refused() {
        let list = block_list(
            b"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n <Latest>MDAx</Latest>\
              <Committed>MDAy</Committed><Uncommitted>MDAz</Uncommitted></BlockList>",
        );
        let list = list.unwrap();
        assert_eq!(
            list,
            [
                (BlockSource::Latest, "MDAx".to_owned()),
                (BlockSource::Committed, "MDAy".to_owned()),
                (BlockSource::Uncommitted, "MDAz".to_owned())
            ]
        );
        assert_eq!(block_list(b"<BlockList/>"), Some(vec![]));
        assert_eq!(block_list(b"<BlockList></BlockList>"), Some(vec![]));
        for broken in [
            "",
            "MDAx",
            "<BlockList>",
            "<BlockList>MDAx</BlockList>",
            "<BlockList><Latest>MDAx</BlockList>",
            "<BlockList><Other>MDAx</Other></BlockList>",
            "<List><Latest>MDAx</Latest></List>",
        ] {
            assert_eq!(block_list(broken.as_bytes()), None, "{broken}");
        }
    }
}
