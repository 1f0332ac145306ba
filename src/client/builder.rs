//! The options of a client as the application states them, and its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::DeviceClient;
use super::options::Options;
use super::start::start;
use crate::compression::Codec;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::methods::{MethodError, MethodRequest, MethodResponse};
use crate::outbox::OutboxLimits;
use crate::pacing::Pacing;
use crate::registration::ProvisioningOperation;
use crate::secret::Secret;
use crate::status::{ConnectionChange, UploadStatus};
use crate::store::Durability;
use crate::transport::Transport;
use crate::tunnels::RemoteAccess;
use crate::twin::DesiredProperties;
use crate::wait::InterruptCheck;

/// The options of a [`DeviceClient`]. Made by [`DeviceClient::builder`].
///
/// ```no_run
/// use spotflow_device::DeviceClient;
///
/// let client = DeviceClient::builder("CAEaBA...", "/var/lib/gateway/spotflow.db")
///     .device_id("gateway-7")
///     .on_desired_properties(|properties| println!("version {}", properties.version()))
///     .start()?;
/// # Ok::<(), spotflow_device::Error>(())
/// ```
#[must_use = "a client runs only after `start`"]
pub struct DeviceClientBuilder {
    pub(super) options: Options,
}

impl DeviceClientBuilder {
    pub(super) fn new(provisioning_token: String, database: PathBuf) -> DeviceClientBuilder {
        DeviceClientBuilder {
            options: Options::new(provisioning_token, database),
        }
    }

    /// The Device ID to ask for: 4 to 90 characters of `0-9 a-z A-Z - _ .`. The technician who
    /// approves the device can decide otherwise. Without it, the Provisioning Token or the technician
    /// decides.
    ///
    /// Another ID than at the last start means another approval.
    pub fn device_id(mut self, device_id: impl Into<String>) -> Self {
        self.options.device_id = Some(device_id.into());
        self
    }

