//! Tests without a broker: input → effects as data, and laws.

mod settings;
mod cli;
mod house;
#[path = "../support/mod.rs"]
mod support;

mod correlation_laws;
mod avro;
mod corpus;
mod envelope_event;
mod merged_report;
mod record;
mod samples;
mod evidence_forms;
