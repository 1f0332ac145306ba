//! Synchronous, thread-based device SDK for the Spotflow IoT Platform.
//!
//! A [`DeviceClient`] registers the device, stores its Messages in a database file, and sends them in
//! order over MQTT; it receives the device's configuration and commands, and reports its state. All
//! functions are ordinary, blocking ones. There is no asynchronous runtime: see [Threads](#threads).
//!
//! ```no_run
//! use spotflow_device::{Compression, DeviceClient, Message};
//!
//! // The first start waits until a technician has approved the device. Later ones work offline.
//! let client = DeviceClient::builder("CAEaBA...", "spotflow.db")
//!     .device_id("gateway-7")
//!     .on_desired_properties(|properties| println!("configuration: {properties:?}"))
//!     .start()?;
//!
//! let sender = client.create_stream_sender(None, "readings", Compression::Fastest)?;
//! for second in 0..60 {
//!     // Returns when it is stored; it is sent in the background.
//!     sender.enqueue_message(format!(r#"{{"second": {second}, "temperatureCelsius": 21.5}}"#))?;
//! }
//! sender.enqueue_message(Message::new(vec![0; 1_000_000]).batch_id("images").message_id("first"))?;
//!
//! client.wait_enqueued_messages_sent()?;
//! client.close();
//! # Ok::<(), spotflow_device::Error>(())
//! ```
//!
//! The repository has longer examples, which run without an account on an embedded Platform; how to operate devices is
//! in its `OPERATING.md`.
//!
//! # What it promises
//!
//! 1. **Stored means stored.** When [`enqueue_message`](StreamSender::enqueue_message) returns, the
//!    Message survives a kill of the process and, unless [`Durability::KillSafe`] was chosen, the loss of
//!    power. If it could not be stored, that is an error; if the disk failed so that nobody can tell, the
//!    error is [`Error::OutcomeUnknown`].
//! 2. **Deleted means acknowledged.** A Message is forgotten when the hub has acknowledged exactly this
//!    Message on the connection on which it was sent, and not before; unless the application chose to have
//!    the oldest dropped when the [outbox is full](OutboxLimits), or set a
//!    [time to live](SenderOptions::time_to_live), or has a sender [keep the latest](SenderOptions::keep_latest) alone.
//! 3. **In order.** Messages leave in the order in which they were stored, across threads, senders,
//!    restarts and large uploads; those of a higher [priority](Priority) first. A lost connection or a kill
//!    can repeat a Message only directly after itself; the Platform drops such a repeat. After the loss of
//!    power up to 256 Messages that were acknowledged last can be repeated, in order. A larger
//!    [window](DeviceClientBuilder::in_flight_window) weakens this, as documented there.
//! 4. **Waiting is exact.** [`wait_enqueued_messages_sent`](DeviceClient::wait_enqueued_messages_sent)
//!    waits for what was enqueued before the call, and is woken by the last acknowledgement.
//! 5. **Nothing blocks the link.** Callbacks, compression, HTTP calls, uploads and disk waits run
//!    elsewhere than the connection to the hub. Its thread only marks acknowledged Messages in the file
//!    itself, without a sync, where nobody else writes, and not while the disk is slow.
//! 6. **Thread-safe.** Clients and senders are cheap to clone, and can be shared by any number of threads
//!    and used in callbacks.
//! 7. **Offline is normal.** A device that was registered before starts without a network. Every retry
//!    backs off, with jitter; the first attempt after a drop comes within a second.
//! 8. **Idle costs nothing** but the keep-alive and timers that are due.
//! 9. **It ends.** [`close`](DeviceClient::close), or dropping the last handle, says goodbye to the hub and
//!    joins the threads, within 5 s beside the time that the disk takes.
//! 10. **Secrets stay secret.** Tokens, passwords and upload links are in no error text or `Debug` output, and
//!     in no log line but those that [Logging](#logging) names. The files it creates are readable by their
//!     owner only.
//! 11. **No panic on any input**, from the application, the disk or the network.
//! 12. **One identity.** A Message is sent only as the device, and in the Workspace, that it was stored
//!     under. After a change of these, older ones are set aside: see
//!     [`set_aside_messages`](DeviceClient::set_aside_messages).
//! 13. **One bad Message does not stop the rest.** Set aside, too, is a Message on which the hub closes the
//!     connection each time, although it keeps the connection without it and takes the Message behind it;
//!     and large content that the hub or its storage refuses five times in a row, with a status that
//!     another attempt would not change. A network that comes and goes sets nothing aside: see
//!     [`set_aside_messages`](DeviceClient::set_aside_messages).
//!
//! # Start, and who the device is
//!
//! A device without a registration is *provisioned*: the client starts a [`ProvisioningOperation`], shows
//! it ([`on_provisioning`](DeviceClientBuilder::on_provisioning), standard output by default), and waits
//! until somebody approves it. An operation that expires is replaced by another. The Platform answers with
//! a Registration Token, which is kept in the database. It is refreshed at half of its life, and the
//! password for the hub is renewed at half of its own.
//!
//! With a registration in the database, [`start`](DeviceClientBuilder::start) tries to register, and goes
//! on offline if it cannot: at once if the network refuses, after 10 s if the Platform is silent. It never
//! waits for the hub. Another Provisioning Token, instance or requested Device ID than at the last start
//! means another approval.
//!
//! If the Platform refuses the Registration Token later (the device was deleted, its token revoked),
//! provisioning starts again in the background, through the same callback. Messages go on being stored.
//!
//! # Messages
//!
//! A [`Message`] goes to a Stream, through a [`StreamSender`]. It can belong to a Batch, a slice of it,
//! and be a chunk of a longer Message. What is not said, the Platform decides.
//!
//! - The payload is compressed in the thread that enqueues it, before it is stored, if the sender's
//!   [`Compression`] says so and it becomes smaller.
//! - Over 250,000 bytes (after compression) it is uploaded as a file. The upload may run ahead; the Message
//!   itself keeps its turn. Over 1 MiB it goes up in blocks of that size: a broken connection, a kill or a power
//!   cut costs one of them at most, and memory holds one at a time. [`Status::upload`] and a
//!   [callback](DeviceClientBuilder::on_upload_progress) tell how far it is. A
//!   storage that refuses blocks gets the content as a whole, and then an interruption costs all of it.
//! - The Platform drops repeats of the Message directly before. A Message that equals the one before in
//!   everything can pass for one, and two readings can be equal: a timestamp, a number or a
//!   [message id](Message::message_id) makes them different.
//! - [`enqueue_messages`](StreamSender::enqueue_messages) stores many in one commit, all or none.
//! - [`enqueue_file`](StreamSender::enqueue_file) stores the content of a file, of which memory never holds more than a
//!   part: all of it when it returns, or nothing if it fails or the process ends before.
//!
//! # Properties and commands
//!
//! - *Desired Properties* are the configuration that the Platform wants. They are kept in the database, so
//!   they are there offline. A [callback](DeviceClientBuilder::on_desired_properties) sees the latest
//!   version; a program that prefers to ask uses
//!   [`get_desired_properties_if_newer`](DeviceClient::get_desired_properties_if_newer).
//! - *Reported Properties* are the device's state.
//!   [`update_reported_properties`](DeviceClient::update_reported_properties) states the whole document;
//!   the difference is sent, in this run or the next. The hub's 429 and 5xx are retried; a document that
//!   it refuses (400) is logged as an error and dropped.
//! - *Cloud-to-device messages* are received only if the application
//!   [asks for them](DeviceClientBuilder::cloud_messages). They are stored before they are acknowledged,
//!   and stay stored until the application [completes](CloudMessage::complete) them.
//! - *Direct methods* are functions of the device that the cloud calls, for each of which there is a
//!   [handler](DeviceClientBuilder::on_method). The hub delivers a call once, and only to a connected device.
//! - *Remote access* lets a technician reach ports of the device through the Platform: those that
//!   [the application allows](DeviceClientBuilder::remote_access), and none unless it does.
//!
//! # Methods and remote access
//!
//! Both are off unless asked for: a client without handlers and without remote access does not subscribe to methods.
//!
//! - **A call is answered on the connection that brought it, or not at all.** The hub delivers a call once at most. A
//!   handler whose caller has gone can [learn of it](MethodRequest::is_cancelled). A call that waited for a thread longer
//!   than the hub waits for an answer (5 minutes) is not run.
//! - **Handlers hold up nothing else.** They run on threads of their own, which live only while there are calls. Beyond
//!   the calls that run and the 64 that wait, a call is answered 503 at once. What else the library answers itself is
//!   listed at [`on_method`](DeviceClientBuilder::on_method).
//! - **A tunnel leads to 127.0.0.1, to an allowed port**, on a thread of its own. It outlives the hub's connection and
//!   the renewal of passwords. One end that takes nothing holds the other back: buffers do not grow.
//! - **A tunnel ends** when both of its ends have, at its [idle limit](RemoteAccess::idle_limit), when the relay is silent
//!   for a minute and a half, and with the client. The log tells of each beginning and end, and
//!   [`Status::tunnels`] of those that are open.
//! - A port that cannot be reached is answered within 6 s, a relay that cannot be reached within 21 s, a refusal at once.
//!
//! # Threads
//!
//! | thread | lives | does |
//! |---|---|---|
//! | `spotflow-link` | always | the connection to the hub: socket, TLS, MQTT, timers |
//! | `spotflow-store` | always | commits for the link, and for callers that meet another's commit |
//! | `spotflow-callback` | if a callback is set | callbacks for Desired Properties, the connection and uploads |
//! | `spotflow-http` | while there is a call | registration, approval, refresh, and the callback that shows an operation |
//! | `spotflow-upload` | while there is large content | file uploads |
//! | `spotflow-method` | while methods are called | their handlers, several at once |
//! | `spotflow-tunnel` | while a tunnel is open | one tunnel of remote access each |
//! | `spotflow-dial` | while a connection to the hub is made | the hub's addresses, tried in turn |
//! | `spotflow-resolve` | while a name is looked up | the system's resolver, which cannot be interrupted |
//!
//! `rumqttc` is used as a codec only. It brings `tokio` into the dependency tree, of which nothing is called: no
//! runtime is started.
//!
//! # What blocks
//!
//! | call | until |
//! |---|---|
//! | [`start`](DeviceClientBuilder::start) | the device is registered; without an earlier registration as long as that takes, an approval included, or a [limit](DeviceClientBuilder::start_timeout) says |
//! | [`enqueue_message`](StreamSender::enqueue_message) and its like, [`update_reported_properties`](DeviceClient::update_reported_properties) | the commit to the disk; before that, compression |
//! | [`enqueue_file`](StreamSender::enqueue_file) | the file is read, compressed and copied, in many commits |
//! | [`send_message`](StreamSender::send_message), [`wait_enqueued_messages_sent`](DeviceClient::wait_enqueued_messages_sent) | the hub's acknowledgement; forever without a network. Both have a variant with a time limit |
//! | [`get_desired_properties`](DeviceClient::get_desired_properties) | the first Desired Properties ever; never after that |
//! | [`receive_cloud_message`](DeviceClient::receive_cloud_message) | a message, or the time limit |
//! | [`CloudMessage::complete`], [`set_aside_messages`](DeviceClient::set_aside_messages) and its like | the database |
//! | [`close`](DeviceClient::close) | the threads' end, at most 5 s beside the disk |
//!
//! All others return at once. An [`InterruptCheck`] can end the waits, as on Ctrl+C. Closing the client ends
//! them with [`Error::Closed`].
//!
//! # Errors and retries
//!
//! There is one [`Error`], by what the caller can do; [`is_retryable`](Error::is_retryable) says whether the
//! same call can succeed later. Causes are in the chain of [sources](std::error::Error::source), each once.
//!
//! The client itself retries whatever can pass, for ever: no network, TLS failures (the clock of a device
//! may be wrong until it has a network), HTTP 423, 429 and 5xx, refused and lost connections. The first attempt
//! after a loss comes within a second. While hub or Platform cannot be reached, no wait is longer than half of the
//! time that this has lasted, nor than 30 s: neither between two attempts, nor for a peer that says nothing. On Linux
//! the system says when an address, a route or a link has come back, which ends the wait; a connection that has
//! nothing but silence since is then made anew. A connection to the hub ends the wait of an upload that was cut. When
//! nobody answers for a name, the address that worked last is tried.
//! Who answers, but not as wanted, is asked ever less often: the delay is
//! drawn evenly from zero to a bound, which doubles from 1 s to 60 s; for properties and uploads to 120 s, and
//! uploads wait at least half of it. What cannot pass ends [`start`](DeviceClientBuilder::start) at once: a bad
//! Provisioning Token, a refused operation, HTTP 400. After the start it shows in the log and as
//! [`Status::last_error`], while Messages go on being stored, and the Platform is asked again every hour. Only what
//! comes in the Platform's own form counts as its refusal: a captive portal or an intercepting proxy that answers in
//! its place is an [`Error::Protocol`] that says so, and passes.
//!
//! A hub that throttles, by closing the connection amid Messages, is sent them more slowly for some minutes:
//! [`Pacing`](Pacing#when-the-hub-throttles). Without that, too, nothing is lost and all stays in order.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | payload of a Message | [`MAX_PAYLOAD_BYTES`] (64 MiB) before compression; that of a [file](StreamSender::enqueue_file) [`MAX_FILE_BYTES`] (1 GiB) |
//! | Stream names and ids of a Message | not empty; together about 65,000 bytes percent-encoded, beside a large payload 11,000: see [`Message`] |
//! | [key](Message::latest_key) of what is kept as the latest | not empty, 1,024 bytes |
//! | Device ID | 4 to 90 characters of `0-9 a-z A-Z - _ .` |
//! | Reported Properties | a JSON object of 32 KB; keys of 1 KB without `.`, `$`, spaces and control characters; strings of 4 KB; 10 levels; integers of 64 bits (IoT Hub documents 53) |
//! | unprocessed cloud-to-device messages | 1,000 or 16 MiB; more wait in the hub, which keeps 50 |
//! | [keep-alive](DeviceClientBuilder::keep_alive) | 5 s to 1,767 s; 120 s unless changed |
//! | [Messages in flight](DeviceClientBuilder::in_flight_window) | 1 to 256; 1 unless changed |
//! | [method calls](DeviceClientBuilder::on_method) at once | 1 to 64, 4 unless changed, and 64 that wait; answers of 128 KB |
//! | [tunnels](RemoteAccess::max_tunnels) at once | 1 to 256; 8 unless changed |
//! | Messages and bytes sent in a second | none unless [set](Pacing); what the hub takes, when it throttles |
//! | Messages stored | the disk, and what the [outbox's limits](OutboxLimits) say: none unless set |
//!
//! Of the Messages stored, at most 256 or 256 KiB (or one, if it is larger) of each [priority](Priority) are held in
//! memory. Content that is uploaded is in memory one block of 1 MiB at a time.
//!
//! # The database
//!
//! The path ends in `.db`. What else the client keeps lies beside it and is named after it: `NAME.db-wal` belongs to
//! the database, and must be moved or copied with it; `NAME.db-lock` keeps other clients out, in the same or another
//! process ([`Error::DatabaseInUse`]); `OPERATING.md` lists them all. There are tokens in them: what others
//! could read is made the owner's alone at the start.
//!
//! While [content of a file](StreamSender::enqueue_file) is in it, the database has a version of its own, which earlier
//! versions of this library refuse; with the last of that content it is again as they know it.
//!
//! The path may be relative, and may be a symbolic link: it is resolved once, at the start, and the other files lie
//! beside the file itself. It is never read as a URI. A file that has a second name (a hard link), or is no regular
//! file, is refused ([`Error::InvalidArgument`]). So is one that is mounted by itself, as into a container: mount its
//! directory, which has to take new files.
//!
//! The file needs a local disk, and for power-safety one whose syncs are true. It grows with the backlog and shrinks
//! again when a large one has drained.
//!
//! **Full disk.** Storing fails with [`Error::StorageFull`], also where it is a quota that is used up. Room for
//! acknowledgements is reserved in the file and its write-ahead log, which therefore stays (64 KiB or more) when the client ends: Messages go on being sent and
//! deleted, and make room for new ones. That holds on file systems that overwrite in place; on btrfs new files are
//! marked so that it does.
//!
//! **Damage.** A damaged file, at the start or in use, is set aside as `NAME.db-damaged-2026-11-25T02-40-00Z`. What
//! can be read goes on in a new file: the registration, properties, Messages in their order. The log and
//! [`Status::recovery`] say what is lost, and waits for it end with [`Error::Lost`]. Damage inside a payload cannot
//! be noticed. A file that was not closed in order, and whose write-ahead log is missing, counts as damaged: what was
//! stored last went with the log. A file that is deleted or replaced while in use is written back at the next commit;
//! what had its name is kept as `NAME.db-found-...`.
//!
//! # Upgrading from the published SDK
//!
//! [`start`](DeviceClientBuilder::start) takes the file of the published SDK (PyPI `spotflow-device`, up to
//! 2.1.1) over: end the old program, and start the new one with the same arguments on the same path. The
//! device needs no new approval. What was not sent comes first, in its order and as it would have been sent;
//! Desired Properties, pending updates of the Reported Properties and unprocessed cloud-to-device messages are
//! kept. A Message that was under way may be sent once more, directly after itself. What could never be sent,
//! such as one too large for the hub, is [set aside](DeviceClient::set_aside_messages).
//!
//! The new database is built beside the old one, as `NAME.db-upgrade`, and takes its place when it is complete.
//! That takes room for both, and seconds for a large backlog. Until then a crash leaves the old file, for either
//! SDK. The published SDK does not understand the new one: started on it, it asks for an approval and begins anew.
//! What it stores then is taken over, behind the rest, at the next start of this SDK. A file on which the published
//! SDK still runs is refused ([`Error::DatabaseInUse`]), and so is one of an unknown version. `OPERATING.md` has the
//! steps, and the way back.
//!
//! # TLS
//!
//! TLS 1.2 and 1.3 with `rustls` and `ring`. Trusted are the system's certificates, as OpenSSL finds them
//! (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them), and in addition those of
//! [`ca_file`](DeviceClientBuilder::ca_file): for the hub and for every HTTPS call alike. When these files change, the
//! next handshake goes by them; files that cannot be used are logged, and what was trusted before stays. (On Windows
//! and macOS, where the system's certificates are in no files, those are read at the start.)
//!
//! # Proxies
//!
//! HTTP (CONNECT) and SOCKS5, with or without a user and a password, for the hub, the API and uploads alike: from
//! [`proxy`](DeviceClientBuilder::proxy), else from the environment as curl reads it. TLS goes through to the
//! Platform. A proxy that is restarted, or moves to another address under its name, needs nothing of the program.
//!
//! # Port 8883 or 443
//!
//! MQTT has port 8883 of the hub. Where that does not come through it goes over WebSocket at port 443, in the same
//! attempt; what worked is kept in the database and tried first from then on:
//! [`transport`](DeviceClientBuilder::transport). While one of them is open, directly or through a proxy, a device is
//! connected within 15 s of its attempt, on a network that answers within 4 s.
//!
//! # Logging
//!
//! Through the [`log`](https://docs.rs/log) crate. `info`: registered, connected, token refreshed. `warn`: what
//! failed and is tried again; while a connection, a registration or an upload goes on failing for the same
//! reason, once. `error`: what is lost or needs somebody. Nothing at these levels per Message.
//!
//! No token, SAS or upload link is in any log line of this crate at any level, nor of its dependencies up to `debug`; at
//! `trace`, `ureq` and `ureq_proto` log what goes over the wire, so leave these targets at `debug`. The client warns
//! once at its start when one of them is enabled.
//!
//! # Features
//!
//! Codecs for [`Compression`], which a program carries only if it wants them:
//!
//! | feature | codec | is on |
//! |---|---|---|
//! | `brotli` | [`Codec::Brotli`] | by default |
//! | `gzip` | [`Codec::Gzip`] | if asked for |
//! | `zstd` | [`Codec::Zstd`] | if asked for |
//!
//! Without any, a sender that compresses cannot be [made](DeviceClient::create_stream_sender). `benches/README.md` in
//! the repository says what each adds to a program.
//!
//! The feature `tool` is the program `spotflow-device`, for whoever stands before a device with a shell: nothing
//! for a program that uses the library.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod age;
mod backoff;
mod callbacks;
mod client;
mod clock;
mod compression;
mod document;
mod error;
mod failure_log;
mod http;
mod identity;
mod inbox;
mod instance;
mod link;
#[cfg(test)]
mod log_lines;
mod message;
mod methods;
mod net;
mod outage;
mod outbox;
mod pacing;
mod properties;
mod registration;
mod secret;
mod status;
mod store;
mod sync;
mod threads;
#[cfg(feature = "tool")]
pub mod tool;
mod transport;
mod tunnels;
mod twin;
mod uploader;
mod wait;
mod worker;

pub use client::{
    DeviceClient, DeviceClientBuilder, ForkGuard, SenderOptions, SetAsideMessage, StreamSender,
};
pub use compression::{Codec, Compression};
pub use error::{Error, Result};
pub use inbox::CloudMessage;
pub use message::{FileMessage, MAX_FILE_BYTES, MAX_PAYLOAD_BYTES, Message, Priority};
pub use methods::{MethodError, MethodRequest, MethodResponse};
pub use outbox::{OutboxLimit, OutboxLimits, WhenFull};
pub use pacing::{Pace, Pacing};
pub use registration::ProvisioningOperation;
pub use status::{ConnectionChange, PacingStatus, Status, TunnelStatus, UploadStatus};
pub use store::{Durability, Recovery};
pub use transport::Transport;
pub use tunnels::{RemoteAccess, TunnelRequest};
pub use twin::DesiredProperties;
pub use wait::InterruptCheck;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct CratePage;
