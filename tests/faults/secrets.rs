//! No fault makes a secret appear in the log, at whatever level.
