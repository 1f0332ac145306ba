//! The only part of the broker that does I/O: moves bytes between a socket and the state.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::v3::{Codec, Connect, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::codec::{Decoder, Encoder};

use super::Transport;
use super::connect::{self, Outcome};
use super::session::Turn;
use crate::news::Event;
use crate::state::Core;
use crate::traffic::Tap;

/// IoT Hub takes no larger packet.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// A socket that said nothing yet is not kept for long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a closed connection is read on, so that what was written last is not lost to a reset.
pub(super) const LINGER: Duration = Duration::from_secs(1);

pub(crate) type Stream = BufReader<Tap<TlsStream<TcpStream>>>;

/// What packets go over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    const TRANSPORT: Transport;

    /// Ends without a farewell, as hubs under load do; what was written before still arrives.
    fn cut(self) -> impl Future<Output = ()> + Send;
}

/// Serves one client from its CONNECT to its end.
pub(crate) async fn serve<W: Wire>(core: Arc<Core>, mut stream: W) {
    let mut reader = PacketReader::default();
    let mut silent = core.silent.subscribe();
    let first = timeout(CONNECT_TIMEOUT, reader.first(&mut stream)).await;
    // Only an error if the Platform is gone, and then this task is, too.
    let _ = silent.wait_for(|silent| !silent).await;
    let outcome = match first {
        Ok(Ok(packet)) => {
            core.change(|state| connect::connect(&core, state, &packet, W::TRANSPORT))
        }
        Ok(Err(Some(code))) => Outcome::Refused { code },
        Ok(Err(None)) | Err(_) => return,
    };
    match outcome {
        Outcome::Refused { code } => {
            if write(&mut stream, &encoded(connect::acknowledgement(code, false)))
                .await
                .is_ok()
            {
                stream.cut().await;
            }
        }
        Outcome::Accepted { number, wake } => {
            let end = End {
                core: core.clone(),
                number,
            };
            let mut pump = Pump {
                core,
                number,
                wake,
                stream,
                reader,
                silent,
            };
            match pump.run().await {
                Ok(()) => {
                    drop(end);
                    pump.stream.cut().await;
                }
                Err(error) => end.because(&error),
            }
        }
    }
}

struct Pump<W> {
    core: Arc<Core>,
    number: u64,
    wake: Arc<Notify>,
    stream: W,
    reader: PacketReader,
    silent: watch::Receiver<bool>,
}

/// What the state wants after a turn.
struct Next {
    output: Bytes,
    deadline: Instant,
    close: bool,
}

impl<W: Wire> Pump<W> {
    /// Until the hub wants to close (Ok) or the socket fails.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(next) = self.turn() else {
                return Ok(());
            };
            if next.output.is_empty() && !next.close && !*self.silent.borrow() {
                self.wait(next.deadline).await?;
                continue;
            }
            self.write(&next.output).await?;
            if next.close {
                return Ok(());
            }
            if *self.silent.borrow() {
                tokio::select! {
                    _ = self.silent.changed() => {}
                    () = self.wake.notified() => {}
                }
            }
        }
    }

    /// Hands the state what was read, and takes what it wants to be written.
    fn turn(&mut self) -> Option<Next> {
        let (number, reader) = (self.number, &mut self.reader);
        // Whoever waits for a Message may wake before its acknowledgement is written, never the other way round.
        self.core.change(|state| {
            let silent = *self.core.silent.borrow();
            let settings = &self.core.settings;
            let mut turn = Turn::new(settings, state, number)?;
            if silent {
                let close = turn.live.closing.is_some();
                return Some(Next {
                    output: Bytes::new(),
                    deadline: turn.now,
                    close,
                });
            }
            turn.packets(reader.packets.drain(..));
            if let Some(offence) = reader.offence.take() {
                turn.live.close(&offence);
            }
            let deadline = turn.timers();
            let close = turn.live.closing.is_some();
            Some(Next {
                output: turn.live.output.split().freeze(),
                deadline,
                close,
            })
        })
    }

    async fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        tokio::select! {
            read = self.reader.read(&mut self.stream) => read,
            () = self.wake.notified() => Ok(()),
            () = sleep_until(deadline.into()) => Ok(()),
        }
    }

    /// Writes, but not on when the hub wants to close: the client may have stopped reading.
    async fn write(&mut self, output: &[u8]) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let closes = async {
            loop {
                self.wake.notified().await;
                let state = self.core.look();
                let live = state.connections.live.get(&self.number);
                if live.is_none_or(|live| live.closing.is_some()) {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            written = write(&mut self.stream, output) => written?,
            () = closes => return Err(io::Error::other("closed while the client did not read")),
        }
        // What the wake-ups swallowed above were for is seen in the next turn, which always follows.
        Ok(())
    }
}

