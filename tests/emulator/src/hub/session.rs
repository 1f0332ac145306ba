//! A connected device's packets, one after the other. What goes against IoT Hub's manners closes the connection.

use std::num::NonZeroU16;
use std::time::Instant;

use bytestring::ByteString;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v3::{Packet, QoS, SubscribeReturnCode};

use super::packet_log::Direction;
use super::topics::{self, DeviceTopic};
use super::{Link, Live, MethodAnswer, Methods, NewAnswer};
use crate::faults::Faults;
use crate::news::{Event, Events};
use crate::platform::Settings;
use crate::record::Record;
use crate::registry::DeviceEntry;
use crate::state::State;
use crate::storage::Blobs;

/// Why the connection has to be closed.
pub(crate) type Offence = String;

/// All that handling a packet may touch.
pub(crate) struct Turn<'a> {
    pub settings: &'a Settings,
    pub live: &'a mut Live,
    pub device: &'a mut DeviceEntry,
    pub methods: &'a mut Methods,
    pub record: &'a mut Record,
    pub blobs: &'a Blobs,
    pub faults: &'a mut Faults,
    pub events: &'a mut Events,
    pub now: Instant,
}

impl<'a> Turn<'a> {
    /// Nothing if the connection or its device is gone.
    pub fn new(settings: &'a Settings, state: &'a mut State, number: u64) -> Option<Self> {
        let live = state.connections.live.get_mut(&number)?;
        let device = state.registry.devices.get_mut(&live.hub_id)?;
        Some(Self {
            settings,
            live,
            device,
            methods: &mut state.methods,
            record: &mut state.record,
            blobs: &state.storage.blobs,
            faults: &mut state.faults,
            events: &mut state.events,
            now: Instant::now(),
        })
    }

    /// Handles packets until one closes the connection.
    pub fn packets(&mut self, packets: impl Iterator<Item = Packet>) {
        for packet in packets {
            if self.live.deaf || self.live.closing.is_some() {
                return;
            }
            self.live.last_heard = self.now;
            let (number, log) = (self.live.number, &mut self.device.mailbox.packets);
            log.note(number, Direction::FromDevice, &packet, self.now);
            if let Err(offence) = self.packet(packet) {
                self.live.close(&offence);
            }
        }
    }

    /// Does what has become due, and says when something will be due next.
    pub fn timers(&mut self) -> Instant {
        let now = self.now;
        if self.live.closing.is_none() {
            self.live
                .send_due_acks(&mut self.device.mailbox.packets, self.record, now);
        }
        if self.live.sas_expires.is_some_and(|expires| expires <= now) {
            self.live.close("the SAS expired");
        } else if self.live.last_heard + self.live.silence_max <= now {
            self.live
                .close("nothing heard for one and a half keep-alives");
        }
        if self
            .device
            .mailbox
            .cloud
            .next_redelivery()
            .is_some_and(|due| due <= now)
        {
            let lock = self.settings.cloud_message_lock;
            self.link().deliver_cloud_messages(lock, now);
        }
        self.live
            .next_deadline(self.device.mailbox.cloud.next_redelivery())
    }

    pub fn link(&mut self) -> Link<'_> {
        Link {
            live: self.live,
            mailbox: &mut self.device.mailbox,
        }
    }

    fn packet(&mut self, packet: Packet) -> Result<(), Offence> {
        match packet {
            Packet::Publish(publish) => self.publish(*publish),
            Packet::PublishAck { packet_id } => {
                self.device.mailbox.cloud.acknowledged(packet_id);
                Ok(())
            }
            Packet::Subscribe {
                packet_id,
                topic_filters,
            } => {
                self.subscribe(packet_id, topic_filters);
                Ok(())
            }
            Packet::Unsubscribe {
                packet_id,
                topic_filters,
            } => {
                self.unsubscribe(packet_id, &topic_filters);
                Ok(())
            }
            Packet::PingRequest => {
                self.link().send(Packet::PingResponse);
                Ok(())
            }
            Packet::Disconnect => Err("DISCONNECT".to_owned()),
            Packet::Connect(_) => Err("a second CONNECT".to_owned()),
            other => Err(format!(
                "unexpected packet of type {:#04x}",
                other.packet_type()
            )),
        }
    }

    fn publish(&mut self, publish: Publish) -> Result<(), Offence> {
        if publish.qos == QoS::ExactlyOnce {
            return Err("a publish with QoS 2".to_owned());
        }
        if publish.retain {
            return Err("a retained publish".to_owned());
        }
        let topic = publish.topic.clone();
        match topics::parse(&topic, &self.live.hub_id) {
            None => Err(format!("a publish to the topic {topic:?}")),
            Some(DeviceTopic::Event) => self.event(publish),
            Some(request) => {
                // The request is answered by a publish of its own; the packet is acknowledged at once.
                if let Some(packet_id) = publish.packet_id {
                    self.link().send(Packet::PublishAck { packet_id });
                }
                self.request(request, &publish.payload);
                Ok(())
            }
        }
    }

    fn request(&mut self, request: DeviceTopic<'_>, payload: &[u8]) {
        match request {
            DeviceTopic::TwinGet { rid } => self.twin_get(rid),
            DeviceTopic::TwinReported { rid } => self.twin_reported(rid, payload),
            DeviceTopic::MethodAnswer { status, rid } => {
                let answer = MethodAnswer {
                    status,
                    payload: payload.to_vec(),
                };
                let new = NewAnswer {
                    device: &self.device.public,
                    connection: self.live.number,
                    request_id: rid,
                    answer,
                };
                self.methods.answered(new, self.now);
            }
            DeviceTopic::Event => {}
        }
    }

    fn subscribe(&mut self, packet_id: NonZeroU16, filters: Vec<(ByteString, QoS)>) {
        let mailbox = &mut self.device.mailbox;
        let session = mailbox.session.get_or_insert_default();
        let mut status = Vec::with_capacity(filters.len());
        for (filter, wanted) in filters {
            if !topics::may_subscribe(&filter, &self.live.hub_id) {
                status.push(SubscribeReturnCode::Failure);
                continue;
            }
            // IoT Hub grants QoS 1 to whoever asks for QoS 2.
            let granted = wanted.less_value(QoS::AtLeastOnce);
            session.subscriptions.retain(|(known, _)| *known != *filter);
            session.subscriptions.push((filter.to_string(), granted));
            status.push(SubscribeReturnCode::Success(granted));
            self.events.push(Event::Subscribed {
                device: self.device.public.as_ref().clone(),
                filter: filter.to_string(),
            });
        }
        let (lock, now) = (self.settings.cloud_message_lock, self.now);
        let mut link = self.link();
        link.send(Packet::SubscribeAck { packet_id, status });
        link.deliver_cloud_messages(lock, now);
    }

    fn unsubscribe(&mut self, packet_id: NonZeroU16, filters: &[ByteString]) {
        if let Some(session) = &mut self.device.mailbox.session {
            session
                .subscriptions
                .retain(|(known, _)| !filters.iter().any(|filter| **filter == **known));
        }
        self.link().send(Packet::UnsubscribeAck { packet_id });
    }
}
