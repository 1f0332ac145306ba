//! Answers that no HTTP server gives: decided on a request's head, before the server sees it.

use std::io::{self, Cursor};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

use super::faults::hold;
use crate::faults::{Blockage, Way};
use crate::foreign;
use crate::hub::connection::Stream;
use crate::requests::{RawAnswer, RawEnd, Route};
use crate::state::Core;

/// Longer heads are the server's to refuse.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Answers the request with this head, if it was told to; else returns the connection as if untouched.
pub(super) async fn answer(
    core: &Core,
    stream: Stream,
    head: Vec<u8>,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let route = Route::of(method, path, query);
    let answer = core.change(|state| {
        let blocked = state.faults.blockage(Way::WebSocket);
        let blocked = blocked.filter(|_| route == Route::HubWebSocket);
        blocked
            .and_then(instead_of_a_websocket)
            .or_else(|| state.http.take_raw(route))
    });
    let Some(answer) = answer else {
        let (read, write) = tokio::io::split(stream);
        return Some(tokio::io::join(Cursor::new(head).chain(read), write));
    };
    core.change(|state| state.http.arrived(method, path, query));
    hold(core, route).await;
    // Nothing is made of errors: the client has gone, which is how many of these end.
    let _ = give(stream, &answer, content_length(&text)).await;
    None
}

fn instead_of_a_websocket(blockage: Blockage) -> Option<RawAnswer> {
    let answer = match blockage {
        // Waits like other requests that are held.
        Blockage::Silent => return None,
        Blockage::Refused => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        Blockage::Foreign => foreign::PORTAL,
        Blockage::Cut => return Some(RawAnswer::new("").cut()),
    };
    Some(RawAnswer::new(answer))
}

/// Reads a request's head, as far as there is one.
pub(super) async fn read_head(stream: &mut Stream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read_until(b'\n', &mut head).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    head
}

fn content_length(head: &str) -> u64 {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

async fn give(mut stream: Stream, answer: &RawAnswer, body_bytes: u64) -> io::Result<()> {
    if !answer.early {
        let mut body = (&mut stream).take(body_bytes);
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
    }
    if answer.pause == Duration::ZERO {
        stream.write_all(&answer.bytes).await?;
        stream.flush().await?;
    } else {
        for byte in &answer.bytes {
            stream.write_all(&[*byte]).await?;
            stream.flush().await?;
            sleep(answer.pause).await;
        }
    }
    match answer.end {
        RawEnd::Declared => stream.shutdown().await,
        RawEnd::Cut => Ok(()),
        RawEnd::Reset => {
            let (tcp, _) = stream.get_ref().get_ref().get_ref();
            SockRef::from(tcp).set_linger(Some(Duration::ZERO))
        }
        RawEnd::Silence => {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            Ok(())
        }
    }
}
