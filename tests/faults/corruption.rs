//! The database file is damaged: it is set aside, and what can be read is saved.
