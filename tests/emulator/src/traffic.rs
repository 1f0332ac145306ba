//! Every byte that devices and the Platform sent each other, decrypted: for whoever compares devices byte for byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What went over one connection, HTTP or MQTT, without TLS.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// What the device sent.
    pub from_device: Vec<u8>,
    /// What the Platform sent.
    pub to_device: Vec<u8>,
}

type Shared = Arc<Mutex<Traffic>>;

/// All connections in the order in which they came, if they are recorded.
pub(crate) struct TrafficLog {
    connections: Option<Mutex<Vec<Shared>>>,
}

impl TrafficLog {
    pub fn new(record: bool) -> Self {
        Self {
            connections: record.then(Mutex::default),
        }
    }

    pub fn tap<S>(&self, stream: S) -> Tap<S> {
        let record = self.connections.as_ref().map(|connections| {
            let record = Shared::default();
            connections.lock().push(record.clone());
            record
        });
        Tap { stream, record }
    }

    pub fn all(&self) -> Vec<Traffic> {
        let connections = self.connections.iter().flat_map(|all| all.lock().clone());
        connections.map(|record| record.lock().clone()).collect()
    }
}

/// A stream, and what went over it.
pub(crate) struct Tap<S> {
    stream: S,
    record: Option<Shared>,
}

impl<S> Tap<S> {
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(record) = &self.record {
            let news = &buffer.filled()[before..];
            record.lock().from_device.extend_from_slice(news);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if let (Some(record), Poll::Ready(Ok(length))) = (&self.record, &written) {
            let news = &buffer[..*length];
            record.lock().to_device.extend_from_slice(news);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
