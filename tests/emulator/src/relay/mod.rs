//! Remote access: local ports that lead to ports of devices.
//!
//! A technician's connection to such a local port becomes a tunnel: the device is called by the direct method
//! `!remote-access`, connects to the relay, and then bytes go both ways. `forward` is the technician's end,
//! `socket` the device's, `carry` moves what is between.

mod carry;
mod faults;
mod forward;
mod sender;
pub(crate) mod socket;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

pub use faults::RelayFault;
pub(crate) use forward::{Forward, Forwards, listen};

use crate::secrets;
use crate::websocket::Socket;

pub(crate) const PATH: &str = "/remote-access/tunnels/";
pub(crate) const METHOD: &str = "!remote-access";
/// How long a device has to answer the call, and to connect once it answered.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Older tunnels are forgotten, if they have ended.
const KEPT_MAX: usize = 10_000;

/// A tunnel: one connection of a technician to a port of a device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tunnel {
    /// The id that the device was given.
    pub id: String,
    /// The device, as the forwarding names it.
    pub device: String,
    /// The device's port.
    pub port: u16,
    /// Where the device was told to connect to. It is a secret of the device's.
    pub uri: String,
    /// The status of the device's answer to the call; nothing as long as there is none.
    pub status: Option<u16>,
    /// The body of that answer.
    pub answer: Option<String>,
    /// The `traceparent` that the device was told.
    pub traceparent: String,
    /// The `traceparent` header with which it connected.
    pub traceparent_header: Option<String>,
    /// When the technician connected.
    pub opened_at: Instant,
    /// When the device connected to the relay, if it did.
    pub connected_at: Option<Instant>,
    /// How many bytes went from the technician to the device.
    pub bytes_to_device: u64,
    /// How many bytes came from the device for the technician.
    pub bytes_from_device: u64,
    /// How many frames with content came from the device.
    pub frames_from_device: u64,
    /// The largest of them.
    pub frame_bytes_max: usize,
    /// How many pings came from the device.
    pub pings_from_device: u64,
    /// The code of the device's close frame, 1005 if it has none; nothing as long as none came.
    pub close_code: Option<u16>,
    /// When it ended, and why; nothing while it lives.
    pub end: Option<(Instant, String)>,
}

impl Tunnel {
    /// Whether bytes can go both ways.
    pub fn is_open(&self) -> bool {
        self.status == Some(200) && self.connected_at.is_some() && self.end.is_none()
    }
}

struct Entry {
    public: Tunnel,
    token: String,
    /// Taken by the device that connects.
    place: Option<oneshot::Sender<Socket>>,
}

/// Why a device does not get its place at the relay.
pub(crate) enum PlaceRefused {
    Unknown,
    WrongToken,
    Taken,
}

/// Every tunnel, in order, and what the relay does wrong.
#[derive(Default)]
pub(crate) struct Tunnels {
    entries: VecDeque<Entry>,
    pub fault: RelayFault,
}

impl Tunnels {
    /// Makes a place at the relay; returns the tunnel, and the device's connection once it is there.
    fn open(
        &mut self,
        instance: &str,
        device: &str,
        port: u16,
    ) -> (Tunnel, oneshot::Receiver<Socket>) {
        if self.entries.len() >= KEPT_MAX {
            let ended = self
                .entries
                .iter()
                .position(|entry| entry.public.end.is_some());
            ended.map(|index| self.entries.remove(index));
        }
        let (id, token) = (Uuid::new_v4().to_string(), secrets::token(""));
        // No part of the token, which must not be seen.
        let trace = (Uuid::new_v4().simple(), Uuid::new_v4().as_u64_pair().0);
        let public = Tunnel {
            uri: format!("wss://{instance}{PATH}{id}?token={token}"),
            device: device.to_owned(),
            port,
            status: None,
            answer: None,
            traceparent: format!("00-{}-{:016x}-01", trace.0, trace.1),
            traceparent_header: None,
            opened_at: Instant::now(),
            connected_at: None,
            bytes_to_device: 0,
            bytes_from_device: 0,
            frames_from_device: 0,
            frame_bytes_max: 0,
            pings_from_device: 0,
            close_code: None,
            end: None,
            id,
        };
        let (place, socket) = oneshot::channel();
        self.entries.push_back(Entry {
            public: public.clone(),
            token,
            place: Some(place),
        });
        (public, socket)
    }

    /// Gives a device its place, once.
    fn take_place(
        &mut self,
        id: &str,
        token: &str,
    ) -> Result<oneshot::Sender<Socket>, PlaceRefused> {
        let entry = self.entry(id).ok_or(PlaceRefused::Unknown)?;
        if entry.token != token {
            return Err(PlaceRefused::WrongToken);
        }
        entry.place.take().ok_or(PlaceRefused::Taken)
    }

    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rfind(|entry| entry.public.id == id)
    }

    /// Changes what is told about a tunnel.
    fn note(&mut self, id: &str, change: impl FnOnce(&mut Tunnel)) {
        if let Some(entry) = self.entry(id) {
            change(&mut entry.public);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Tunnel> {
        self.entries.iter().map(|entry| &entry.public)
    }

    /// What only the devices are told.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.token.as_str())
    }
}
