//! Tests without a broker: input → effects as data, and laws.

#[path = "../support/mod.rs"]
mod support;

mod avro;
mod changelog_refused;
mod cli;
mod corpus;
mod correlation_laws;
mod correlator;
mod envelope_event;
mod event_as_mail;
mod evidence_forms;
mod evidence_hostile;
mod evidence_laws;
mod evidence_regressions;
mod evidence_words;
mod files_collate;
mod files_killed;
mod files_mbox;
mod files_reading;
mod fuzzed;
mod growth;
mod house;
mod merged_report;
mod record;
mod record_size;
mod retold_events;
mod restoring;
mod sample;
mod samples;
mod settings;
mod stage;
mod stories;