/// Takes the connection off the state's list, however its task ends.
struct End {
    core: Arc<Core>,
    number: u64,
}

impl End {
    fn because(self, error: &io::Error) {
        self.tell(&error.to_string());
    }

    fn tell(&self, reason: &str) {
        self.core.change(|state| {
            let device = state
                .connections
                .live
                .get(&self.number)
                .map(|live| live.hub_id.clone());
            state
                .connections
                .ended(&mut state.registry, self.number, reason);
            let device = device.and_then(|id| state.registry.devices.get(&id));
            if let Some(device) = device {
                let device = device.public.as_ref().clone();
                state.events.push(Event::Disconnected { device });
            }
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell("closed");
    }
}

struct PacketReader {
    buffer: BytesMut,
    codec: Codec,
    packets: Vec<Packet>,
    /// Why nothing more can be read.
    offence: Option<String>,
}

impl Default for PacketReader {
    fn default() -> Self {
        let codec = Codec::new(PACKET_BYTES_MAX);
        Self {
            buffer: BytesMut::new(),
            codec,
            packets: Vec::new(),
            offence: None,
        }
    }
}

impl PacketReader {
    /// Reads once, and decodes all packets that are complete. Loses nothing when cancelled.
    async fn read(&mut self, stream: &mut impl Wire) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
        if stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed by the client",
            ));
        }
        if let Err(error) = self.decode() {
            self.offence = Some(format!("not MQTT 3.1.1 as the hub takes it: {error}"));
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<(), DecodeError> {
        while let Some((packet, _)) = self.codec.decode(&mut self.buffer)? {
            self.packets.push(packet);
        }
        Ok(())
    }

    /// The CONNECT packet; else the code to refuse with, if one is to be sent.
    async fn first(&mut self, stream: &mut impl Wire) -> Result<Box<Connect>, Option<u8>> {
        loop {
            self.buffer.reserve(READ_BYTES);
            match stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(None),
                Ok(_) => {}
            }
            match self.decode() {
                Err(DecodeError::UnsupportedProtocolLevel) => return Err(Some(1)),
                Err(_) => return Err(None),
                Ok(()) if self.packets.is_empty() => {}
                Ok(()) => match self.packets.remove(0) {
                    Packet::Connect(connect) => return Ok(connect),
                    _ => return Err(None),
                },
            }
        }
    }
}

async fn write(stream: &mut impl Wire, output: &[u8]) -> io::Result<()> {
    stream.write_all(output).await?;
    stream.flush().await
}

fn encoded(packet: Packet) -> BytesMut {
    let mut output = BytesMut::new();
    // A CONNACK always fits.
    let _ = Codec::default().encode(packet, &mut output);
    output
}

impl Wire for Stream {
    const TRANSPORT: Transport = Transport::Mqtt;

    /// Without TLS's farewell.
    async fn cut(self) {
        let (mut tcp, _) = self.into_inner().into_inner().into_inner();
        if tcp.shutdown().await.is_err() {
            return;
        }
        let mut scratch = [0; 4096];
        let drained = async { while tcp.read(&mut scratch).await.is_ok_and(|read| read > 0) {} };
        // Either the client closed, or it had its time.
        let _ = timeout(LINGER, drained).await;
    }
}
