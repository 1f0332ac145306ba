//! What an application sends: a Message, the Stream it goes to, and the completion of a Batch or
//! of a chunked Message. How they look on the wire is in [`property_bag`], what they have to obey
//! in [`rules`].

pub(crate) mod lanes;
pub(crate) mod outgoing;
pub(crate) mod priority;
pub(crate) mod property_bag;
pub(crate) mod rules;
pub(crate) mod terms;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Result;

pub use priority::Priority;
pub use rules::{MAX_FILE_BYTES, MAX_PAYLOAD_BYTES};

/// One Message to the Platform: a payload and, optionally, where it belongs.
///
/// Bytes and text convert into a Message without ids, so that `sender.enqueue_message("21.5")`
/// works as well as the whole form.
///
/// # Limits
///
/// - The payload has at most [`MAX_PAYLOAD_BYTES`], before compression. It may be empty.
/// - No id is empty. Ids may hold any characters; they are percent-encoded on the way. What the
///   Platform makes of characters that file names cannot have is up to it.
/// - Stream, ids and a payload that is sent directly (up to 250,000 bytes after compression) share
///   one MQTT packet of 256 KiB, and Stream and ids one MQTT topic: about 65,000 bytes after
///   percent-encoding if the payload is small or uploaded, and always at least 11,000.
///
/// What breaks a limit is refused by the call that sends it, with an
/// [`InvalidArgument`](crate::Error::InvalidArgument) that names the argument.
///
/// ```
/// use spotflow_device::Message;
///
/// let reading = Message::new(r#"{"temperatureCelsius": 21.5}"#)
///     .batch_id("2026-05-04")
///     .message_id("12-00-00");
/// assert_eq!(reading.payload(), br#"{"temperatureCelsius": 21.5}"#);
///
/// let same_without_ids = Message::from(r#"{"temperatureCelsius": 21.5}"#);
/// assert_ne!(reading, same_without_ids);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Message {
    pub(crate) payload: Vec<u8>,
    pub(crate) ids: MessageIds,
    pub(crate) latest_key: Option<String>,
}

impl Message {
    /// A Message without ids: the Platform puts it into a Batch and names it.
    pub fn new(payload: impl Into<Vec<u8>>) -> Message {
        Message {
            payload: payload.into(),
            ids: MessageIds::default(),
            latest_key: None,
        }
    }

    /// The Batch that the Message belongs to. A new id completes the Batch before, if there is one
    /// in this Stream.
    pub fn batch_id(mut self, id: impl Into<String>) -> Message {
        self.ids.batch_id = Some(id.into());
        self
    }

    /// The slice of the Batch that the Message belongs to.
    pub fn batch_slice_id(mut self, id: impl Into<String>) -> Message {
        self.ids.batch_slice_id = Some(id.into());
        self
    }

    /// The Message's name within its Batch. Chunks of one Message share it.
    pub fn message_id(mut self, id: impl Into<String>) -> Message {
        self.ids.message_id = Some(id.into());
        self
    }

    /// The chunk of the Message that this is: the Platform joins the chunks of one message id.
    pub fn chunk_id(mut self, id: impl Into<String>) -> Message {
        self.ids.chunk_id = Some(id.into());
        self
    }

    /// For a sender that [keeps the latest](crate::SenderOptions::keep_latest): the Message takes the place of unsent
    /// ones of its Stream with the same key, instead of those without one. At most 1,024 bytes, and not empty. The
    /// Platform does not see it.
    ///
    /// ```
    /// # use spotflow_device::Message;
    /// let reading = Message::new("21.5").latest_key("boiler temperature");
    /// ```
    pub fn latest_key(mut self, key: impl Into<String>) -> Message {
        self.latest_key = Some(key.into());
        self
    }

    /// The payload as it was given.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks what can be checked before the Message is compressed.
    pub(crate) fn validate(&self) -> Result<()> {
        rules::check_payload(&self.payload)?;
        rules::check_latest_key(self.latest_key.as_deref())?;
        self.ids.validate()
    }
}

