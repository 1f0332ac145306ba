//! The network refuses, cuts, stalls, and comes back.
