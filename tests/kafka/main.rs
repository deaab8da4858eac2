//! What only a real broker can prove.

#[path = "../support/mod.rs"]
mod support;

use support::stream;

mod broker;

mod aborted_turns;
mod at_rest;
mod broker_away;
mod demo;
mod forgotten;
mod odd_arrivals;
mod stops_and_kills;
mod two_instances;
mod two_shells_agree;
mod visible_together;
