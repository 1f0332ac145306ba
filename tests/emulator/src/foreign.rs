//! What answers in the Platform's place when a way to it is blocked.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::faults::{Blockage, Way};
use crate::state::Core;

/// As of an intercepting proxy that was asked for no such thing.
const NO_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: proxy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// As of a captive portal.
pub(crate) const PORTAL: &str = "HTTP/1.1 200 OK\r\n\
    Content-Type: text/html\r\n\
    Content-Length: 42\r\n\
    Connection: close\r\n\r\n\
    <html><body>Please sign in.</body></html>\n";

impl Core {
    /// What blocks that way, but for silence, which it waits for to end.
    pub async fn blockage(&self, way: Way) -> Option<Blockage> {
        self.until(|state| match state.faults.blockage(way) {
            Some(Blockage::Silent) => None,
            other => Some(other),
        })
        .await
    }

    /// Whether a connection may pass that way; else it is dealt with.
    pub async fn passes<S>(&self, way: Way, stream: &mut S) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(blockage) = self.blockage(way).await else {
            return true;
        };
        // Nothing is made of errors: the connection ends in any case.
        let _ = block(blockage, stream).await;
        false
    }
}

async fn block<S>(blockage: Blockage, stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if blockage != Blockage::Refused {
        let _ = stream.read(&mut [0; 4096]).await?;
    }
    if blockage == Blockage::Foreign {
        stream.write_all(NO_HTTP).await?;
        stream.shutdown().await?;
        // Until the device goes: else what it still sends would reset the answer away.
        tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    }
    Ok(())
}
