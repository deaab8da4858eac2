//! Tests that only a real broker can decide.
