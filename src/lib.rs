//! mailjournal merges the partial journal reports of mail servers into one complete journal record a message.

#![forbid(unsafe_code)]

pub mod limits;
pub mod arrival;
pub mod avro;
pub mod mail;
pub mod evidence;
pub mod record;
pub mod correlate;
pub mod turn;

pub mod sample;

pub mod settings;
pub mod telemetry;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod cli;
