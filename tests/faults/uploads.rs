//! An upload fails at each of its steps.
