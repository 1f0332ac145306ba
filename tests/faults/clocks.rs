//! Clocks that are wrong, jump, or stand still.
