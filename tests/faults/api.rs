//! The HTTP API refuses, fails, lies, or does not answer.
