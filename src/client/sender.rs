//! Senders: where Messages come in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::core::Core;
use super::file_content::{FileContent, Taking};
use super::sender_options::SenderOptions;
use super::source_file::SourceFile;
use crate::compression::compress;
use crate::error::{Error, Result};
use crate::message::rules::check_packet;
use crate::message::terms::{self, Terms};
use crate::message::{Completion, FileMessage, Message, MessageIds, StreamAddress, property_bag};
use crate::outbox::{NewBody, NewMessage};
use crate::wait::deadline_after;

/// Sends Messages to one Stream. Made by
/// [`create_stream_sender`](crate::DeviceClient::create_stream_sender) and
/// [`create_stream_sender_with`](crate::DeviceClient::create_stream_sender_with).
///
/// Cheap to clone, and safe to share between any number of threads. The order of Messages is the order
/// in which they were stored, over all senders of a client with the same [priority](crate::Priority).
///
/// Compression is done in the thread that calls. What is stored is what is sent.
#[derive(Clone)]
pub struct StreamSender {
    core: Arc<Core>,
    address: Arc<StreamAddress>,
    options: SenderOptions,
}

impl StreamSender {
    pub(super) fn new(core: Arc<Core>, address: StreamAddress, options: SenderOptions) -> Self {
        StreamSender {
            core,
            address: Arc::new(address),
            options,
        }
    }

