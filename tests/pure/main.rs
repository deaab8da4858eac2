//! Tests without a broker: input → effects as data, and laws.

#[path = "../support/mod.rs"]
mod support;

mod correlation_laws;
mod sample;
mod stories;
