//! Locks of `std` without poisoning: a panic under one is raised where it happens, and the others go on.

use std::sync::{LockResult, PoisonError};

/// What a lock, or a wait for a condition, gives back.
pub fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
