//! The client as the application sees it.

mod builder;
#[cfg(test)]
mod clock_tests;
mod core;
mod file_content;
mod fork;
mod options;
mod sender;
mod sender_options;
mod set_aside;
mod source_file;
mod start;
mod wiring;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use self::core::Core;
use crate::compression::{self, Compression};
use crate::error::{Error, Result};
use crate::inbox::CloudMessage;
use crate::message::StreamAddress;
use crate::outbox::OutboxLimits;
use crate::pacing::Pacing;
use crate::status::{PacingStatus, Status};
use crate::twin::DesiredProperties;
use crate::twin::rules::check_reported;
use crate::wait::deadline_after;

pub use builder::DeviceClientBuilder;
pub use fork::ForkGuard;
pub use sender::StreamSender;
pub use sender_options::SenderOptions;
pub use set_aside::SetAsideMessage;

/// A device of the Spotflow IoT Platform.
///
/// Cheap to clone, and safe to share between any number of threads. The client works until it is
/// [closed](Self::close), or until its last clone and the last [`StreamSender`] made from it are
/// dropped; see [`close`](Self::close) for how it ends.
///
/// ```no_run
/// use spotflow_device::{Compression, DeviceClient};
///
/// let client = DeviceClient::builder("CAEaBA...", "spotflow.db").device_id("gateway-7").start()?;
/// let sender = client.create_stream_sender(None, "readings", Compression::Fastest)?;
/// sender.enqueue_message(r#"{"temperatureCelsius": 21.5}"#)?;
/// client.wait_enqueued_messages_sent()?;
/// # Ok::<(), spotflow_device::Error>(())
/// ```
#[derive(Clone)]
pub struct DeviceClient {
    core: Arc<Core>,
}

impl DeviceClient {
    /// The options for a client that registers with this Provisioning Token and keeps its state in this
    /// file.
    ///
    /// The path must end in `.db`. The file is created if it is missing, readable by its owner only;
    /// beside it there are three more, which stay, with `-wal`, `-lock` and `-sent` added to its name
    /// ([the database](crate#the-database) says what for). One client at a time can use it.
    ///
    /// ```
    /// # use spotflow_device::DeviceClient;
    /// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db");
    /// ```
    pub fn builder(
        provisioning_token: impl Into<String>,
        database: impl Into<PathBuf>,
    ) -> DeviceClientBuilder {
        DeviceClientBuilder::new(provisioning_token.into(), database.into())
    }

    fn over(core: Core) -> DeviceClient {
        DeviceClient {
            core: Arc::new(core),
        }
    }

    fn core(&self) -> &Core {
        &self.core
    }

    /// The ID of the Workspace, as the Platform decided. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) {
    /// println!("{} in {}", client.device_id(), client.workspace_id());
    /// # }
    /// ```
    pub fn workspace_id(&self) -> String {
        self.core.identity().workspace_id
    }

    /// The Device ID, as the Platform decided: the technician may have chosen another than was asked
    /// for. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) { println!("{}", client.device_id()); }
    /// ```
    pub fn device_id(&self) -> String {
        self.core.identity().device_id
    }

