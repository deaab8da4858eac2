//! What only a real broker can prove.

#[path = "../support/mod.rs"]
mod support;

mod broker;