    /// The Platform's instance: a host, with or without a port and `https://`. The default is
    /// `api.eu1.spotflow.io`.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.options.instance = Some(instance.into());
        self
    }

    /// How to show a [`ProvisioningOperation`] to the technician; the default prints it on standard
    /// output. Called in a background thread, again for each new operation (also long after the
    /// start, when the device has to be approved anew). The approval is awaited after it returns.
    ///
    /// If such a later operation is refused, or the Provisioning Token is no longer valid, the client
    /// asks again in an hour: Messages go on being stored, and
    /// [`last_error`](crate::Status::last_error) tells.
    pub fn on_provisioning(
        mut self,
        callback: impl Fn(&ProvisioningOperation) + Send + Sync + 'static,
    ) -> Self {
        self.options.display = Box::new(callback);
        self
    }

    /// Called with the current Desired Properties right after the start (if any were ever received)
    /// and after every update, in a thread of its own. If it is slow, it sees the latest version only.
    /// A panic in it is logged, and the next update still comes.
    ///
    /// A client that it captures lives until [`DeviceClient::close`] is called.
    pub fn on_desired_properties(
        mut self,
        callback: impl FnMut(DesiredProperties) + Send + 'static,
    ) -> Self {
        self.options.callbacks.desired = Some(Box::new(callback));
        self
    }

    /// Called when the connection to the hub comes or goes, in the same thread as the callback for
    /// Desired Properties. If it is slow, it sees the latest change only.
    pub fn on_connection_change(
        mut self,
        callback: impl FnMut(ConnectionChange) + Send + 'static,
    ) -> Self {
        self.options.callbacks.connection = Some(Box::new(callback));
        self
    }

    /// Called with the progress of each upload of large content, in the same thread as the callbacks for Desired
    /// Properties and the connection: when an attempt begins, with what the storage has from earlier ones; after each
    /// block of 1 MiB; and when all of it is there, with `uploaded_bytes` equal to `total_bytes`. The Message itself
    /// follows in its turn. An attempt that was refused can begin anew, from zero.
    ///
    /// Uploads go one after the other. If the callback is slow, it sees the latest progress only, and the end of an
    /// upload not when the next has begun. A panic in it is logged.
    ///
    /// ```
    /// use spotflow_device::DeviceClient;
    ///
    /// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db")
    ///     .on_upload_progress(|upload| println!("{} of {} bytes", upload.uploaded_bytes, upload.total_bytes));
    /// ```
    pub fn on_upload_progress(
        mut self,
        callback: impl FnMut(UploadStatus) + Send + 'static,
    ) -> Self {
        self.options.callbacks.upload = Some(Box::new(callback));
        self
    }

    /// Lets the cloud call the method `name` of this device (a *direct method* of IoT Hub): `handler` is called, and
    /// what it returns is the answer. Nothing is subscribed to unless there is a handler.
    ///
    /// Handlers run in [threads of their own](Self::method_threads), several at once, and hold up neither Messages nor
    /// other callbacks. The library answers itself, with a body that says why,
    ///
    /// - 400, if the body of the call is no JSON;
    /// - 404, if the method has no handler;
    /// - 500, if the handler returns an error or panics (which is logged, and not sent), or its answer has more than
    ///   128 KB;
    /// - 503, if as many calls run as there are threads, and 64 more wait.
    ///
    /// The hub delivers a call at most once, and only to a connected device; its caller gives up after 30 s unless it
    /// says otherwise, and after 300 s at most. A call that has waited for so long for a thread is not run. An answer
    /// goes out on the connection that brought the call, or not at all: see
    /// [`MethodRequest::is_cancelled`].
    ///
    /// [`DeviceClient::close`] waits for running handlers within its limit. A client that a handler captures lives
    /// until `close` is called.
    ///
    /// ```
    /// use spotflow_device::{DeviceClient, MethodResponse};
    ///
    /// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db").on_method("set-interval", |request| {
    ///     let seconds: u64 = request.deserialize()?;
    ///     Ok(MethodResponse::ok(format!("every {seconds} s")))
    /// });
    /// ```
    pub fn on_method(
        mut self,
        name: impl Into<String>,
        handler: impl Fn(&MethodRequest) -> Result<MethodResponse, MethodError> + Send + Sync + 'static,
    ) -> Self {
        self.options
            .methods
            .by_name
            .push((name.into(), Arc::new(handler)));
        self
    }

    /// Like [`on_method`](Self::on_method), for all names that have no handler of their own.
    pub fn on_other_methods(
        mut self,
        handler: impl Fn(&MethodRequest) -> Result<MethodResponse, MethodError> + Send + Sync + 'static,
    ) -> Self {
        self.options.methods.others = Some(Arc::new(handler));
        self
    }

    /// Lets a technician reach ports of this device through the Platform, as the options allow; nobody can unless this
    /// is called.
    ///
    /// Each tunnel has a thread of its own, and goes through the relay that the Platform names, with this client's
    /// trust. It outlives a lost connection to the hub; [`DeviceClient::close`] ends all. Each opening and end is
    /// logged at info level, and open ones are in the [`Status`](crate::Status). A tunnel holds 256 KB of memory at most.
    /// The Platform is answered
    ///
    /// - 200, once both the port (within 5 s) and the relay (within 20 s) have taken a connection;
    /// - 400, if what it asks is malformed;
    /// - 409, if the tunnel is open already;
    /// - 500, with a `detail`, if the port is not allowed, the application refuses, too many tunnels are open, or one
    ///   of the connections fails.
    pub fn remote_access(mut self, options: RemoteAccess) -> Self {
        self.options.remote_access = Some(options);
        self
    }

    /// How many calls of [methods](Self::on_method) run at once: 1 to 64, 4 unless changed. A thread lives only while
    /// there are calls.
    pub fn method_threads(mut self, threads: usize) -> Self {
        self.options.methods.threads = threads;
        self
    }

    /// A PEM file with certificates to trust in addition to the system's, for every connection. The
    /// system's are found as by OpenSSL, with `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.ca_file = Some(path.into());
        self
    }

    /// The proxy that leads to every host: `http://`, `socks5://` or `socks5h://`, then `[user[:password]@]host[:port]`
    /// (port 1080 unless given, as with curl); or `none`. An HTTP proxy is asked to CONNECT, and either kind resolves
    /// the hosts' names itself. Special characters in user and password are percent-encoded.
    ///
    /// Unless this is called, the environment decides when the client starts, as curl reads it: the first that is set
    /// of `https_proxy`, `HTTPS_PROXY`, `all_proxy` and `ALL_PROXY`, and `no_proxy` or `NO_PROXY` for hosts that are
    /// reached without. That goes for the hub as for HTTPS; this machine itself is never reached by the environment's
    /// proxy.
    ///
    /// ```no_run
    /// # use spotflow_device::DeviceClient;
    /// let client = DeviceClient::builder("CAEaBA...", "/var/lib/gateway/spotflow.db")
    ///     .proxy("http://gateway:p%40ssword@proxy.factory.example:3128")
    ///     .start()?;
    /// # Ok::<(), spotflow_device::Error>(())
    /// ```
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.options.proxy = Some(Secret::new(proxy));
        self
    }

    /// How to connect to the hub; [`Transport::Automatic`] unless changed.
    ///
    /// Automatic tries MQTT at port 8883 first. Where that is refused, cut, or silent for some seconds (4 at most, or 8
    /// after an attempt in which neither came through) before the hub has accepted the connection, the same attempt
    /// goes on with MQTT over WebSocket at port 443. What worked is tried first from then on, also after a restart; the
    /// other one is tried when that fails. While it is WebSocket, port 8883 is tried again after five minutes, ten,
    /// twenty and so on, down to once a day, but only when a connection has to be made anyway. A name that does not
    /// resolve and a login that the hub refuses are no matter of the port.
    ///
    /// [`Status::transport`](crate::Status::transport) and a line of the log, at `info`, say what is used. Everything
    /// but speed is the same: each packet of MQTT costs some bytes more. A [proxy](Self::proxy) is asked for either
    /// port. An HTTP proxy that reads along is no way for either: it is told by the authority that issued its
    /// certificate.
    ///
    /// Example: [`Transport`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.options.transport = transport;
        self
    }

    /// Consulted by every long wait, so that a signal can end it; see [`InterruptCheck`].
    pub fn interrupt_check(mut self, check: impl InterruptCheck + 'static) -> Self {
        self.options.interrupt_check = Some(Arc::new(check));
        self
    }

    /// Whether to take cloud-to-device messages from the hub, for
    /// [`receive_cloud_message`](DeviceClient::receive_cloud_message). The default is not to: then they
    /// stay in the hub until they expire there.
    pub fn cloud_messages(mut self, wanted: bool) -> Self {
        self.options.cloud_messages = wanted;
        self
    }

    /// What compresses payloads; the default is Brotli, the only one that the public instance is known
    /// to read, and in a build without it gzip or, without that, zstd. One that is not in the build is an
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) at the start: see
    /// [Features](crate#features).
    pub fn codec(mut self, codec: Codec) -> Self {
        self.options.codec = Some(codec);
        self
    }

    /// What a stored Message survives; power loss unless changed.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// How many Messages may be under way without an acknowledgement: 1 to 256, 1 unless changed.
    ///
    /// With 1, a lost connection or a kill can repeat a Message only directly after itself, and the
    /// Platform drops such a repeat. With `n`, it can repeat the last `n` Messages in their order,
    /// which the Platform does not drop: a file that concatenates a Batch then holds them twice. Those that an
    /// earlier run had sent, and this one [replaced](crate::SenderOptions::keep_latest), do not count. More than
    /// 1 pays off where the round trip is long.
    pub fn in_flight_window(mut self, messages: usize) -> Self {
        self.options.window = messages;
        self
    }

    /// After how long without traffic the connection is tested, and kept open in the network between:
    /// 5 s to 1,767 s (IoT Hub's limit), 120 s unless changed. A silent peer is found within this time
    /// and another 60 s. A hub may close a connection over which no whole packet came for one and a half
    /// times this: where a link is slow, a Message must get through in that (250 KB take two minutes at
    /// 2 KB/s).
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.options.keep_alive = interval;
        self
    }

    /// How long [`start`](Self::start) may wait for the Platform and for an approval; as long as it takes unless
    /// set. A device that was registered before goes on offline then, any other gets [`Error::TimedOut`]: what was
    /// begun is left, and the next start begins another Provisioning Operation.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use spotflow_device::{DeviceClient, Error};
    /// let started = DeviceClient::builder("CAEaBA...", "device.db")
    ///     .start_timeout(Duration::from_secs(60))
    ///     .start();
    /// if let Err(Error::TimedOut) = started {
    ///     eprintln!("not approved within a minute");
    /// }
    /// ```
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.options.start_timeout = Some(limit);
        self
    }

    /// What the outbox may hold, and what happens to what does not fit; no limits unless set.
    pub fn outbox_limits(mut self, limits: OutboxLimits) -> Self {
        self.options.outbox_limits = limits;
        self
    }

    /// How fast Messages and uploads may go, all together and by [priority](crate::Priority); no limits unless set.
    /// [`DeviceClient::set_pacing`] changes it later.
    ///
    /// ```
    /// use spotflow_device::{DeviceClient, Pace, Pacing};
    ///
    /// let pacing = Pacing::new().all(Pace::new().bytes_per_second(20_000));
    /// let builder = DeviceClient::builder("CAEaBA...", "spotflow.db").pacing(pacing);
    /// ```
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.options.pacing = pacing;
        self
    }

    /// Starts the client: registers the device, and provisions it before if it has no valid
    /// registration.
    ///
    /// Blocks until the device is registered; for an approval, that is as long as it takes, unless
    /// [`start_timeout`](Self::start_timeout) is set; each half minute it logs what it waits for. With a
    /// registration from an earlier start it returns at once when the network refuses, and within 10 s
    /// when the Platform does not answer; the client then goes on offline and registers when it can.
    /// It does not wait for the hub.
    ///
    /// No network, HTTP 423, 429 and 5xx are [retried](crate#errors-and-retries).
    ///
    /// # Errors
    /// - [`Error::InvalidArgument`]: an option breaks a rule.
    /// - [`Error::DatabaseInUse`], [`Error::Database`], [`Error::StorageFull`]: the database file.
    /// - [`Error::InvalidToken`], [`Error::Refused`], [`Error::ProvisioningRefused`]: the Platform, or
    ///   the technician, will not have this device.
    /// - [`Error::TimedOut`]: the [limit](Self::start_timeout) passed.
    /// - [`Error::Interrupted`]: by the [interrupt check](Self::interrupt_check).
    /// - [`Error::System`]: no thread or poller to be had.
    pub fn start(self) -> Result<DeviceClient> {
        self.options.validate()?;
        let limit = self.options.start_timeout;
        // Dropping the client on an error closes it.
        let client = DeviceClient::over(start(self.options)?);
        client.core().wait_started(limit)?;
        Ok(client)
    }
}
