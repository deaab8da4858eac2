//! Tests without a broker: input → effects as data, and laws.

mod settings;
mod cli;

#[path = "../support/mod.rs"]
mod support;

mod correlation_laws;
mod sample;
mod stories;
