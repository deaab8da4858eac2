//! The wish to stop, and how long it may be put off.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::limits;

#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    seen: Arc<OnceLock<Instant>>,
}

impl Stop {
    /// What a signal sets.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    pub fn requested(&self) -> bool {
        let requested = self.flag.load(Ordering::Relaxed);
        if requested {
            self.seen.get_or_init(Instant::now);
        }
        requested
    }

    /// Whether what is under way has to be given up.
    pub fn expired(&self) -> bool {
        self.requested() && self.seen.get().is_some_and(|seen| seen.elapsed() + 3 * limits::CALL_MAX > limits::STOP_MAX)
    }
}
