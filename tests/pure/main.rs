//! Tests without a broker: input → effects as data, and laws.

mod settings;
mod cli;
