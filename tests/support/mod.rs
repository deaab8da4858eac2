//! What tests and benchmarks share: a real Apache Kafka, short words for what they do with it, and made-up evidence.

// Each binary that includes this uses its own part of it.
#![allow(dead_code)]

#[cfg(feature = "kafka")]
pub mod broker;
#[cfg(feature = "kafka")]
pub mod cluster;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod keeper;
pub mod laws;
pub mod model;
pub mod pieces;
#[cfg(feature = "kafka")]
pub mod proxy;
#[cfg(feature = "kafka")]
pub mod stream;

use std::time::{Duration, Instant};

/// Waits until `look` finds something. Fails, naming what it waited for, after `bound`.
#[track_caller]
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {bound:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `condition` holds. Fails, naming what it waited for, after `bound`.
#[track_caller]
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, bound, || condition().then_some(()));
}