/// The length stands for the payload, which can be large and is nobody's business in a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("payload_bytes", &self.payload.len())
            .field("ids", &self.ids)
            .field("latest_key", &self.latest_key)
            .finish()
    }
}

impl<T: Into<Vec<u8>>> From<T> for Message {
    fn from(payload: T) -> Message {
        Message::new(payload)
    }
}

/// One Message whose payload is the content of a file, for
/// [`enqueue_file`](crate::StreamSender::enqueue_file).
///
/// A path converts into one without ids. The ids are those of a [`Message`].
///
/// ```
/// use spotflow_device::FileMessage;
///
/// let image = FileMessage::new("/var/spool/camera/0017.jpg").batch_id("2026-05-04").message_id("0017");
/// let same_without_ids = FileMessage::from("/var/spool/camera/0017.jpg");
/// assert_ne!(image, same_without_ids);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct FileMessage {
    pub(crate) path: PathBuf,
    pub(crate) ids: MessageIds,
    pub(crate) latest_key: Option<String>,
}

impl FileMessage {
    /// The content of this file, without ids. The file is opened by the call that stores it.
    pub fn new(path: impl Into<PathBuf>) -> FileMessage {
        FileMessage {
            path: path.into(),
            ids: MessageIds::default(),
            latest_key: None,
        }
    }

    /// See [`Message::batch_id`].
    pub fn batch_id(mut self, id: impl Into<String>) -> FileMessage {
        self.ids.batch_id = Some(id.into());
        self
    }

    /// See [`Message::batch_slice_id`].
    pub fn batch_slice_id(mut self, id: impl Into<String>) -> FileMessage {
        self.ids.batch_slice_id = Some(id.into());
        self
    }

    /// See [`Message::message_id`].
    pub fn message_id(mut self, id: impl Into<String>) -> FileMessage {
        self.ids.message_id = Some(id.into());
        self
    }

    /// See [`Message::chunk_id`].
    pub fn chunk_id(mut self, id: impl Into<String>) -> FileMessage {
        self.ids.chunk_id = Some(id.into());
        self
    }

    /// See [`Message::latest_key`]: so one sender keeps the newest image of each camera.
    ///
    /// ```
    /// # use spotflow_device::FileMessage;
    /// let image = FileMessage::new("/var/spool/camera/0017.jpg").latest_key("north gate");
    /// ```
    pub fn latest_key(mut self, key: impl Into<String>) -> FileMessage {
        self.latest_key = Some(key.into());
        self
    }

    /// Checks what can be checked before the file is opened.
    pub(crate) fn validate(&self) -> Result<()> {
        rules::check_latest_key(self.latest_key.as_deref())?;
        self.ids.validate()
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<T: Into<PathBuf>> From<T> for FileMessage {
    fn from(path: T) -> FileMessage {
        FileMessage::new(path)
    }
}

/// What places a Message within its Stream. An unset id is chosen by the Platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MessageIds {
    /// Not in our API; unsent Messages taken over from the published SDK's file can have one.
    pub(crate) site_id: Option<String>,
    pub(crate) batch_id: Option<String>,
    pub(crate) batch_slice_id: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) chunk_id: Option<String>,
}

impl MessageIds {
    pub(crate) fn validate(&self) -> Result<()> {
        rules::check_id("batch_id", self.batch_id.as_deref())?;
        rules::check_id("batch_slice_id", self.batch_slice_id.as_deref())?;
        rules::check_id("message_id", self.message_id.as_deref())?;
        rules::check_id("chunk_id", self.chunk_id.as_deref())
    }
}

/// The Stream that a sender's Messages go to. An unset name means the Platform's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamAddress {
    pub(crate) stream_group: Option<String>,
    pub(crate) stream: Option<String>,
}

impl StreamAddress {
    /// A valid address: names that are not empty, and fit a topic.
    pub(crate) fn new(
        stream_group: Option<String>,
        stream: Option<String>,
    ) -> Result<StreamAddress> {
        rules::check_id("stream_group", stream_group.as_deref())?;
        rules::check_id("stream", stream.as_deref())?;
        let address = StreamAddress {
            stream_group,
            stream,
        };
        rules::check_packet(&address, &MessageIds::default(), 0)?;
        Ok(address)
    }
}

