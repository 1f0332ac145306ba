//! Messages set aside: what will not be sent as things stand, for the application to decide about.

use super::DeviceClient;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::message::{property_bag, terms};
use crate::store::rows::set_aside::SetAsideRow;

/// A Message that will not be sent as things stand; see
/// [`set_aside_messages`](DeviceClient::set_aside_messages).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SetAsideMessage {
    /// Names it, for [`retry_set_aside_messages`](DeviceClient::retry_set_aside_messages) and
    /// [`drop_set_aside_messages`](DeviceClient::drop_set_aside_messages).
    pub id: i64,
    /// Why it was set aside.
    pub reason: String,
    /// The Workspace that it was stored under.
    pub workspace_id: String,
    /// The Device ID that it was stored under.
    pub device_id: String,
    /// Its properties as they would be sent, such as `stream-name` and `batch-id`.
    pub properties: Vec<(String, String)>,
    /// The bytes of its stored payload.
    pub payload_bytes: u64,
}

impl From<SetAsideRow> for SetAsideMessage {
    fn from(row: SetAsideRow) -> SetAsideMessage {
        SetAsideMessage {
            id: row.id,
            reason: row.reason,
            workspace_id: row.workspace_id,
            device_id: row.device_id,
            properties: property_bag::parse(terms::bag(&row.properties)),
            payload_bytes: row.body_bytes,
        }
    }
}

impl DeviceClient {
    /// Lists the Messages set aside, oldest first, which are kept until the application retries or drops
    /// them. Blocks for a read of the database.
    ///
    /// A Message is set aside if
    ///
    /// - it was stored under another Workspace or Device ID than the device has now;
    /// - its large content was refused five times in a row, with an HTTP status that another attempt would
    ///   not change;
    /// - the hub does not take it. MQTT 3.1.1 has no way to say so, except to close the connection. If that
    ///   has happened three times in a row with the same Message in flight, it is sent alone, each time
    ///   after a while, of a minute at most, in which the connection stood and the hub answered all else. If
    ///   the hub closes the connection on it five times in a row, and then takes the Message behind it, it is
    ///   set aside.
    ///
    /// The last takes one to three minutes with the usual
    /// [keep-alive](super::DeviceClientBuilder::keep_alive); less with one below a minute, and more for a
    /// Message that takes seconds to send or to be refused, for several in a row (each takes twice as long), and
    /// on a connection that is lost now and then without a Message's fault. Meanwhile
    /// [`Status::held_back`](crate::Status::held_back) says so. Any sign that the network or the hub
    /// is to blame begins it anew. As long as no Message behind it is taken, it goes on being tried; only
    /// after 25 hours, more than IoT Hub's daily quota can explain, is it set aside without one. Those who
    /// [wait](Self::wait_enqueued_messages_sent) for it get [`Error::SetAside`].
    ///
    /// # Errors
    /// The database's errors; [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// for message in client.set_aside_messages()? {
    ///     println!("{}: {}", message.id, message.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn set_aside_messages(&self) -> Result<Vec<SetAsideMessage>> {
        let rows = self.core().outbox.shelf.list()?;
        Ok(rows.into_iter().map(SetAsideMessage::from).collect())
    }

    /// Puts Messages set aside back, behind all others, and returns how many. Only those of the
    /// device's present identity can be sent again; others stay where they are.
    ///
    /// # Errors
    /// The database's errors; [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// let ids: Vec<i64> = client.set_aside_messages()?.iter().map(|message| message.id).collect();
    /// let retried = client.retry_set_aside_messages(&ids)?;
    /// # Ok(()) }
    /// ```
    pub fn retry_set_aside_messages(&self, ids: &[i64]) -> Result<u64> {
        let core = self.core();
        core.outbox.shelf.put_back(ids.to_vec(), core.identity())
    }

    /// Deletes Messages set aside, and returns how many there were.
    ///
    /// # Errors
    /// The database's errors; [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// client.drop_set_aside_messages(&[17])?;
    /// # Ok(()) }
    /// ```
    pub fn drop_set_aside_messages(&self, ids: &[i64]) -> Result<u64> {
        let deleted = self.core().outbox.shelf.drop_messages(ids.to_vec())?;
        Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
    }
}
