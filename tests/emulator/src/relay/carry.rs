//! Moves bytes between a technician and a device, each direction until its own end.

use std::io::ErrorKind;

use fastwebsockets::{OpCode, WebSocketError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::sender::Sender;
use super::{RelayFault, Tunnel};
use crate::state::Core;
use crate::websocket::{self, Socket};

const READ_BYTES: usize = 16 * 1024;
/// What a close frame without a code counts as (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;
/// The code for a technician who is gone.
const GOING_AWAY: u16 = 1001;

/// Until both directions have ended; the reason if one of them broke.
pub(super) async fn carry(
    core: &Core,
    id: &str,
    technician: &mut TcpStream,
    device: Socket,
) -> Result<(), String> {
    let fault = core.look().tunnels.fault;
    let carried = Carried { core, id, fault };
    let (mut read, mut write) = tokio::io::split(device);
    let (sends, takes) = technician.split();
    let (pings, pings_to_answer) = unbounded_channel();
    tokio::try_join!(
        carried.technician_to_device(sends, &mut write, pings_to_answer),
        carried.device_to_technician(&mut read, takes, pings),
    )?;
    // TLS's farewell; who is gone needs none.
    let _ = write.shutdown().await;
    Ok(())
}

struct Carried<'a> {
    core: &'a Core,
    id: &'a str,
    fault: RelayFault,
}

impl Carried<'_> {
    /// The technician's content, and answers to the device's pings, which so never stop the other direction.
    async fn technician_to_device(
        &self,
        mut technician: tcp::ReadHalf<'_>,
        device: &mut WriteHalf<Socket>,
        mut pings: UnboundedReceiver<Vec<u8>>,
    ) -> Result<(), String> {
        let mut sender = Sender::start(device, self.fault).await.map_err(broken)?;
        if let RelayFault::CloseWith(code) = self.fault {
            sender.close(code).await.map_err(broken)?;
            return Err(format!("told to close with {code}"));
        }
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.obey().await?;
            let read = tokio::select! {
                Some(ping) = pings.recv() => {
                    sender.pong(ping).await.map_err(broken)?;
                    continue;
                }
                read = technician.read(&mut buffer) => read,
            };
            self.obey().await?;
            match read {
                Ok(0) => return sender.end().await.map_err(broken),
                Ok(read) => {
                    sender.content(&buffer[..read]).await.map_err(broken)?;
                    self.note(|tunnel| tunnel.bytes_to_device += read as u64);
                }
                Err(error) => {
                    // The device may be gone, too.
                    let _ = sender.close(GOING_AWAY).await;
                    return Err(technician_gone(&error));
                }
            }
        }
    }

    async fn device_to_technician(
        &self,
        device: &mut ReadHalf<Socket>,
        mut technician: tcp::WriteHalf<'_>,
        pings: UnboundedSender<Vec<u8>>,
    ) -> Result<(), String> {
        let mut reader = websocket::reader(device);
        loop {
            self.obey().await?;
            let frame = websocket::next_frame(&mut reader).await.map_err(broken)?;
            self.obey().await?;
            match frame.opcode {
                OpCode::Binary | OpCode::Continuation => {
                    let content = &frame.payload;
                    let written = technician.write_all(content).await;
                    written.map_err(|error| technician_gone(&error))?;
                    self.note(|tunnel| {
                        tunnel.bytes_from_device += content.len() as u64;
                        tunnel.frames_from_device += 1;
                        tunnel.frame_bytes_max = tunnel.frame_bytes_max.max(content.len());
                    });
                }
                OpCode::Text => return Err("the device sent a text frame".to_owned()),
                OpCode::Close => {
                    let code = frame.payload.first_chunk().copied();
                    let code = code.map_or(NO_CODE, u16::from_be_bytes);
                    self.note(|tunnel| tunnel.close_code = Some(code));
                    // Fails only for a technician who is gone.
                    let _ = technician.shutdown().await;
                    return Ok(());
                }
                OpCode::Ping => {
                    self.note(|tunnel| tunnel.pings_from_device += 1);
                    if self.fault != RelayFault::NoPongs {
                        // Not taken after the relay's close frame, after which nothing may come.
                        let _ = pings.send(frame.payload.to_vec());
                    }
                }
                OpCode::Pong => {}
            }
        }
    }

    /// Cuts or stalls once so much content has passed.
    async fn obey(&self) -> Result<(), String> {
        match self.fault {
            RelayFault::CutAfter(limit) if self.passed() >= limit => {
                Err("told to cut the connection".to_owned())
            }
            RelayFault::StallAfter(limit) if self.passed() >= limit => {
                let mended = |fault| (fault != self.fault).then_some(());
                self.core.until(|state| mended(state.tunnels.fault)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How much content went both ways.
    fn passed(&self) -> u64 {
        let mut passed = 0;
        self.note(|tunnel| passed = tunnel.bytes_to_device + tunnel.bytes_from_device);
        passed
    }

    fn note(&self, change: impl FnOnce(&mut Tunnel)) {
        self.core.look().tunnels.note(self.id, change);
    }
}

fn broken(error: WebSocketError) -> String {
    let ended = match &error {
        WebSocketError::UnexpectedEOF => true,
        // Also TLS without its farewell.
        WebSocketError::IoError(error) => error.kind() == ErrorKind::UnexpectedEof,
        _ => false,
    };
    if ended {
        "the device ended the connection without a close frame".to_owned()
    } else {
        format!("the device's connection broke: {error}")
    }
}

fn technician_gone(error: &std::io::Error) -> String {
    format!("the technician's connection broke: {error}")
}
