//! Two clocks (contract §4.4).
