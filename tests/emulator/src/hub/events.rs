//! Device-to-cloud Messages: recorded, then acknowledged as the faults have it.

use std::num::NonZeroU16;

use bytes::Bytes;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v3::Packet;

use super::link::PendingAck;
use super::session::{Offence, Turn};
use crate::faults::{AckMode, CutPoint};
use crate::record::Recorded;

impl Turn<'_> {
    pub(super) fn event(&mut self, publish: Publish) -> Result<(), Offence> {
        let throttle = self.faults.throttle.as_mut();
        if throttle.is_some_and(|throttle| !throttle.pass(self.now)) {
            return Err("throttled".to_owned());
        }
        let arrived = Recorded {
            sequence: 0,
            device: self.device.public.clone(),
            connection: self.live.number,
            uploaded: self.linked_content(&publish),
            topic: publish.topic,
            payload: publish.payload,
            packet_id: publish.packet_id.map(NonZeroU16::get),
            dup: publish.dup,
            repeat: false,
            received_at: self.now,
            acknowledged_at: None,
        };
        if self
            .faults
            .poison
            .as_ref()
            .is_some_and(|poison| poison(&arrived.decode()))
        {
            return Err("told to close on this Message".to_owned());
        }
        let sequence = self.record.push(&self.live.hub_id, arrived);
        match (self.faults.cut_at_this_message(), publish.packet_id) {
            (Some(CutPoint::BeforeAck), _) => Err("cut before the acknowledgement".to_owned()),
            (Some(CutPoint::AfterAck), None) => Err("cut after the Message".to_owned()),
            (cut, Some(packet_id)) => {
                self.acknowledge(packet_id, sequence, cut.is_some());
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    fn acknowledge(&mut self, packet_id: NonZeroU16, sequence: u64, then_cut: bool) {
        let due = match self.faults.acks {
            AckMode::Immediately => Some(self.now),
            AckMode::After(delay) => Some(self.now.checked_add(delay).unwrap_or(self.now)),
            AckMode::Withhold => None,
        };
        if due == Some(self.now) && self.live.acks.is_empty() && !then_cut {
            self.link().send(Packet::PublishAck { packet_id });
            self.record.acknowledged(sequence, self.now);
            return;
        }
        self.live.acks.push_back(PendingAck {
            packet_id,
            sequence,
            due,
            then_cut,
        });
        self.live.deaf = then_cut;
    }

    /// The uploaded content, if the Message links to one.
    fn linked_content(&self, publish: &Publish) -> Option<Result<Bytes, String>> {
        // Cheap to rule out, and it is ruled out for nearly all Messages.
        publish
            .topic
            .contains("has-externalized-payload=true")
            .then(|| {
                #[derive(serde::Deserialize)]
                struct Link {
                    link: String,
                }
                let Link { link } = serde_json::from_slice(&publish.payload)
                    .map_err(|error| format!("the payload is not a link: {error}"))?;
                self.blobs
                    .content(&self.live.hub_id, &link)
                    .ok_or_else(|| format!("nothing was uploaded as {link:?}"))
            })
    }
}
