//! The Messages that arrived.

use std::time::Duration;

use super::Platform;
use crate::Message;
use crate::error::Timeout;
use crate::record::Recorded;

impl Platform {
    /// All Messages that arrived, in order, repeats too.
    pub fn messages(&self) -> Vec<Message> {
        decoded(self.recorded())
    }

    /// Those of one device.
    pub fn messages_of(&self, device: &str) -> Vec<Message> {
        let hub_id = self.core.look().registry.hub_id(device);
        let mut recorded = self.recorded();
        recorded.retain(|message| {
            let Some((workspace_id, device_id)) =
                hub_id.as_deref().and_then(|id| id.split_once(':'))
            else {
                // A deleted device is known by the plain name only.
                return message.device.device_id == device;
            };
            message.device.workspace_id == workspace_id && message.device.device_id == device_id
        });
        decoded(recorded)
    }

    /// All Messages as the Platform keeps them: without those that just repeat the one before.
    pub fn distinct_messages(&self) -> Vec<Message> {
        let mut recorded = self.recorded();
        recorded.retain(|message| !message.repeat);
        decoded(recorded)
    }

    /// Waits until so many Messages are recorded, repeats too, and returns all that are.
    ///
    /// # Errors
    /// If there are fewer when the time is over.
    pub fn wait_for_messages(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Message>, Timeout> {
        let recorded = self.core.wait(
            timeout,
            |state| (state.record.len() >= count).then(|| state.record.all().to_vec()),
            |state| format!("{count} Messages; there were {}", state.record.len()),
        )?;
        Ok(decoded(recorded))
    }

    /// The Messages with a [sequence](Message::sequence) above `sequence`; waits if there are none,
    /// at most for `timeout`.
    pub fn wait_for_messages_after(&self, sequence: u64, timeout: Duration) -> Vec<Message> {
        let news = self.core.wait(
            timeout,
            |state| {
                Some(state.record.after(sequence))
                    .filter(|news| !news.is_empty())
                    .map(<[_]>::to_vec)
            },
            |_| String::new(),
        );
        decoded(news.unwrap_or_default())
    }

    /// How many Messages ever arrived, repeats too, whether they are still recorded or not.
    pub fn received_count(&self) -> u64 {
        self.core.look().record.received
    }

    /// How many Messages ever arrived that do not just repeat the one before.
    pub fn distinct_count(&self) -> u64 {
        self.core.look().record.distinct
    }

    /// Waits until so many Messages ever arrived, repeats too, without decoding them: for benches.
    ///
    /// # Errors
    /// If it were fewer when the time is over.
    pub fn wait_for_received(&self, count: u64, timeout: Duration) -> Result<(), Timeout> {
        self.core.wait(
            timeout,
            |state| (state.record.received >= count).then_some(()),
            |state| format!("{count} Messages; there were {}", state.record.received),
        )
    }

    /// Forgets the recorded Messages, which frees their memory. Counters go on.
    pub fn clear_messages(&self) {
        self.core.change(|state| state.record.clear());
    }

    /// From now on recorded Messages keep their payloads, or do not.
    pub fn record_payloads(&self, record: bool) {
        self.core
            .change(|state| state.record.keep_payloads = record);
    }

    fn recorded(&self) -> Vec<Recorded> {
        self.core.look().record.all().to_vec()
    }
}

fn decoded(recorded: Vec<Recorded>) -> Vec<Message> {
    recorded.iter().map(Recorded::decode).collect()
}
