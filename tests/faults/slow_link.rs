//! Links of a few KB per second, and peers that say nothing.
