//! Telling the broker to misbehave. All of it holds for what happens after the call returned.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Instant;

use rmqtt_codec::v3::QoS;

use super::Platform;
use crate::Message;
use crate::ca::ServerCertificate;
use crate::error::Error;
use crate::faults::{AckMode, CutPoint};
use crate::throttle::Throttle;

impl Platform {
    /// Sets when Messages are acknowledged. Any mode but [`AckMode::Withhold`] also releases what is held back.
    pub fn acknowledge(&self, mode: AckMode) {
        self.core.change(|state| state.faults.acks = mode);
        if mode != AckMode::Withhold {
            self.release_acknowledgements();
        }
    }

    /// Sends the acknowledgements held back so far; the mode stays.
    pub fn release_acknowledgements(&self) {
        let now = Instant::now();
        self.core.change(|state| {
            state
                .connections
                .live
                .values_mut()
                .for_each(|live| live.release_acks(now))
        });
    }

    /// Cuts the connection over which the n-th next Message comes (1: the very next one), without a farewell.
    /// The Message is recorded; what came after it is not. 0 takes the order back.
    pub fn cut_after_messages(&self, n: u64, point: CutPoint) {
        self.core
            .change(|state| state.faults.cut = (n > 0).then_some((n, point)));
    }

    /// Cuts all MQTT connections, without a farewell.
    pub fn close_connections(&self) {
        self.core
            .change(|state| state.connections.close_all("told to close all connections"));
    }

    /// Cuts the MQTT connection of one device, without a farewell, if there is one.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn close_connection(&self, device: &str) -> Result<(), Error> {
        self.core.change(|state| {
            if let Some(number) = state.device(device)?.mailbox.connection {
                state
                    .connections
                    .close(number, "told to close the connection");
            }
            Ok(())
        })
    }

    /// Refuses the next `count` CONNECTs, or all until further notice, with a return code from 1 to 5;
    /// 0 takes the order back.
    pub fn refuse_connects(&self, code: u8, count: Option<u64>) {
        let refuse = (code > 0 && count != Some(0)).then_some((code.min(5), count));
        self.core.change(|state| state.faults.refuse = refuse);
    }

    /// Closes every connection right after its CONNACK.
    pub fn close_after_connack(&self, close: bool) {
        self.core
            .change(|state| state.faults.close_after_connack = close);
    }

    /// Goes silent: MQTT connections stay open, new ones are taken, but nothing that arrives is handled and nothing
    /// is sent. `false`: goes on, with all that arrived meanwhile. The HTTP API works on.
    pub fn go_silent(&self, silent: bool) {
        self.core.change(|state| {
            self.core.silent.send_replace(silent);
            state
                .connections
                .live
                .values()
                .for_each(|live| live.wake.notify_one());
        });
    }

    /// Forgets all sessions: the next CONNACK says so, and subscriptions are gone. Live connections stay, but what
    /// they subscribed to is forgotten, too.
    pub fn forget_sessions(&self) {
        self.core.change(|state| {
            for device in state.registry.devices.values_mut() {
                device.mailbox.session = None;
                device.mailbox.cloud.session_lost();
            }
        });
    }

    /// Takes so many Messages a second, over all devices, and `burst` at once after a pause. The connection over which
    /// another comes is closed, and that Message is not recorded. A burst of 0 closes at every Message.
    pub fn throttle_messages(&self, per_second: f64, burst: u32) {
        let throttle = Throttle::new(per_second, burst, Instant::now());
        self.core
            .change(|state| state.faults.throttle = Some(throttle));
    }

    /// Ends [`Platform::throttle_messages`].
    pub fn stop_throttling(&self) {
        self.core.change(|state| state.faults.throttle = None);
    }

    /// Answers the next `count` twin requests with 429.
    pub fn throttle_twin(&self, count: u64) {
        self.twin_status(429, count);
    }

    /// Answers the next `count` twin requests, reads and patches, with that status, and does nothing else for them.
    pub fn twin_status(&self, status: u16, count: u64) {
        self.core
            .change(|state| state.faults.twin_status = (count > 0).then_some((status, count)));
    }

    /// Answers the next reads of a twin with these payloads, one each, and status 200. They need be no JSON.
    pub fn answer_twin_reads_with(&self, payloads: impl IntoIterator<Item = Vec<u8>>) {
        let payloads = payloads.into_iter().map(Into::into).collect();
        self.core
            .change(|state| state.faults.false_twins = payloads);
    }

    /// Does not answer twin requests at all; they still have their effect. What was not answered never will be.
    pub fn withhold_twin_answers(&self, withhold: bool) {
        self.core
            .change(|state| state.faults.withhold_twin_answers = withhold);
    }

    /// Closes the connection whenever a Message comes that the predicate is true for, and does not record it.
    /// The predicate runs under the Platform's lock: it must not call the Platform.
    pub fn close_on_message(&self, predicate: impl Fn(&Message) -> bool + Send + Sync + 'static) {
        self.core
            .change(|state| state.faults.poison = Some(Box::new(predicate)));
    }

    /// Ends [`Platform::close_on_message`].
    pub fn accept_all_messages(&self) {
        self.core.change(|state| state.faults.poison = None);
    }

    /// Sends to devices that use WebSockets in frames of at most so many bytes, so that packets span them.
    /// `None`: in frames as large as what is to be sent at once, which may be several packets.
    pub fn websocket_frame_bytes(&self, bytes: Option<NonZeroUsize>) {
        let bytes = bytes.map(NonZeroUsize::get);
        self.core
            .change(|state| state.faults.websocket_frame_bytes = bytes);
    }

    /// Publishes to the device what nothing on the hub stands behind, whether or not it subscribed to it; with QoS 1
    /// under that packet id, else with QoS 0.
    ///
    /// # Errors
    /// If the device is not connected.
    pub fn publish_to_device(
        &self,
        device: &str,
        topic: &str,
        packet_id: Option<NonZeroU16>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let payload = payload.into().into();
        self.core.change(|state| {
            let qos = packet_id.map_or(QoS::AtMostOnce, |_| QoS::AtLeastOnce);
            let topic = topic.to_owned();
            state
                .link(device)?
                .send_publish(topic, payload, qos, packet_id, false);
            Ok(())
        })
    }

    /// Sends bytes to the device that need not be MQTT.
    ///
    /// # Errors
    /// If the device is not connected.
    pub fn inject_bytes(&self, device: &str, bytes: &[u8]) -> Result<(), Error> {
        self.core.change(|state| {
            let link = state.link(device)?;
            link.live.output.extend_from_slice(bytes);
            link.live.wake.notify_one();
            Ok(())
        })
    }

    /// Sends the device a PUBACK that it may not wait for.
    ///
    /// # Errors
    /// If the device is not connected.
    pub fn acknowledge_packet(&self, device: &str, packet_id: NonZeroU16) -> Result<(), Error> {
        self.core.change(|state| {
            state.link(device)?.acknowledge(packet_id);
            Ok(())
        })
    }

    /// Presents a certificate of that kind to all connections that come from now on, of the API, too.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn present_certificate(&self, kind: ServerCertificate) -> Result<(), Error> {
        self.server.send_replace(self.authority.server(kind)?);
        Ok(())
    }

    /// Tells devices that register from now on another host, or `host:port`, as their hub: that of a proxy in front
    /// of it, or one that does not exist. `None`: the hub's own.
    pub fn announce_hub(&self, host: Option<&str>) {
        let host = host.map(str::to_owned);
        self.core.change(|state| state.announced_hub = host);
    }
}
