//! Senders: where Messages come in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::core::Core;
use super::sender_options::SenderOptions;
use crate::compression::compress;
use crate::error::Result;
use crate::message::rules::{UPLOAD_THRESHOLD_BYTES, check_packet};
use crate::message::{Completion, Message, StreamAddress, property_bag, terms};
use crate::outbox::NewMessage;
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

    /// Stores a Message, and returns when it and all before it of its [priority](crate::Priority) are sent, that is,
    /// acknowledged by the Platform. Without a network it waits, for as long as it takes.
    ///
    /// # Errors
    /// As [`enqueue_message`](Self::enqueue_message);
    /// [`Error::SetAside`](crate::Error::SetAside) if the Message is set aside, not sent;
    /// [`Error::Dropped`](crate::Error::Dropped) if it is dropped, to make room for newer ones;
    /// [`Error::Expired`](crate::Error::Expired) if it is too old when its turn comes. After
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
            properties: self.with_terms(property_bag::render_completion(&self.address, completion)),
            body: Bytes::new(),
            upload: false,
        }])
    }

    /// The Message as it will be stored and sent.
    fn prepare(&self, message: Message) -> Result<NewMessage> {
        self.core.check_open()?;
        message.validate()?;
        let Message { payload, ids } = message;
        let (body, encoding) = match compress(&payload, self.options.compression, self.core.codec) {
            Some(compressed) => (compressed.body, Some(compressed.content_encoding)),
            None => (payload, None),
        };
        check_packet(&self.address, &ids, body.len())?;
        let upload = body.len() > UPLOAD_THRESHOLD_BYTES;
        Ok(NewMessage {
            priority: self.options.priority,
            stored_at_ms: self.core.clock.wall_ms(),
            properties: self.with_terms(property_bag::render(
                &self.address,
                &ids,
                encoding,
                upload,
            )),
            body: Bytes::from(body),
            upload,
        })
    }

    fn with_terms(&self, bag: String) -> String {
        terms::with_time_to_live(bag, self.options.time_to_live)
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