    /// Stores a Message to be sent, and returns when it is stored: with the default
    /// [`Durability`](crate::Durability) it then survives a power cut. Blocks for one commit to the
    /// disk, which calls from other threads share.
    ///
    /// Content over 250,000 bytes (after compression) is uploaded as a file, in its turn; content over
    /// [`MAX_PAYLOAD_BYTES`](crate::MAX_PAYLOAD_BYTES) is refused.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) names the argument and the rule;
    /// [`Error::OutboxFull`](crate::Error::OutboxFull),
    /// [`Error::StorageFull`](crate::Error::StorageFull), [`Error::Database`](crate::Error::Database)
    /// and [`Error::Closed`](crate::Error::Closed): the Message is not stored;
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown): it may or may not be.
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, Message, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.enqueue_message("a text")?;
    /// sender.enqueue_message(Message::new([0x01, 0x02]).batch_id("2026-11-22").message_id("17"))?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue_message(&self, message: impl Into<Message>) -> Result<()> {
        self.store(vec![self.prepare(message.into())?])
    }

    /// Stores many Messages in one commit: all of them, in this order, or none. Otherwise as
    /// [`enqueue_message`](Self::enqueue_message), and much faster than as many calls of it.
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.enqueue_messages((0..1000).map(|i| format!("reading {i}")))?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue_messages<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<()> {
        let messages: Result<Vec<NewMessage>> = messages
            .into_iter()
            .map(|message| self.prepare(message.into()))
            .collect();
        self.store(messages?)
    }

    /// Stores the content of a file as a Message to be sent, and returns when it is stored. From then on the file can
    /// change or go. It may have up to [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES) (1 GiB), of which less than 2 MiB are
    /// in memory at any time; [`Compression::SmallestSize`](crate::Compression::SmallestSize) takes more.
    ///
    /// Blocks while the file is read, compressed if the sender says so, and copied into the database file, in commits
    /// of 256 KiB: other threads store meanwhile. The Message has its place in the order from the last of these commits
    /// on. If it fails before, or the process ends, nothing is stored; what was copied is deleted, in the background or
    /// with the next start. The copy writes the content twice to the disk, and needs as much space, which is free again
    /// when the content is uploaded.
    ///
    /// Content that is up to 250,000 bytes after compression is sent directly, as that of
    /// [`enqueue_message`](Self::enqueue_message), and more is uploaded. Whether a file over 256 KiB becomes smaller is
    /// tried with so much of its beginning: if not, all of it is taken as it is.
    ///
    /// # Errors
    /// As [`enqueue_message`](Self::enqueue_message), all of which store nothing but
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown);
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) also for what is no regular file: a directory, a pipe,
    /// a device; nor is this client's own database, in which tokens are;
    /// [`Error::UnreadableFile`](crate::Error::UnreadableFile) if there is no such file, it cannot be read, or it changes
    /// meanwhile: in its size, the time of its last change, or as another takes its name;
    /// [`Error::OutboxFull`](crate::Error::OutboxFull) as soon as what is copied shows it: a limit of bytes as for any
    /// Message, and less free space than is to [stay](crate::OutboxLimits::free_disk_bytes) also where the oldest
    /// Messages are dropped; [`Error::Interrupted`](crate::Error::Interrupted) by the interrupt check.
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, FileMessage, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.enqueue_file("/var/log/gateway.log")?;
    /// let video = FileMessage::new("/tmp/camera.mp4").batch_id("2026-11-22").message_id("camera-1");
    /// sender.enqueue_file(video)?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue_file(&self, file: impl Into<FileMessage>) -> Result<()> {
        self.core.check_open()?;
        let file = file.into();
        file.validate()?;
        let FileMessage {
            path,
            ids,
            latest_key,
        } = file;
        check_packet(&self.address, &ids, 0)?;
        let latest = self.latest(&ids, latest_key.as_deref())?;
        let mut file = SourceFile::open(&path, self.core.store.path())?;
        let taking = Taking {
            contents: &self.core.outbox.contents,
            compression: self.options.compression,
            codec: self.core.codec,
            check: self.core.check(),
        };
        let content = taking.take(&mut file)?;
        file.check_unchanged()?;
        let FileContent {
            body,
            content_encoding,
            copy,
        } = content;
        let message = self.new_message(&ids, content_encoding, body, latest)?;
        let stored = self.store(vec![message]);
        drop(copy);
        stored
    }

    /// Stores a Message, and returns when it and all before it of its [priority](crate::Priority) are sent, that is,
    /// acknowledged by the Platform. Without a network it waits, for as long as it takes.
    ///
    /// # Errors
    /// As [`enqueue_message`](Self::enqueue_message);
    /// [`Error::SetAside`](crate::Error::SetAside) if the Message is set aside, not sent;
    /// [`Error::Dropped`](crate::Error::Dropped) if it is dropped, to make room for newer ones;
    /// [`Error::Expired`](crate::Error::Expired) if it is too old when its turn comes;
    /// [`Error::Replaced`](crate::Error::Replaced) if a newer one takes its place. After
    /// [`Error::Interrupted`](crate::Error::Interrupted), or
    /// [`Error::Closed`](crate::Error::Closed) while waiting, the Message stays stored and will be sent.
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.send_message("a text")?;
    /// # Ok(()) }
    /// ```
    pub fn send_message(&self, message: impl Into<Message>) -> Result<()> {
        self.send(message.into(), None)
    }

    /// [`send_message`](Self::send_message) with a time limit for the wait.
    ///
    /// # Errors
    /// Also [`Error::TimedOut`](crate::Error::TimedOut): the Message stays stored and will be sent.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use spotflow_device::{Error, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.send_message_timeout("a text", Duration::from_secs(10))?;
    /// # Ok(()) }
    /// ```
    pub fn send_message_timeout(&self, message: impl Into<Message>, limit: Duration) -> Result<()> {
        self.send(message.into(), deadline_after(limit))
    }

    /// Says that nothing more follows of the Batch. Stored and sent in order, like a Message.
    ///
    /// # Errors
    /// As [`enqueue_message`](Self::enqueue_message).
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// sender.enqueue_batch_completion("2026-11-22")?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue_batch_completion(&self, batch_id: impl Into<String>) -> Result<()> {
        self.enqueue_completion(&Completion::Batch {
            batch_id: batch_id.into(),
        })
    }

    /// Says that no more chunks follow of the Message. Stored and sent in order, like a Message.
    ///
    /// # Errors
    /// As [`enqueue_message`](Self::enqueue_message).
    ///
    /// ```no_run
    /// # use spotflow_device::{Error, Message, StreamSender};
    /// # fn f(sender: &StreamSender) -> Result<(), Error> {
    /// let chunk = |text: &str| Message::new(text).batch_id("b").message_id("m");
    /// sender.enqueue_message(chunk("first half").chunk_id("0"))?;
    /// sender.enqueue_message(chunk("second half").chunk_id("1"))?;
    /// sender.enqueue_message_completion("b", "m")?;
    /// # Ok(()) }
    /// ```
    pub fn enqueue_message_completion(
        &self,
        batch_id: impl Into<String>,
        message_id: impl Into<String>,
    ) -> Result<()> {
        self.enqueue_completion(&Completion::Message {
            batch_id: batch_id.into(),
            message_id: message_id.into(),
        })
    }

    fn send(&self, message: Message, deadline: Option<Instant>) -> Result<()> {
        let message = self.prepare(message)?;
        let core = &self.core;
        core.outbox
            .send(message, core.durability, deadline, core.check())
    }

    fn enqueue_completion(&self, completion: &Completion) -> Result<()> {
        completion.validate(&self.address)?;
        self.store(vec![NewMessage {
            priority: self.options.priority,
            stored_at_ms: self.core.clock.wall_ms(),
            properties: self.with_terms(
                property_bag::render_completion(&self.address, completion),
                None,
            ),
            body: NewBody::Inline(Bytes::new()),
        }])
    }

    /// The Message as it will be stored and sent.
    fn prepare(&self, message: Message) -> Result<NewMessage> {
        self.core.check_open()?;
        message.validate()?;
        let Message {
            payload,
            ids,
            latest_key,
        } = message;
        let latest = self.latest(&ids, latest_key.as_deref())?;
        let (body, encoding) = match compress(&payload, self.options.compression, self.core.codec) {
            Some(compressed) => (compressed.body, Some(compressed.content_encoding)),
            None => (payload, None),
        };
        self.new_message(&ids, encoding, NewBody::of_payload(body), latest)
    }

    fn new_message(
        &self,
        ids: &MessageIds,
        encoding: Option<&str>,
        body: NewBody,
        latest: Option<String>,
    ) -> Result<NewMessage> {
        let (inline_bytes, upload) = match &body {
            NewBody::Inline(body) => (body.len(), false),
            NewBody::Upload(_) | NewBody::Stored(_) => (0, true),
        };
        check_packet(&self.address, ids, inline_bytes)?;
        let bag = property_bag::render(&self.address, ids, encoding, upload);
        Ok(NewMessage {
            priority: self.options.priority,
            stored_at_ms: self.core.clock.wall_ms(),
            properties: self.with_terms(bag, latest),
            body,
        })
    }

    /// The key by which it takes the place of older ones.
    fn latest(&self, ids: &MessageIds, named: Option<&str>) -> Result<Option<String>> {
        if !self.options.keep_latest {
            let rule = "is for a sender that keeps the latest";
            return named.map_or(Ok(None), |_| Err(Error::invalid("latest_key", rule)));
        }
        if ids.chunk_id.is_some() {
            let rule = "is not for a sender that keeps the latest: it would drop the other chunks";
            return Err(Error::invalid("chunk_id", rule));
        }
        Ok(Some(terms::latest_key(&self.address, named)))
    }

    fn with_terms(&self, bag: String, latest: Option<String>) -> String {
        let terms = Terms {
            time_to_live: self.options.time_to_live,
            latest,
        };
        terms::with(bag, &terms)
    }

    fn store(&self, mut messages: Vec<NewMessage>) -> Result<()> {
        self.core.check_open()?;
        let core = &self.core;
        // Now: the clock may have been set since the first of many was prepared, and would make it older than it is.
        let stored_at_ms = core.clock.wall_ms();
        for message in &mut messages {
            message.stored_at_ms = stored_at_ms;
        }
        core.outbox.enqueue(messages, core.durability).map(drop)
    }
}

impl std::fmt::Debug for StreamSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSender")
            .field("stream_group", &self.address.stream_group)
            .field("stream", &self.address.stream)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
