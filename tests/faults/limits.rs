//! The outbox has limits, and a policy for what does not fit.
