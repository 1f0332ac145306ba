//! What the relay sends to a device: frames, or what the faults make of them.

use bytes::BytesMut;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite};
use tokio::io::{AsyncWriteExt, WriteHalf};

use super::RelayFault;
use crate::websocket::{self, Socket};

/// The end of the content, as the relay tells it.
const NORMAL_CLOSURE: u16 = 1000;
/// No opcode and no length that there is.
const GARBAGE: &[u8] = &[0xff; 64];
/// A last frame of binary content, with a length of eight bytes.
const LONG_FRAME: &[u8] = &[0x82, 127];

pub(super) enum Sender<'a> {
    Frames {
        writer: WebSocketWrite<&'a mut WriteHalf<Socket>>,
        fault: RelayFault,
        gathered: BytesMut,
    },
    Raw(&'a mut WriteHalf<Socket>),
}

impl<'a> Sender<'a> {
    /// For a connection that is a WebSocket from now on.
    pub async fn start(
        stream: &'a mut WriteHalf<Socket>,
        fault: RelayFault,
    ) -> Result<Self, WebSocketError> {
        match fault {
            RelayFault::Garbage => Self::raw(stream, GARBAGE).await,
            RelayFault::EndlessFrame(length) => {
                let head = [LONG_FRAME, &length.to_be_bytes()].concat();
                Self::raw(stream, &head).await
            }
            _ => {
                let role = match fault {
                    RelayFault::MaskedFrames => Role::Client,
                    _ => Role::Server,
                };
                Ok(Self::Frames {
                    writer: websocket::writer(stream, role),
                    fault,
                    gathered: BytesMut::new(),
                })
            }
        }
    }

    async fn raw(stream: &'a mut WriteHalf<Socket>, first: &[u8]) -> Result<Self, WebSocketError> {
        stream.write_all(first).await?;
        stream.flush().await?;
        Ok(Self::Raw(stream))
    }

    pub async fn content(&mut self, bytes: &[u8]) -> Result<(), WebSocketError> {
        let (writer, fault, gathered) = match self {
            Self::Raw(stream) => {
                stream.write_all(bytes).await?;
                return Ok(stream.flush().await?);
            }
            Self::Frames {
                writer,
                fault,
                gathered,
            } => (writer, fault, gathered),
        };
        match *fault {
            RelayFault::LargeFrames(size) => {
                gathered.extend_from_slice(bytes);
                while gathered.len() >= size.max(1) {
                    let content = gathered.split_to(size.max(1));
                    writer
                        .write_frame(Frame::binary(Payload::Bytes(content)))
                        .await?;
                }
            }
            RelayFault::Fragments(size) => {
                let mut pieces = bytes.chunks(size.max(1)).peekable();
                let mut opcode = OpCode::Binary;
                while let Some(piece) = pieces.next() {
                    let last = pieces.peek().is_none();
                    let piece = Payload::Owned(piece.to_vec());
                    let frame = Frame::new(last, opcode, None, piece);
                    writer.write_frame(frame).await?;
                    opcode = OpCode::Continuation;
                }
            }
            RelayFault::TextFrames => {
                let content = Payload::Owned(bytes.to_vec());
                writer.write_frame(Frame::text(content)).await?;
            }
            _ => {
                let content = Payload::Owned(bytes.to_vec());
                writer.write_frame(Frame::binary(content)).await?;
            }
        }
        writer.flush().await
    }

    pub async fn pong(&mut self, payload: Vec<u8>) -> Result<(), WebSocketError> {
        let Self::Frames { writer, .. } = self else {
            return Ok(());
        };
        writer
            .write_frame(Frame::pong(Payload::Owned(payload)))
            .await?;
        writer.flush().await
    }

    /// The end of the content.
    pub async fn end(&mut self) -> Result<(), WebSocketError> {
        self.close(NORMAL_CLOSURE).await
    }

    pub async fn close(&mut self, code: u16) -> Result<(), WebSocketError> {
        let Self::Frames {
            writer, gathered, ..
        } = self
        else {
            return Ok(());
        };
        if !gathered.is_empty() {
            let rest = Payload::Bytes(gathered.split());
            writer.write_frame(Frame::binary(rest)).await?;
        }
        writer.write_frame(Frame::close(code, b"")).await?;
        writer.flush().await
    }
}
