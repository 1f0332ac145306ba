//! One MQTT 3.1.1 connection as a pure state machine: bytes and time in, bytes and events out.
//!
//! rumqttc gives the codec. Its `MqttState` is not used: it counts an unknown PUBACK as an error,
//! keeps acknowledgements of one connection for the next, and can wedge on a packet id in use,
//! while here each publish is acknowledged by exactly its own PUBACK on its own connection.
//!
//! What outlives a connection is only the [`InFlight`] window: publishes without a PUBACK, to be
//! [sent](Session::send) again on the next connection before any other.

mod events;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, Packet, PubAck, Publish, Subscribe, SubscribeFilter, SubscribeReasonCode,
    Unsubscribe,
};
use rumqttc::mqttbytes::{self, QoS};

use super::in_flight::InFlight;
use super::liveness::{Liveness, Overdue, Owed};
use super::topics;
use crate::clock::Moment;
use crate::identity::HubDeviceId;
use crate::message::outgoing::{Body, Outgoing};
use crate::secret::Secret;
use events::refusal;
pub(crate) use events::{Event, SessionError, TwinAnswer};

/// IoT Hub's limit for a packet (<https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling>).
pub(crate) const MAX_PACKET_BYTES: usize = 256 << 10;

/// Who connects, and how.
pub(crate) struct Login {
    pub device: HubDeviceId,
    pub hub_host_name: String,
    pub sas: Secret,
    pub keep_alive: Duration,
    /// Whether the application wants cloud-to-device messages; else they stay in the hub.
    pub cloud_messages: bool,
    /// Whether the application wants the cloud to call its methods.
    pub methods: bool,
}

/// A connection, from CONNECT to its end.
pub(crate) struct Session {
    login: Login,
    connected: bool,
    /// The hub knows the session of the connection before.
    session_present: bool,
    in_flight: InFlight,
    next_packet_id: u16,
    /// Packet ids of SUBSCRIBE and UNSUBSCRIBE that are not acknowledged.
    control_ids: Vec<u16>,
    next_request: u32,
    input: BytesMut,
    output: BytesMut,
    /// How many bytes were ever put into `output`.
    written: u64,
    events: VecDeque<Event>,
    liveness: Liveness,
}

impl Session {
    /// Starts with the CONNECT packet in the output. `in_flight` comes from the connection before.
    pub fn new(
        login: Login,
        mut in_flight: InFlight,
        now: Moment,
    ) -> Result<Session, (SessionError, InFlight)> {
        let mut connect = Connect::new(login.device.to_string());
        connect.clean_session = false;
        connect.keep_alive = u16::try_from(login.keep_alive.as_secs()).unwrap_or(u16::MAX);
        connect.set_login(
            format!(
                "{}/{}/?api-version=2018-06-30",
                login.hub_host_name, login.device
            ),
            login.sas.expose(),
        );
        let liveness = Liveness::new(login.keep_alive, now);
        in_flight.begin_connection();
        let mut session = Session {
            login,
            connected: false,
            session_present: false,
            next_packet_id: in_flight.newest_packet_id().map_or(1, following),
            in_flight,
            control_ids: Vec::new(),
            next_request: 1,
            input: BytesMut::new(),
            output: BytesMut::new(),
            written: 0,
            events: VecDeque::new(),
            liveness,
        };
        match session.write(&Packet::Connect(connect)) {
            Ok(()) => Ok(session),
            Err(error) => Err((error, session.in_flight)),
        }
    }

    /// Ends the session: what is in flight goes to the next one.
    pub fn into_in_flight(self) -> InFlight {
        self.in_flight
    }

