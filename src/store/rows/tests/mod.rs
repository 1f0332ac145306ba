//! What the rows promise, whatever is in the file.

pub(in crate::store) mod fuzz;
