//! Twins and cloud-to-device messages: what the cloud side does with a device.

use std::time::Duration;

use serde_json::Value;

use super::Platform;
use crate::error::{Error, Timeout};
use crate::hub::{Twin, encoded_properties, with_version};
use crate::news::Event;
use crate::state::State;

impl Platform {
    /// Replaces the device's Desired Properties; returns their new version. A connected device is sent the merge
    /// patch that leads there.
    ///
    /// # Errors
    /// If there is no such device, or the properties break a rule.
    pub fn set_desired(&self, device: &str, properties: &Value) -> Result<u64, Error> {
        let Value::Object(wanted) = properties else {
            return Err(Error::InvalidProperties("not a JSON object".to_owned()));
        };
        self.change_desired(device, |twin| twin.desired.patch_to(wanted))
    }

    /// Merges a patch into the device's Desired Properties (RFC 7386); returns their new version.
    ///
    /// # Errors
    /// If there is no such device, or the properties break a rule.
    pub fn patch_desired(&self, device: &str, patch: &Value) -> Result<u64, Error> {
        self.change_desired(device, |_| patch.clone())
    }

    fn change_desired(
        &self,
        device: &str,
        patch: impl FnOnce(&Twin) -> Value,
    ) -> Result<u64, Error> {
        self.core.change(|state| {
            let twin = &mut state.device(device)?.mailbox.twin;
            let patch = patch(twin);
            let version = twin
                .desired
                .apply(&patch)
                .map_err(Error::InvalidProperties)?;
            let device_changed = state.device(device)?.public.as_ref().clone();
            state.events.push(Event::Desired {
                device: device_changed,
                version,
            });
            if let (Value::Object(patch), Ok(mut link)) = (patch, state.link(device)) {
                link.push_desired(version, &with_version(patch, version));
            }
            Ok(version)
        })
    }

    /// The device's Desired Properties and their version.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn desired(&self, device: &str) -> Result<(Value, u64), Error> {
        self.core.change(|state| {
            let desired = &state.device(device)?.mailbox.twin.desired;
            Ok((desired.document(), desired.version))
        })
    }

    /// The device's Reported Properties and their version.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn reported(&self, device: &str) -> Result<(Value, u64), Error> {
        self.core.change(|state| {
            let reported = &state.device(device)?.mailbox.twin.reported;
            Ok((reported.document(), reported.version))
        })
    }

    /// The patches that the device sent and the hub took, the oldest first.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn reported_patches(&self, device: &str) -> Result<Vec<Value>, Error> {
        self.core
            .change(|state| Ok(state.device(device)?.mailbox.reported_patches.clone()))
    }

    /// Waits until the device's Reported Properties are as the predicate wants them.
    ///
    /// # Errors
    /// If they are not in time. A device that is not there yet is waited for, too.
    pub fn wait_for_reported(
        &self,
        device: &str,
        mut wanted: impl FnMut(&Value) -> bool,
        timeout: Duration,
    ) -> Result<Value, Timeout> {
        let mut last = None;
        let waited = self.core.wait(
            timeout,
            |state| {
                let reported = state.device(device).ok()?.mailbox.twin.reported.document();
                if wanted(&reported) {
                    return Some(reported);
                }
                last = Some(reported);
                None
            },
            |_| String::new(),
        );
        waited.map_err(|error| Timeout {
            awaited: format!("Reported Properties of {device:?}; they were {last:?}"),
            ..error
        })
    }

    /// Sends a Desired Properties patch that nothing on the hub stands behind: a stale one, one after a gap, one
    /// that is no JSON. `$version` is put into an object.
    ///
    /// # Errors
    /// If the device is not connected.
    pub fn send_raw_desired_patch(
        &self,
        device: &str,
        version: u64,
        patch: &Value,
    ) -> Result<(), Error> {
        let patch = match patch {
            Value::Object(values) => with_version(values.clone(), version),
            other => other.clone(),
        };
        self.core.change(|state| {
            state.link(device)?.push_desired(version, &patch);
            Ok(())
        })
    }

    /// Empties the device's twin and lets its versions start over, as if it had been created anew. Tells nobody.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn reset_twin(&self, device: &str) -> Result<(), Error> {
        self.core.change(|state| {
            let mailbox = &mut state.device(device)?.mailbox;
            mailbox.twin = Twin::default();
            mailbox.reported_patches.clear();
            Ok(())
        })
    }

    /// Queues a cloud-to-device message. It is delivered as soon as the device listens, and again after each
    /// reconnect until acknowledged.
    ///
    /// # Errors
    /// If there is no such device, or its queue is full.
    pub fn send_cloud_message(
        &self,
        device: &str,
        payload: impl Into<Vec<u8>>,
        properties: &[(&str, &str)],
    ) -> Result<(), Error> {
        let (payload, bag) = (payload.into(), encoded_properties(properties));
        self.core.change(|state| {
            state
                .device(device)?
                .mailbox
                .cloud
                .push(payload, bag)
                .map_err(Error::QueueFull)?;
            if let Ok(mut link) = state.link(device) {
                link.deliver_cloud_messages(
                    self.core.settings.cloud_message_lock,
                    std::time::Instant::now(),
                );
            }
            Ok(())
        })
    }

    /// How many cloud-to-device messages the device has not acknowledged; none for an unknown device.
    pub fn cloud_messages_waiting(&self, device: &str) -> usize {
        self.core.change(|state| {
            state
                .device(device)
                .map_or(0, |device| device.mailbox.cloud.len())
        })
    }

    /// Waits until at most so many cloud-to-device messages are unacknowledged.
    ///
    /// # Errors
    /// If there are more when the time is over.
    pub fn wait_for_cloud_messages(
        &self,
        device: &str,
        waiting: usize,
        timeout: Duration,
    ) -> Result<(), Timeout> {
        let queued = |state: &mut State| {
            state
                .device(device)
                .map_or(0, |device| device.mailbox.cloud.len())
        };
        self.core.wait(
            timeout,
            |state| (queued(state) <= waiting).then_some(()),
            |_| format!("at most {waiting} cloud-to-device messages waiting for {device:?}"),
        )
    }

    /// The device's whole twin as it would read it.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn twin(&self, device: &str) -> Result<Value, Error> {
        self.core
            .change(|state| Ok(state.device(device)?.mailbox.twin.document()))
    }
}
