//! The client, as Python sees it.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::arguments::{boolean, count, ids, optional_text, seconds};
use crate::choices::choice;
use crate::cloud_message::CloudMessage;
use crate::desired_properties::DesiredProperties;
use crate::handle::{Client, start};
use crate::limit_arguments::LimitArguments;
use crate::made::{made, parts};
use crate::pacing::PacingArguments;
use crate::sender::StreamSender;
use crate::signals::waiting;
use crate::start_arguments::StartArguments;
use crate::status::{SetAsideMessage, Status};
use crate::{clients, errors, json};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A device of the Spotflow IoT Platform. Made by `DeviceClient.start`.
///
/// It stores everything that goes out in the database file and sends it in the background. Any number of
/// threads, and callbacks, can share it.
///
/// As a context manager it closes itself at the end of the block. It is closed at the end of the program,
/// too, and when nothing refers to it or its senders any more.
#[pyclass(
    module = "spotflow_device._native",
    frozen,
    subclass,
    skip_from_py_object
)]
pub struct DeviceClient {
    client: Client,
}

const NOT_COPIED: &str = "a DeviceClient cannot be copied or pickled: share it between threads, \
    and start another one, on another file, in another process";

#[pymethods]
impl DeviceClient {
    #[new]
    #[pyo3(signature = (*arguments, **_options), text_signature = None)]
    fn new(
        arguments: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<DeviceClient> {
        let instead = "a DeviceClient is made by DeviceClient.start(...)";
        Ok(DeviceClient {
            client: parts(arguments, instead)?,
        })
    }

    /// Start communicating with the Platform.
    ///
    /// If the device has no valid registration in the database file, it is provisioned: the call shows a
    /// Provisioning Operation and waits until a technician has approved it. Otherwise it returns as soon as
    /// the device is registered, or goes on offline: at once if the network refuses, after 10 s if the
    /// Platform is silent. Each half minute it logs what it waits for. Ctrl+C ends the wait with
    /// `KeyboardInterrupt`, a `timeout` with `WaitTimeoutError`.
    ///
    /// - `device_id`: the Device ID to ask for, 4 to 90 characters of `0-9 a-z A-Z - _ .`; with `None` the
    ///   Provisioning Token or the technician decides. Another one than at the last start means another
    ///   approval.
    /// - `provisioning_token`: the Provisioning Token.
    /// - `db`: the path of the database file, which ends in `.db`. It is created if it is missing; one client
    ///   at a time can use it. A file of the published package (up to 2.1.1) is taken over, and cannot be given
    ///   back to it.
    /// - `instance`: the host of the Platform's instance, with or without a port and `https://`, by default
    ///   `api.eu1.spotflow.io`.
    /// - `display_provisioning_operation_callback`: shows a `ProvisioningOperation` to the technician; by
    ///   default it is printed. Called again for each new operation, also long after the start.
    /// - `desired_properties_updated_callback`: called with the current `DesiredProperties` right after the
    ///   start and after every update. If it is slow, it sees only the latest version.
    /// - `allow_remote_access`: whether a technician can reach ports of this device through the Platform: `True`
    ///   for every port, or a `RemoteAccess` that says which, and how much at once.
    /// - `connection_changed_callback`: called with a `ConnectionChange` when the connection comes or goes.
    /// - `ca_file`: a PEM file with certificates to trust beside the system's.
    /// - `cloud_messages`: whether to take messages for `receive_cloud_message` from the Platform.
    /// - `in_flight_window`: how many Messages may be under way without an acknowledgement, 1 to 256. With
    ///   more than 1, a lost connection can repeat that many, which the Platform does not drop. Those that an
    ///   earlier run had sent, and this one replaced (`keep_latest`), do not count.
    /// - `durability`: what a stored Message survives, by default `Durability.POWER_SAFE`.
    /// - `keep_alive`: seconds without traffic after which the connection is tested, 5 to 1767, by default
    ///   120.
    /// - `codec`: what compresses, by default `Codec.BROTLI`.
    /// - `outbox_messages_max`: how many Messages may be stored without an acknowledgement, by default as many
    ///   as the disk holds; completions count, Messages set aside do not.
    /// - `outbox_bytes_max`: how many bytes their payloads may have together, after compression.
    /// - `free_disk_bytes_min`: the outbox is full while the disk of the file has less free space.
    /// - `when_full`: what happens to a Message that would exceed one of these, by default `WhenFull.REJECT`.
    /// - `methods`: functions that the cloud can call (direct methods), a `dict` by name. A function gets a
    ///   `MethodRequest`, and returns a `MethodResponse`, or a payload to answer with status 200. If it raises, the
    ///   caller gets status 500. An unknown name is answered 404, a body that is no JSON 400.
    /// - `method_request_callback`: such a function for all names that are not in `methods`.
    /// - `method_threads`: how many calls run at once, 1 to 64, by default 4; 64 more wait, the rest is answered 503.
    /// - `proxy`: `http://`, `socks5://` or `socks5h://`, then `[user[:password]@]host[:port]`, or `none`; by default
    ///   as the environment says (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, as curl reads them).
    /// - `timeout`: for how many seconds the call may wait for the Platform and for an approval, by default as long
    ///   as it takes. Then a device that was registered before goes on offline, and any other gets
    ///   `WaitTimeoutError`; the next start begins another Provisioning Operation.
    /// - `transport`: how to connect to the Platform, by default `Transport.AUTOMATIC`: at port 8883, and where that
    ///   does not come through within some seconds, over WebSocket at port 443.
    /// - `remote_access_callback`: asked with a `TunnelRequest` before each tunnel to an allowed port, and opens it by
    ///   `True`; by default each is opened. `False` or an exception refuses it.
    /// - `pacing`: a `Pace` of all Messages and uploads together, by default as fast as they can.
    /// - `lane_pacing`: a `dict` of the `Pace` for each `Priority` that has one of its own. A priority that has to wait
    ///   holds up no other.
    /// - `slow_down_when_throttled`: whether the client goes more slowly by itself for a while when the Platform
    ///   throttles, by default `True`; the log tells of it.
    /// - `upload_progress_callback`: called with an `UploadStatus` when an attempt to upload large content begins, after
    ///   each block of 1 MiB, and when all of it is there. If it is slow, it sees only the latest.
    ///
    /// Callbacks run in a thread of their own, methods and `remote_access_callback` in others, and may use the client;
    /// an exception in one is logged.
    ///
    /// Raises `InvalidArgumentError` or `InvalidTypeError` for an argument, `DatabaseError` for the file,
    /// `RegistrationError` if the Platform or the technician does not want the device.
    #[staticmethod]
    #[pyo3(signature = (
        device_id, provisioning_token, db, instance=None, display_provisioning_operation_callback=None,
        desired_properties_updated_callback=None, allow_remote_access=None, *,
        connection_changed_callback=None, ca_file=None, cloud_messages=None, in_flight_window=None,
        durability=None, keep_alive=None, codec=None, outbox_messages_max=None, outbox_bytes_max=None,
        free_disk_bytes_min=None, when_full=None, methods=None, method_request_callback=None, method_threads=None,
        proxy=None, timeout=None, transport=None, remote_access_callback=None, pacing=None, lane_pacing=None,
        slow_down_when_throttled=None, upload_progress_callback=None
    ), text_signature = "(device_id, provisioning_token, db, instance=None, display_provisioning_operation_callback=None, desired_properties_updated_callback=None, allow_remote_access=False, *, connection_changed_callback=None, ca_file=None, cloud_messages=False, in_flight_window=1, durability=None, keep_alive=120, codec=None, outbox_messages_max=None, outbox_bytes_max=None, free_disk_bytes_min=None, when_full=None, methods=None, method_request_callback=None, method_threads=4, proxy=None, timeout=None, transport=None, remote_access_callback=None, pacing=None, lane_pacing=None, slow_down_when_throttled=True, upload_progress_callback=None)")]
    #[allow(clippy::too_many_arguments)]
    fn start<'py>(
        py: Python<'py>,
        device_id: Argument<'_, '_>,
        provisioning_token: &Bound<'_, PyAny>,
        db: &Bound<'_, PyAny>,
        instance: Argument<'_, '_>,
        display_provisioning_operation_callback: Argument<'_, '_>,
        desired_properties_updated_callback: Argument<'_, '_>,
        allow_remote_access: Argument<'_, '_>,
        connection_changed_callback: Argument<'_, '_>,
        ca_file: Argument<'_, '_>,
        cloud_messages: Argument<'_, '_>,
        in_flight_window: Argument<'_, '_>,
        durability: Argument<'_, '_>,
        keep_alive: Argument<'_, '_>,
        codec: Argument<'_, '_>,
        outbox_messages_max: Argument<'_, '_>,
        outbox_bytes_max: Argument<'_, '_>,
        free_disk_bytes_min: Argument<'_, '_>,
        when_full: Argument<'_, '_>,
        methods: Argument<'_, '_>,
        method_request_callback: Argument<'_, '_>,
        method_threads: Argument<'_, '_>,
        proxy: Argument<'_, '_>,
        timeout: Argument<'_, '_>,
        transport: Argument<'_, '_>,
        remote_access_callback: Argument<'_, '_>,
        pacing: Argument<'_, '_>,
        lane_pacing: Argument<'_, '_>,
        slow_down_when_throttled: Argument<'_, '_>,
        upload_progress_callback: Argument<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = StartArguments {
            device_id,
            provisioning_token,
            db,
            instance,
            display_provisioning_operation_callback,
            desired_properties_updated_callback,
            allow_remote_access,
            connection_changed_callback,
            ca_file,
            cloud_messages,
            in_flight_window,
            durability,
            keep_alive,
            codec,
            limits: LimitArguments {
                outbox_messages_max,
                outbox_bytes_max,
                free_disk_bytes_min,
                when_full,
            },
            methods,
            method_request_callback,
            method_threads,
            proxy,
            timeout,
            transport,
            remote_access_callback,
            pacing: PacingArguments {
                pacing,
                lane_pacing,
                slow_down_when_throttled,
            },
            upload_progress_callback,
        };
        let builder = arguments.builder()?;
        let callbacks = arguments.callbacks()?;
        let client = start(py, builder, &callbacks)?;
        clients::remember(client.handle());
        made(py, "DeviceClient", client)
    }

    /// The ID of the Workspace that the device belongs to.
    #[getter]
    fn workspace_id(&self) -> PyResult<String> {
        Ok(self.client.anytime()?.workspace_id())
    }

    /// The Device ID. The technician who approved the device may have chosen another than was asked for.
    #[getter]
    fn device_id(&self) -> PyResult<String> {
        Ok(self.client.anytime()?.device_id())
    }

    /// The number of Messages that are stored and not yet acknowledged by the Platform.
    #[getter]
    fn pending_messages_count(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.client.open(py)?.pending_messages_count())
    }

    /// Whether the Platform has yet to confirm Reported Properties.
    #[getter]
    fn any_pending_reported_properties_updates(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self
            .client
            .open(py)?
            .any_pending_reported_properties_updates())
    }

    /// Make a `StreamSender` for Messages to a Stream in a Stream Group. If either is omitted, the Platform
    /// takes its default. Without a `compression` payloads are sent as they are.
    ///
    /// Messages of a higher `priority` go first, in the order in which they were stored; without one it is
    /// `Priority.NORMAL`. What is older than `time_to_live`, in seconds, when its turn comes is not sent, and
    /// counted in the status; without one nothing is too old.
    ///
    /// With `keep_latest=True` a Message takes the place of those of its Stream that are not sent yet, or of
    /// those with the same `latest_key`: only the newest is kept, and what it replaces is counted in the status.
    /// What is in flight, or whose upload has begun, is sent all the same.
    #[pyo3(
        signature = (stream_group=None, stream=None, compression=None, *, priority=None, time_to_live=None, keep_latest=None),
        text_signature = "($self, stream_group=None, stream=None, compression=None, *, priority=None, time_to_live=None, keep_latest=False)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn create_stream_sender<'py>(
        &self,
        py: Python<'py>,
        stream_group: Argument<'_, '_>,
        stream: Argument<'_, '_>,
        compression: Argument<'_, '_>,
        priority: Argument<'_, '_>,
        time_to_live: Argument<'_, '_>,
        keep_latest: Argument<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.open(py)?;
        let group = optional_text("stream_group", stream_group)?;
        let stream = optional_text("stream", stream)?;
        let compression = match compression {
            Some(compression) => choice("compression", compression)?,
            None => spotflow_device::Compression::Uncompressed,
        };
        let mut options = spotflow_device::SenderOptions::new().compression(compression);
        if let Some(priority) = priority {
            options = options.priority(choice("priority", priority)?);
        }
        if let Some(time_to_live) = seconds("time_to_live", time_to_live)? {
            options = options.time_to_live(time_to_live);
        }
        if let Some(true) = keep_latest
            .map(|it| boolean("keep_latest", it))
            .transpose()?
        {
            options = options.keep_latest();
        }
        let sender = client
            .create_stream_sender_with(group.as_deref(), stream.as_deref(), options)
            .map_err(|error| errors::to_python(py, &error))?;
        StreamSender::made(py, sender, self.client.share(py))
    }

    /// Set the limits of the outbox in the place of those that hold, for example as Desired Properties say. The
    /// arguments are those of `start`; a limit that is not given does not hold any more.
    ///
    /// They hold from the next call that stores on. The next start has its own.
    #[pyo3(signature = (*, outbox_messages_max=None, outbox_bytes_max=None, free_disk_bytes_min=None, when_full=None))]
    fn set_outbox_limits(
        &self,
        py: Python<'_>,
        outbox_messages_max: Argument<'_, '_>,
        outbox_bytes_max: Argument<'_, '_>,
        free_disk_bytes_min: Argument<'_, '_>,
        when_full: Argument<'_, '_>,
    ) -> PyResult<()> {
        let client = self.client.open(py)?;
        let arguments = LimitArguments {
            outbox_messages_max,
            outbox_bytes_max,
            free_disk_bytes_min,
            when_full,
        };
        client
            .set_outbox_limits(arguments.limits()?)
            .map_err(|error| errors::to_python(py, &error))
    }

    /// Set how fast Messages and uploads may go in the place of what holds, for example as Desired Properties say. The
    /// arguments are those of `start`; a limit that is not given does not hold any more.
    ///
    /// It holds at once, for an upload that is waiting within a second. The next start has its own.
    #[pyo3(signature = (*, pacing=None, lane_pacing=None, slow_down_when_throttled=None))]
    #[pyo3(
        text_signature = "($self, *, pacing=None, lane_pacing=None, slow_down_when_throttled=True)"
    )]
    fn set_pacing(
        &self,
        py: Python<'_>,
        pacing: Argument<'_, '_>,
        lane_pacing: Argument<'_, '_>,
        slow_down_when_throttled: Argument<'_, '_>,
    ) -> PyResult<()> {
        let client = self.client.open(py)?;
        let arguments = PacingArguments {
            pacing,
            lane_pacing,
            slow_down_when_throttled,
        };
        client
            .set_pacing(arguments.pacing()?)
            .map_err(|error| errors::to_python(py, &error))
    }

    /// Wait until all Messages that were enqueued before this call are sent. What is enqueued later does not
    /// prolong the wait.
    ///
    /// With a `timeout` in seconds it raises `WaitTimeoutError` when that has passed. Then, and after Ctrl+C,
    /// everything stays stored and goes on being sent. Raises `SetAsideError`, `DroppedError`,
    /// `ExpiredError` or `ReplacedError` if something that it waits for was set aside, dropped, too old or
    /// replaced.
    #[pyo3(signature = (timeout=None))]
    fn wait_enqueued_messages_sent(
        &self,
        py: Python<'_>,
        timeout: Argument<'_, '_>,
    ) -> PyResult<()> {
        let client = self.client.open(py)?;
        match seconds("timeout", timeout)? {
            Some(limit) => waiting(py, || client.wait_enqueued_messages_sent_timeout(limit)),
            None => waiting(py, || client.wait_enqueued_messages_sent()),
        }
    }

    /// Get the current Desired Properties. Blocks only if none were ever received. Offline, they are those
    /// received last.
    fn get_desired_properties(&self, py: Python<'_>) -> PyResult<DesiredProperties> {
        let client = self.client.open(py)?;
        let properties = waiting(py, || client.get_desired_properties())?;
        Ok(DesiredProperties::new(&properties))
    }

    /// Get the current Desired Properties if their version is higher than `version`, or if that is `None`;
    /// otherwise `None`. Does not block.
    #[pyo3(signature = (version=None))]
    fn get_desired_properties_if_newer(
        &self,
        py: Python<'_>,
        version: Argument<'_, '_>,
    ) -> PyResult<Option<DesiredProperties>> {
        let client = self.client.open(py)?;
        let version: Option<u64> = version
            .map(|version| count("version", version))
            .transpose()?;
        Ok(client
            .get_desired_properties_if_newer(version)
            .as_ref()
            .map(DesiredProperties::new))
    }

    /// State the whole Reported Properties, a `dict` that JSON can express. They are stored, then brought to
    /// the Platform as the difference from what it has: what is no longer in them is removed there.
    ///
    /// Blocks for a commit to the disk. Raises `InvalidArgumentError` or `InvalidTypeError` that names the
    /// path and the rule.
    fn update_reported_properties(
        &self,
        py: Python<'_>,
        properties: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let client = self.client.open(py)?;
        let properties = json::from_dict("properties", properties)?;
        waiting(py, || client.update_reported_properties(&properties))
    }

    /// Take the next cloud-to-device message; `None` if none came within `timeout` seconds. Without a
    /// `timeout` it waits until one comes.
    ///
    /// It is handed out once in this run, and again in the next unless it was completed. Raises
    /// `InvalidArgumentError` if the client was started without `cloud_messages=True`.
    #[pyo3(signature = (timeout=None))]
    fn receive_cloud_message(
        &self,
        py: Python<'_>,
        timeout: Argument<'_, '_>,
    ) -> PyResult<Option<CloudMessage>> {
        let client = self.client.open(py)?;
        let limit = seconds("timeout", timeout)?.unwrap_or(Duration::MAX);
        let message = waiting(py, || client.receive_cloud_message(limit))?;
        Ok(message.map(|message| CloudMessage::new(message, self.client.share(py))))
    }

    /// How the client is doing. Does not block.
    fn status(&self, py: Python<'_>) -> PyResult<Status> {
        Status::new(py, self.client.open(py)?.status())
    }

    /// List the Messages that will not be sent as things stand, oldest first: those stored under another
    /// Workspace or Device ID, and those that the Platform refused again and again. They are kept until they
    /// are retried or dropped.
    fn set_aside_messages(&self, py: Python<'_>) -> PyResult<Vec<SetAsideMessage>> {
        let client = self.client.open(py)?;
        let messages = waiting(py, || client.set_aside_messages())?;
        Ok(messages.into_iter().map(SetAsideMessage::new).collect())
    }

    /// Put Messages set aside back, behind all others, and return how many. Only those of the device's
    /// present identity can be sent again; others stay where they are.
    fn retry_set_aside_messages(
        &self,
        py: Python<'_>,
        message_ids: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let client = self.client.open(py)?;
        let message_ids = ids("message_ids", message_ids)?;
        waiting(py, || client.retry_set_aside_messages(&message_ids))
    }

    /// Delete Messages set aside, and return how many there were.
    fn drop_set_aside_messages(
        &self,
        py: Python<'_>,
        message_ids: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let client = self.client.open(py)?;
        let message_ids = ids("message_ids", message_ids)?;
        waiting(py, || client.drop_set_aside_messages(&message_ids))
    }

    /// End the client and all its senders: wake all who wait, give Messages in flight a second to be
    /// acknowledged, and say goodbye to the Platform. What is stored stays stored, for the next start.
    ///
    /// Blocks for up to 5 s, usually for milliseconds, and up to a second more for a callback that is
    /// running. A second call does nothing. Afterwards everything but the ids raises `ClosedError`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.client.close_and_join(py)
    }

    /// Return the client. Raises `ClosedError` if it is closed.
    fn __enter__(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        this.client.open(this.py())?;
        Ok(this)
    }

    /// Close the client, as `close` does, whether or not the block raised an exception.
    #[pyo3(
        signature = (_exception_type=None, _exception=None, _traceback=None, /),
        text_signature = "($self, exception_type=None, exception=None, traceback=None, /)"
    )]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception_type: Argument<'_, '_>,
        _exception: Argument<'_, '_>,
        _traceback: Argument<'_, '_>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(NOT_COPIED))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.client.traverse(&visit)
    }

    fn __repr__(&self) -> String {
        match self.client.anytime() {
            Ok(client) => format!("<spotflow_device.DeviceClient {:?}>", client.device_id()),
            // Whoever prints a forked child's variables gets no error for it.
            Err(_) => "<spotflow_device.DeviceClient of a parent process>".to_owned(),
        }
    }
}
