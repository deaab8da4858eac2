//! Tests without a broker: input → effects as data, and laws.

mod sample;
mod stories;