    /// Bytes for the peer; the transport takes them from the front.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// What happened, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether Messages and requests may be sent.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether every publish that was sent is acknowledged.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.oldest_sent().is_none()
    }

    /// What is not acknowledged.
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Whether the hub owes no answer to anything but twin requests, and all is sent.
    pub fn is_settled(&self) -> bool {
        self.is_quiet()
            && self.control_ids.is_empty()
            && self.output.is_empty()
            && !self.liveness.is_ping_unanswered()
    }

    /// Whose connection it is.
    pub fn device(&self) -> &HubDeviceId {
        &self.login.device
    }

    /// The transport sent some bytes; `all` if nothing is left to send.
    pub fn sent(&mut self, all: bool, now: Moment) {
        self.liveness.sent(all, now);
        if all {
            release_if_large(&mut self.output);
        }
    }

    /// Takes bytes from the peer.
    pub fn receive(&mut self, bytes: &[u8], now: Moment) -> Result<(), SessionError> {
        self.liveness.received(now);
        self.input.extend_from_slice(bytes);
        while let Some(first) = self.input.first() {
            // The codec reads packets of both directions; only what a server sends is for us.
            let kind = first >> 4;
            if !matches!(kind, 2 | 3 | 4 | 9 | 11 | 13) {
                return Err(SessionError::Unexpected("a packet that only clients send"));
            }
            match Packet::read(&mut self.input, MAX_PACKET_BYTES) {
                Ok(packet) => self.handle(packet, now)?,
                Err(mqttbytes::Error::InsufficientBytes(_)) => break,
                Err(error) => return Err(SessionError::Malformed(error)),
            }
        }
        release_if_large(&mut self.input);
        Ok(())
    }

    fn handle(&mut self, packet: Packet, now: Moment) -> Result<(), SessionError> {
        match packet {
            Packet::ConnAck(_) if self.connected => {
                Err(SessionError::Unexpected("a second CONNACK"))
            }
            Packet::ConnAck(connack) => self.handle_connack(&connack),
            _ if !self.connected => Err(SessionError::Unexpected("a packet before CONNACK")),
            Packet::PubAck(PubAck { pkid }) => {
                self.handle_puback(pkid, now);
                Ok(())
            }
            Packet::Publish(publish) => self.handle_publish(publish),
            Packet::SubAck(suback) => {
                self.control_ids.retain(|id| *id != suback.pkid);
                if suback.return_codes.contains(&SubscribeReasonCode::Failure) {
                    log::warn!("the hub refused a subscription");
                }
                Ok(())
            }
            Packet::UnsubAck(unsuback) => {
                self.control_ids.retain(|id| *id != unsuback.pkid);
                Ok(())
            }
            Packet::PingResp => {
                self.liveness.ponged();
                Ok(())
            }
            _ => Err(SessionError::Unexpected("a packet that only clients send")),
        }
    }

    fn handle_connack(&mut self, connack: &ConnAck) -> Result<(), SessionError> {
        if let Some(refusal) = refusal(connack.code) {
            self.events.push_back(Event::Refused(refusal));
            return Ok(());
        }
        self.connected = true;
        self.session_present = connack.session_present;
        self.subscribe()?;
        self.events.push_back(Event::Connected);
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), SessionError> {
        let mut filters: Vec<String> = topics::TWIN_FILTERS.map(str::to_owned).to_vec();
        let mut unwanted = Vec::new();
        let optional = [
            (
                self.login.cloud_messages,
                topics::cloud_messages_filter(&self.login.device),
            ),
            (self.login.methods, topics::METHODS_FILTER.to_owned()),
        ];
        for (is_wanted, filter) in optional {
            if is_wanted {
                &mut filters
            } else {
                &mut unwanted
            }
            .push(filter);
        }
        // A session from an earlier run may hold the subscriptions.
        if self.session_present && !unwanted.is_empty() {
            let pkid = self.control_id();
            let topics = unwanted;
            self.write(&Packet::Unsubscribe(Unsubscribe { pkid, topics }))?;
        }
        let filters = filters
            .into_iter()
            .map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = self.control_id();
        self.write(&Packet::Subscribe(subscribe))
    }

    fn handle_puback(&mut self, packet_id: u16, now: Moment) {
        let taken = self.written - self.output.len() as u64;
        match self.in_flight.acknowledged(packet_id, taken) {
            Some(id) => {
                self.liveness.acknowledged(now);
                self.events.push_back(Event::Acknowledged(id));
            }
            None => {
                log::warn!("the hub acknowledged a packet id ({packet_id}) that is not in flight")
            }
        }
    }

    fn handle_publish(&mut self, publish: Publish) -> Result<(), SessionError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(SessionError::Unexpected("a publish with QoS 2"));
        }
        match topics::parse(&self.login.device, &publish.topic) {
            Some(topics::HubTopic::CloudMessage { properties }) => {
                // Without a wish for them they stay unacknowledged, and so in the hub.
                if self.login.cloud_messages && publish.qos == QoS::AtLeastOnce {
                    self.events.push_back(Event::CloudMessage {
                        packet_id: publish.pkid,
                        properties: properties.to_owned(),
                        payload: publish.payload,
                    });
                }
                return Ok(());
            }
            Some(topics::HubTopic::TwinAnswer {
                status,
                request,
                version,
            }) => self.events.push_back(Event::TwinAnswer(TwinAnswer {
                request,
                status,
                version,
                payload: publish.payload,
            })),
            Some(topics::HubTopic::DesiredPatch) => {
                self.events.push_back(Event::DesiredPatch(publish.payload));
            }
            // A call that nobody wants comes only of a subscription of an earlier run, which is about to end.
            Some(topics::HubTopic::MethodCall { name, request_id }) if self.login.methods => {
                self.events.push_back(Event::MethodCall {
                    name: name.to_owned(),
                    request_id: request_id.to_owned(),
                    body: publish.payload,
                });
            }
            Some(topics::HubTopic::MethodCall { .. }) | None => {
                log::debug!("the hub sent a publish to an unknown topic; ignored");
            }
        }
        if publish.qos == QoS::AtLeastOnce {
            self.write(&Packet::PubAck(PubAck::new(publish.pkid)))?;
        }
        Ok(())
    }

    /// Takes a Message in flight, behind all others: from here on it has one packet id until its PUBACK.
    pub fn take_in(&mut self, message: Outgoing) {
        let packet_id = self.free_packet_id();
        self.in_flight.take_in(packet_id, message);
    }

    /// Sends the publish in flight at this place, counted from the oldest; nothing if there is none. A
    /// hub that kept the session gets a repeat under the same packet id, marked as such (MQTT 3.1.1,
    /// 4.4); to one that forgot it, it is a new publish. Returns the bytes of its packet.
    pub fn send(&mut self, place: usize) -> Result<u64, SessionError> {
        let Some(sending) = self.in_flight.send(place) else {
            return Ok(0);
        };
        let payload = match &sending.message.body {
            Body::Inline(bytes) => bytes.clone(),
            // The outbox hands out no Message whose content is not yet a link.
            Body::Upload(_) => Bytes::new(),
        };
        let topic = topics::message(&self.login.device, sending.message.bag());
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        publish.pkid = sending.packet_id;
        publish.dup = sending.is_repeat && self.session_present;
        self.liveness.published();
        let before = self.written;
        self.write(&Packet::Publish(publish))?;
        self.in_flight.written(place, self.written);
        Ok(self.written - before)
    }

    /// Takes a Message out of the flight: it is not sent again.
    pub fn forget(&mut self, id: i64) {
        self.in_flight.forget(id);
    }

    /// Asks for the whole twin; returns the request's number.
    pub fn get_twin(&mut self) -> Result<u32, SessionError> {
        self.twin_request(topics::get_twin, Bytes::new())
    }

    /// Sends a merge patch of the Reported Properties; returns the request's number.
    pub fn patch_reported(&mut self, patch: Vec<u8>) -> Result<u32, SessionError> {
        self.twin_request(topics::patch_reported, Bytes::from(patch))
    }

    /// Twin requests go with QoS 0: their answer says more than a PUBACK, and takes no packet id.
    fn twin_request(&mut self, topic: fn(u32) -> String, body: Bytes) -> Result<u32, SessionError> {
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let publish = Publish::from_bytes(topic(request), QoS::AtMostOnce, body);
        self.write(&Packet::Publish(publish))?;
        Ok(request)
    }

    /// Acknowledges a cloud-to-device message, which is stored now.
    pub fn acknowledge_cloud_message(&mut self, packet_id: u16) -> Result<(), SessionError> {
        self.write(&Packet::PubAck(PubAck::new(packet_id)))
    }

    /// Answers a call of a method. With QoS 0: the hub takes an answer once, or not at all.
    pub fn answer_method(
        &mut self,
        status: u16,
        request_id: &str,
        body: Vec<u8>,
    ) -> Result<(), SessionError> {
        let topic = topics::method_answer(status, request_id);
        self.write(&Packet::Publish(Publish::from_bytes(
            topic,
            QoS::AtMostOnce,
            Bytes::from(body),
        )))
    }

    /// Says goodbye.
    pub fn disconnect(&mut self) -> Result<(), SessionError> {
        self.write(&Packet::Disconnect)
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_tick(&self) -> Option<Moment> {
        let life = self.liveness.life_due(&self.owed());
        life.into_iter().chain(self.ping_due()).min()
    }

    /// Pings when nothing was sent for the keep-alive time; fails when the peer owes an answer for
    /// too long, or must have let go.
    pub fn tick(&mut self, now: Moment) -> Result<(), SessionError> {
        match self.liveness.overdue(&self.owed(), now) {
            Some(Overdue::Life) => return Err(SessionError::Silent),
            Some(Overdue::Acknowledgement) => return Err(SessionError::Unacknowledged),
            None => {}
        }
        if self.ping_due().is_some_and(|due| now >= due) {
            // A ping to a hub that has let go would only be waited for.
            if self.liveness.is_let_go(now) {
                return Err(SessionError::LetGo);
            }
            self.ping()?;
        }
        Ok(())
    }

    /// For how long the hub has given no sign of life that it owes.
    pub fn silence(&self, now: Moment) -> Option<Duration> {
        self.liveness.silence(&self.owed(), now)
    }

    /// Asks for a sign of life, whether or not it is time to.
    pub fn ping(&mut self) -> Result<(), SessionError> {
        self.liveness.pinged();
        self.write(&Packet::PingReq)
    }

    /// While something is being sent no ping is due: the peer hears of us.
    fn ping_due(&self) -> Option<Moment> {
        let may_ping = self.connected && self.output.is_empty();
        self.liveness.ping_due().filter(|_| may_ping)
    }

    fn owed(&self) -> Owed {
        Owed {
            answer: !self.connected || !self.control_ids.is_empty() || !self.output.is_empty(),
            acknowledgement: !self.is_quiet(),
        }
    }

    fn control_id(&mut self) -> u16 {
        let id = self.free_packet_id();
        self.control_ids.push(id);
        id
    }

    /// The next packet id that nothing unacknowledged uses. There is always one: the window is far
    /// smaller than the 65,535 ids.
    fn free_packet_id(&mut self) -> u16 {
        while self.in_flight.uses(self.next_packet_id)
            || self.control_ids.contains(&self.next_packet_id)
        {
            self.next_packet_id = following(self.next_packet_id);
        }
        let id = self.next_packet_id;
        self.next_packet_id = following(id);
        id
    }

    fn write(&mut self, packet: &Packet) -> Result<(), SessionError> {
        let before = self.output.len();
        packet
            .write(&mut self.output, MAX_PACKET_BYTES)
            .map_err(SessionError::Unsendable)?;
        self.written += (self.output.len() - before) as u64;
        Ok(())
    }
}

/// A buffer that grew for a large packet is not kept for the small ones.
fn release_if_large(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 16 << 10 {
        *buffer = BytesMut::new();
    }
}

/// Packet ids go round without 0.
fn following(packet_id: u16) -> u16 {
    packet_id.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod acknowledgements;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