/// Says that nothing more follows of a Batch, or of a Message sent in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completion {
    Batch {
        batch_id: String,
    },
    Message {
        batch_id: String,
        message_id: String,
    },
}

impl Completion {
    /// Checks the ids, and that they fit a topic together with `address`.
    pub(crate) fn validate(&self, address: &StreamAddress) -> Result<()> {
        let ids = self.ids();
        ids.validate()?;
        rules::check_packet(address, &ids, 0)
    }

    fn ids(&self) -> MessageIds {
        let (batch_id, message_id) = match self {
            Completion::Batch { batch_id } => (batch_id, None),
            Completion::Message {
                batch_id,
                message_id,
            } => (batch_id, Some(message_id.clone())),
        };
        MessageIds {
            batch_id: Some(batch_id.clone()),
            message_id,
            ..MessageIds::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<()>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    }

    #[test]
    fn bytes_and_text_of_all_kinds_become_a_message() {
        let expected = Message::new(vec![b'2', b'1']);
        assert_eq!(Message::from("21"), expected);
        assert_eq!(Message::from("21".to_owned()), expected);
        assert_eq!(Message::from(b"21"), expected);
        assert_eq!(Message::from(*b"21"), expected);
        assert_eq!(Message::from(&b"21"[..]), expected);
        assert_eq!(Message::from(vec![b'2', b'1']), expected);
    }

    #[test]
    fn debug_output_shows_the_payloads_length_and_not_the_payload() {
        let shown = format!("{:?}", Message::new("secret").batch_id("b1"));
        assert!(shown.contains("payload_bytes: 6") && shown.contains("b1"));
        assert!(!shown.contains("secret") && !shown.contains("115, 101"));
    }

    #[test]
    fn an_empty_id_is_refused_by_its_name() {
        for (message, argument) in [
            (Message::new("p").batch_id(""), "batch_id"),
            (Message::new("p").batch_slice_id(""), "batch_slice_id"),
            (Message::new("p").message_id(""), "message_id"),
            (Message::new("p").chunk_id(""), "chunk_id"),
        ] {
            let expected = format!("{argument}: must not be empty");
            assert_eq!(refusal(message.validate()), expected);
        }
        let empty_stream = StreamAddress::new(None, Some(String::new())).map(drop);
        assert_eq!(refusal(empty_stream), "stream: must not be empty");
        let empty_group = StreamAddress::new(Some(String::new()), None).map(drop);
        assert_eq!(refusal(empty_group), "stream_group: must not be empty");
    }

    #[test]
    fn an_empty_payload_and_any_subset_of_ids_are_valid() -> Result<()> {
        Message::new("").validate()?;
        Message::new("p").message_id("m").validate()?;
        Message::new("p").chunk_id("\u{0}/# \u{1F680}").validate()
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        assert!(Message::new(vec![0; MAX_PAYLOAD_BYTES]).validate().is_ok());
        let refused = refusal(Message::new(vec![0; MAX_PAYLOAD_BYTES + 1]).validate());
        assert_eq!(
            refused,
            "payload: is 67108865 bytes, at most 67108864 are allowed"
        );
    }

    #[test]
    fn completions_need_ids_that_are_not_empty_and_fit() {
        let address = StreamAddress::default();
        let batch = |batch_id: String| Completion::Batch { batch_id }.validate(&address);
        assert!(batch("b".into()).is_ok());
        assert_eq!(refusal(batch(String::new())), "batch_id: must not be empty");
        assert!(refusal(batch("b".repeat(70_000))).starts_with("batch_id: too long"));

        let message = Completion::Message {
            batch_id: "b".into(),
            message_id: String::new(),
        };
        assert_eq!(
            refusal(message.validate(&address)),
            "message_id: must not be empty"
        );
    }

    #[test]
    fn a_stream_name_too_long_for_a_topic_is_refused_at_once() {
        let address = StreamAddress::new(Some("g".into()), Some("ř".repeat(11_000)));
        assert!(refusal(address.map(drop)).starts_with("stream: too long"));
    }
}
