//! Bytes that were not written by us never stop the broker by surprise.
