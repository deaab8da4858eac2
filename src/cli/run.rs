//! `mailjournal run`: the stream, until a signal ends it.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Context, Failure};
use crate::{
    kafka::{
        self,
        fault::{self, Faults},
        stop::Stop,
    },
    limits,
    settings::Settings,
    telemetry::{Health, pages},
};

/// Correlates what comes in on the input topics, exactly once, until SIGTERM or SIGINT.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mailjournal topics create && mailjournal run
  MAILJOURNAL_KAFKA_BROKERS=kafka:9092 mailjournal run
  MAILJOURNAL_KAFKA_INSTANCE=mailjournal-0 mailjournal run

Several instances share the work: start each with a kafka.instance of its own. /metrics, /health/live and \
/health/ready are served on telemetry.listen.")]
pub struct Run {}

impl Run {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (settings, effective) = context.settings_with_origins()?;
        settings.check_for_run(&effective)?;
        let faults = Faults::parse(&std::env::var(fault::VARIABLE).unwrap_or_default()).map_err(Failure::Usage)?;
        let stop = Stop::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, stop.flag())
                .map_err(|error| Failure::Failed(format!("signals cannot be listened to: {error}")))?;
        }
        let health = Arc::new(Health::default());
        let listen = pages::serve(settings.telemetry.listen, health.clone()).map_err(Failure::Failed)?;
        tracing::info!(%listen, instance = settings.kafka.instance, group = settings.kafka.group, "telemetry is served");
        work(settings, health, Arc::new(faults), stop).map_err(Failure::Failed)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Works on a thread of its own, so that a stop is kept to its time even where a call into the Kafka client hangs. What
/// was not committed by then is redone by whoever comes next.
fn work(settings: Settings, health: Arc<Health>, faults: Arc<Faults>, stop: Stop) -> Result<(), String> {
    let (done, ended) = mpsc::channel();
    let worker = stop.clone();
    let thread = thread::Builder::new().name("worker".into()).spawn(move || {
        // The receiver is gone only where the time of a stop is over.
        let _ = done.send(kafka::run(&settings, &health, &faults, &worker));
    });
    thread.map_err(|error| error.to_string())?;
    let mut give_up_at = None;
    loop {
        match ended.recv_timeout(limits::CALL_MAX / 5) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err("the worker ended by a bug of mailjournal; its message is above".into());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if stop.requested() {
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + limits::STOP_MAX);
            if Instant::now() > give_up_at {
                tracing::warn!("the Kafka client did not end in time; whoever comes next redoes the last turn");
                return Ok(());
            }
        }
    }
}
