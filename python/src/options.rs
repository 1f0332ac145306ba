//! Choices, as enumerations.

use pyo3::prelude::*;

/// How the payloads of a sender's Messages are compressed.
///
/// - `UNCOMPRESSED`: stored and sent as they are.
/// - `FASTEST`: little processor time and memory.
/// - `SMALLEST_SIZE`: the smallest result, at many times the processor time and memory: with Brotli, 200 kB
///   take some 15 MB of memory, and 8 MB take 75 MB and many seconds.
///
/// A payload that would not get smaller is sent as it is.
#[pyclass(
    module = "spotflow_device",
    frozen,
    eq,
    hash,
    eq_int,
    from_py_object,
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Compression {
    Uncompressed,
    Fastest,
    SmallestSize,
}

impl From<Compression> for spotflow_device::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Uncompressed => spotflow_device::Compression::Uncompressed,
            Compression::Fastest => spotflow_device::Compression::Fastest,
            Compression::SmallestSize => spotflow_device::Compression::SmallestSize,
        }
    }
}

/// What compresses: `BROTLI` (the default, and the only one that the public instance is known to read),
/// `GZIP` or `ZSTD` (for an instance that says it accepts them).
#[pyclass(
    module = "spotflow_device",
    frozen,
    eq,
    hash,
    eq_int,
    from_py_object,
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Codec {
    Brotli,
    Gzip,
    Zstd,
}

impl From<Codec> for spotflow_device::Codec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Brotli => spotflow_device::Codec::Brotli,
            Codec::Gzip => spotflow_device::Codec::Gzip,
            Codec::Zstd => spotflow_device::Codec::Zstd,
        }
    }
}

/// What a stored Message survives.
///
/// - `POWER_SAFE` (the default): the loss of power. Each commit is synced to the disk.
/// - `KILL_SAFE`: the end of the process at any instant. Storing is many times faster and spares the flash;
///   the loss of power can cost the newest Messages: the last 500, if they are small, at most.
#[pyclass(
    module = "spotflow_device",
    frozen,
    eq,
    hash,
    eq_int,
    from_py_object,
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Durability {
    KillSafe,
    PowerSafe,
}

impl From<Durability> for spotflow_device::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::KillSafe => spotflow_device::Durability::KillSafe,
            Durability::PowerSafe => spotflow_device::Durability::PowerSafe,
        }
    }
}

/// What happens when a Message would exceed a limit of the outbox.
///
/// - `REJECT` (the default): the call that would store it raises `OutboxFullError`, and nothing is stored.
/// - `DROP_OLDEST`: as many of the oldest Messages as it takes are dropped, but for those in flight. They are
///   counted in the status and logged as ranges; who waits for one gets `DroppedError`.
#[pyclass(
    module = "spotflow_device",
    frozen,
    eq,
    hash,
    eq_int,
    from_py_object,
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum WhenFull {
    Reject,
    DropOldest,
}

impl From<WhenFull> for spotflow_device::WhenFull {
    fn from(when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::Reject => spotflow_device::WhenFull::Reject,
            WhenFull::DropOldest => spotflow_device::WhenFull::DropOldest,
        }
    }
}
