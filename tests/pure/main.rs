//! Tests without a broker: input → effects as data, and laws.

#[path = "../support/mod.rs"]
mod support;

mod settings;
mod cli;
mod house;
mod correlation_laws;
mod files_mbox;
mod files_reading;
mod files_collate;
mod files_killed;