    /// Makes a sender for a Stream. Without a stream group or stream, the Platform's defaults are used.
    /// Does not block.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a name is empty or too long, or if compression is wanted and the build
    /// has no codec.
    ///
    /// ```no_run
    /// # use spotflow_device::{Compression, DeviceClient, Error};
    /// # fn f(client: &DeviceClient) -> Result<(), Error> {
    /// let default_stream = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    /// let logs = client.create_stream_sender("diagnostics", "logs", Compression::SmallestSize)?;
    /// # Ok(()) }
    /// ```
    pub fn create_stream_sender<'a>(
        &self,
        stream_group: impl Into<Option<&'a str>>,
        stream: impl Into<Option<&'a str>>,
        compression: Compression,
    ) -> Result<StreamSender> {
        let options = SenderOptions::new().compression(compression);
        self.create_stream_sender_with(stream_group, stream, options)
    }

    /// [`create_stream_sender`](Self::create_stream_sender) with more options, such as a [priority](crate::Priority).
    /// Does not block.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a name is empty or too long, the time to live is too short,
    /// or compression is wanted and the build has no codec.
    ///
    /// ```no_run
    /// # use spotflow_device::{DeviceClient, Error, Priority, SenderOptions};
    /// # fn f(client: &DeviceClient) -> Result<(), Error> {
    /// let options = SenderOptions::new().priority(Priority::Urgent);
    /// let alarms = client.create_stream_sender_with(None, "alarms", options)?;
    /// alarms.enqueue_message("the door is open")?;
    /// # Ok(()) }
    /// ```
    pub fn create_stream_sender_with<'a>(
        &self,
        stream_group: impl Into<Option<&'a str>>,
        stream: impl Into<Option<&'a str>>,
        options: SenderOptions,
    ) -> Result<StreamSender> {
        options.validate()?;
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let address = StreamAddress::new(owned(stream_group.into()), owned(stream.into()))?;
        compression::validate(options.compression, self.core.codec)?;
        Ok(StreamSender::new(Arc::clone(&self.core), address, options))
    }

    /// Sets the limits of the outbox in the place of those that hold, for example as Desired Properties say. They hold
    /// from the next call that stores on: what is stored already stays, until that call has to find or make room. Not
    /// remembered: the next start has what its [builder](DeviceClientBuilder::outbox_limits) says. Does not block.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] as at the start.
    ///
    /// ```no_run
    /// # use spotflow_device::{DeviceClient, Error, OutboxLimits, WhenFull};
    /// # fn f(client: &DeviceClient) -> Result<(), Error> {
    /// let limits = OutboxLimits::new().bytes(20 << 20).when_full(WhenFull::DropOldest);
    /// client.set_outbox_limits(limits)?;
    /// # Ok(()) }
    /// ```
    pub fn set_outbox_limits(&self, limits: OutboxLimits) -> Result<()> {
        limits.validate()?;
        self.core.outbox.set_limits(limits);
        Ok(())
    }

    /// Sets how fast Messages and uploads may go in the place of what holds, for example as Desired Properties say. It
    /// holds at once, for an upload that is waiting within a second; what was sent still counts. Not remembered: the next
    /// start has what its [builder](DeviceClientBuilder::pacing) says. Does not block.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] as at the start.
    ///
    /// ```no_run
    /// # use spotflow_device::{DeviceClient, Error, Pace, Pacing, Priority};
    /// # fn f(client: &DeviceClient) -> Result<(), Error> {
    /// // The backlog goes slowly, and everything else as fast as it can.
    /// let backlog = Pace::new().bytes_per_second(2_000);
    /// client.set_pacing(Pacing::new().lane(Priority::Bulk, backlog))?;
    /// # Ok(()) }
    /// ```
    pub fn set_pacing(&self, pacing: Pacing) -> Result<()> {
        pacing.validate()?;
        self.core.pacer.change(pacing, self.core.clock.now());
        self.core.mailbox.wake();
        Ok(())
    }

    /// How many Messages are stored and not yet acknowledged by the Platform. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) { println!("{}", client.pending_messages_count()); }
    /// ```
    pub fn pending_messages_count(&self) -> u64 {
        self.core.outbox.pending().count
    }

    /// Waits until all Messages that were enqueued before this call are sent, that is, acknowledged by
    /// the Platform. What is enqueued later does not prolong the wait.
    ///
    /// # Errors
    /// [`Error::Interrupted`] by the interrupt check; [`Error::SetAside`], [`Error::Dropped`], [`Error::Expired`] or
    /// [`Error::Replaced`] if a Message of them was set aside, dropped, too old or replaced by a newer one meanwhile;
    /// [`Error::Closed`] if the client is closed meanwhile.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// client.wait_enqueued_messages_sent()?;
    /// # Ok(()) }
    /// ```
    pub fn wait_enqueued_messages_sent(&self) -> Result<()> {
        self.core.outbox.wait_all_sent(None, self.core.check())
    }

    /// [`wait_enqueued_messages_sent`](Self::wait_enqueued_messages_sent) with a time limit.
    ///
    /// # Errors
    /// Also [`Error::TimedOut`]; everything stays stored and goes on being sent.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use spotflow_device::{DeviceClient, Error};
    /// # fn f(client: &DeviceClient) -> Result<(), Error> {
    /// match client.wait_enqueued_messages_sent_timeout(Duration::from_secs(30)) {
    ///     Err(Error::TimedOut) => println!("{} still pending", client.pending_messages_count()),
    ///     other => other?,
    /// }
    /// # Ok(()) }
    /// ```
    pub fn wait_enqueued_messages_sent_timeout(&self, limit: Duration) -> Result<()> {
        let deadline = deadline_after(limit);
        self.core.outbox.wait_all_sent(deadline, self.core.check())
    }

    /// The current Desired Properties. Blocks only if none were ever received: then until the Platform
    /// has sent them. Offline, they are those received last.
    ///
    /// # Errors
    /// [`Error::Interrupted`] by the interrupt check; [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// let properties = client.get_desired_properties()?;
    /// println!("version {}: {:?}", properties.version(), properties.values());
    /// # Ok(()) }
    /// ```
    pub fn get_desired_properties(&self) -> Result<DesiredProperties> {
        self.core.check_open()?;
        self.core.properties.wait_desired(None, self.core.check())
    }

    /// The current Desired Properties if their version is higher than `version`, or if `version` is
    /// `None` and any were ever received. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) {
    /// let mut version = None;
    /// if let Some(properties) = client.get_desired_properties_if_newer(version) {
    ///     version = Some(properties.version());
    /// }
    /// # }
    /// ```
    pub fn get_desired_properties_if_newer(
        &self,
        version: impl Into<Option<u64>>,
    ) -> Option<DesiredProperties> {
        let version = version.into();
        let newer = |properties: &DesiredProperties| {
            version.is_none_or(|version| properties.version() > version)
        };
        self.core.properties.desired().filter(newer)
    }

    /// States the *whole* Reported Properties. They are stored, then brought to the Platform as the
    /// difference from what it has: what is no longer in them is removed there. A later call replaces an
    /// earlier one that was not sent yet. Blocks for a commit to the disk.
    ///
    /// `properties` must be a JSON object, or serialise to one. Keys are up to 1 KB long and without
    /// `.`, `$`, spaces and control characters; strings up to 4 KB; 10 levels; 32 KB in all (IoT Hub's
    /// rules). `null` means absent.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] names the path and the rule that is broken; the database's errors;
    /// [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// client.update_reported_properties(&serde_json::json!({"firmware": {"version": "1.4.2"}}))?;
    /// # Ok(()) }
    /// ```
    pub fn update_reported_properties(&self, properties: &(impl Serialize + ?Sized)) -> Result<()> {
        self.core.check_open()?;
        let value = serde_json::to_value(properties).map_err(|error| {
            Error::invalid("properties", format!("cannot become JSON: {error}"))
        })?;
        self.core.properties.report(check_reported(&value)?)
    }

    /// Whether the Platform has yet to confirm Reported Properties. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) -> bool {
    /// client.any_pending_reported_properties_updates()
    /// # }
    /// ```
    pub fn any_pending_reported_properties_updates(&self) -> bool {
        self.core.properties.any_pending_report()
    }

    /// Takes the next cloud-to-device message, in the order in which they were received; waits for one
    /// up to `limit`, and returns `None` if none came. It is handed out once in this run, and again in
    /// the next unless it was [completed](CloudMessage::complete).
    ///
    /// Up to 1,000 unprocessed messages or 16 MiB are stored; more are not acknowledged, and so stay in
    /// the hub (which keeps 50).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the client was started without
    /// [`cloud_messages`](DeviceClientBuilder::cloud_messages); [`Error::Interrupted`];
    /// [`Error::Closed`]; the database's errors.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn f(client: &spotflow_device::DeviceClient) -> Result<(), spotflow_device::Error> {
    /// while let Some(message) = client.receive_cloud_message(Duration::from_secs(60))? {
    ///     println!("{:?}: {} bytes", message.property("command"), message.payload().len());
    ///     message.complete()?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn receive_cloud_message(&self, limit: Duration) -> Result<Option<CloudMessage>> {
        let inbox = self.core.inbox.as_ref().ok_or_else(|| {
            let rule = "must be asked for at the start to receive them";
            Error::invalid("cloud_messages", rule)
        })?;
        match inbox.receive(deadline_after(limit), self.core.check()) {
            Ok(message) => Ok(Some(message)),
            Err(Error::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the client is doing. Does not block.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) { println!("{:?}", client.status()); }
    /// ```
    pub fn status(&self) -> Status {
        let board = self.core.status.read();
        let (pending, dropped) = (self.core.outbox.pending(), self.core.outbox.dropped());
        let (messages_per_second, bytes_per_second) = self.core.pacer.of_all().per_second();
        Status {
            is_connected: board.is_connected,
            connection_age: board.connection_age,
            reconnects: board.reconnects,
            last_error: board.last_error,
            last_error_age: board.last_error_age,
            transport: board.transport,
            held_back: board.held_back.map(str::to_owned),
            held_back_age: board.held_back_age,
            pending_messages: pending.count,
            pending_bytes: pending.bytes,
            oldest_pending_age: self.core.outbox.oldest_age(),
            dropped_messages: dropped.count,
            dropped_bytes: dropped.bytes,
            expired_messages: self.core.outbox.expired().count,
            replaced_messages: self.core.outbox.replaced().count,
            set_aside_messages: self.core.outbox.shelf.count(),
            upload: self.core.uploader.status(),
            pacing: PacingStatus {
                messages_per_second,
                bytes_per_second,
                throttled_messages_per_second: board.throttled_messages_per_second,
            },
            tunnels: self
                .core
                .tunnels
                .as_ref()
                .map_or_else(Vec::new, |tunnels| tunnels.status()),
            recovery: self.core.store.recovery(),
        }
    }

    /// Ends the client, for all its clones and senders: wakes all who wait (with [`Error::Closed`]),
    /// gives Messages in flight a second to be acknowledged, says goodbye to the hub, and joins every
    /// thread. What is stored stays stored, for the next start. A second call does nothing.
    ///
    /// Blocks for up to 5 s and the time that the disk takes, usually for milliseconds. After that, a
    /// thread may be left behind that waits for what cannot be interrupted: the system's name lookup, or a
    /// callback of the application.
    ///
    /// ```no_run
    /// # fn f(client: &spotflow_device::DeviceClient) { client.close(); }
    /// ```
    pub fn close(&self) {
        self.core.close();
    }
}

impl std::fmt::Debug for DeviceClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceClient")
            .field("database", &self.core.store.path())
            .field("device_id", &self.device_id())
            .finish_non_exhaustive()
    }
}
