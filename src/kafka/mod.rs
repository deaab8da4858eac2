//! The shell that speaks to brokers, and the only home of rdkafka.
//!
//! [`run`] is what `mailjournal run` does: check the topics, then have a [`worker::Worker`] turn until the process is to
//! stop. A worker that cannot go on with its clients is replaced by one with new clients and the same ids, which starts
//! as every worker does.

mod bodies;
mod client;
mod endurance;
pub mod fault;
mod intake;
mod next_step;
pub mod outside;
mod restore;
mod slot;
pub mod stop;
pub mod topics;
mod transactions;
mod worker;
mod writer;

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use endurance::Endurance;
use fault::Faults;
use next_step::{NextStep, Trouble};
use stop::Stop;
use worker::{Worker, wall};

pub use client::{Role, Sizes, check_properties, config as client_config};

use crate::{
    settings::Settings,
    telemetry::{self, Health},
};

/// Checks, then works until `stop`. An error is a sentence that says what was wrong and what to do.
pub fn run(settings: &Settings, health: &Health, faults: &Arc<Faults>, stop: &Stop) -> Result<(), String> {
    health.beat(wall().0);
    let mut layout = topics::layout_or_refusal(settings)?;
    let _slot = slot::take(&settings.kafka, stop)?;
    let mut endurance = Endurance::default();
    while !stop.requested() {
        let worker = Worker::start(settings, &layout, health, &mut endurance, faults, stop.clone());
        let Err(trouble) = worker.and_then(Worker::run) else { return Ok(()) };
        health.set_ready(false);
        if stop.requested() {
            tracing::warn!(%trouble, "stopped with a turn given up; whoever comes next redoes it");
            return Ok(());
        }
        let wait = match trouble.next {
            NextStep::Stop => return Err(trouble.why),
            _ => endurance.setback(&trouble).map_err(|trouble| trouble.why)?,
        };
        tracing::warn!(%trouble, "starting anew with the same ids");
        telemetry::recovery("start-anew");
        pause(wait, stop);
        layout = again(settings, &layout, &mut endurance, health, stop).map_err(|trouble| trouble.why)?;
    }
    Ok(())
}

/// What topics take may have changed, and may be why the last worker failed. Waits for a broker that is away.
fn again(
    settings: &Settings,
    last: &topics::Layout,
    endurance: &mut Endurance,
    health: &Health,
    stop: &Stop,
) -> Result<topics::Layout, Trouble> {
    while !stop.requested() {
        health.beat(wall().0);
        match topics::inspect(settings, Duration::from_secs(2)) {
            Ok(inspection) => {
                endurance.answered();
                return inspection.layout().map_err(Trouble::stop);
            }
            Err(trouble) if trouble.next == NextStep::Stop => return Err(trouble),
            Err(trouble) => endurance.waits(trouble, None)?,
        }
    }
    Ok(*last)
}

fn pause(wait: Duration, stop: &Stop) {
    let until = Instant::now() + wait;
    while Instant::now() < until && !stop.requested() {
        sleep(Duration::from_millis(20));
    }
}
