//! The disk is full, read-only, forbidden, or gone.
