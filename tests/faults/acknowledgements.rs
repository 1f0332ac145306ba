//! Deleted means acknowledged, whatever else is acknowledged, and in whatever order.
