//! All metric names and what they mean, in one place; and what `/health` knows. Names: `mailjournal_*`, base units,
//! `_total` for counters. No label and no log line at INFO or above carries an address, a subject or an id of a mail.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{limits, turn::Counts};

const ARRIVALS: &str = "mailjournal_arrivals_total";
const RECORDS: &str = "mailjournal_records_total";
const ORIGINALS: &str = "mailjournal_originals_total";
const TURNS: &str = "mailjournal_turns_total";
const TURN_SECONDS: &str = "mailjournal_turn_duration_seconds";
const COMMIT_SECONDS: &str = "mailjournal_turn_commit_duration_seconds";
const WRITTEN_BYTES: &str = "mailjournal_written_bytes_total";
const READ_BYTES: &str = "mailjournal_read_bytes_total";
const DRAFTS: &str = "mailjournal_drafts";
const LAG: &str = "mailjournal_lag_arrivals";
const RESTORE_SECONDS: &str = "mailjournal_restore_duration_seconds";
const RESTORED: &str = "mailjournal_restored_drafts_total";
const RECOVERIES: &str = "mailjournal_recoveries_total";
const REBALANCES: &str = "mailjournal_rebalances_total";
const ASSIGNED: &str = "mailjournal_assigned_partitions";
const BAD_HEADERS: &str = "mailjournal_ignored_headers_total";
const EXPIRED: &str = "mailjournal_expired_arrivals_total";
const READY: &str = "mailjournal_ready";

/// Gives every metric its meaning and every counter its zero, so that a rate is seen from the first scrape.
pub fn describe() {
    describe_counter!(ARRIVALS, "Arrivals consumed, by what became of them (disposition).");
    describe_counter!(RECORDS, "Journal records published, by status.");
    describe_counter!(ORIGINALS, "Originals read back from their topic (fetched) and no longer there (lost).");
    describe_counter!(TURNS, "Turns committed.");
    describe_histogram!(TURN_SECONDS, "From the first arrival in hand to the answer of the commit, seconds.");
    describe_histogram!(COMMIT_SECONDS, "The part of a turn that writes and commits, seconds.");
    describe_counter!(WRITTEN_BYTES, "Bytes of values written, by topic.");
    describe_counter!(READ_BYTES, "Bytes of arrivals read.");
    describe_gauge!(DRAFTS, "Drafts held, by state: open (to be published) and remembered (published).");
    describe_gauge!(LAG, "Arrivals not yet read, by input topic and partition.");
    describe_histogram!(RESTORE_SECONDS, "From an assignment to the first arrival read, seconds.");
    describe_counter!(RESTORED, "Changelog entries read at restores.");
    describe_counter!(RECOVERIES, "Failures that were recovered from, by next step: abort or start-anew.");
    describe_counter!(REBALANCES, "Assignments received from the group.");
    describe_gauge!(ASSIGNED, "Partition numbers that this instance works on.");
    describe_counter!(BAD_HEADERS, "Headers ignored because they make no sense, by header.");
    describe_counter!(EXPIRED, "Arrivals that their topic deleted before they were read.");
    describe_gauge!(READY, "1 while restored and consuming, else 0.");
    turn_counts(&Counts::default());
    for step in ["abort", "start-anew"] {
        counter!(RECOVERIES, "next" => step).absolute(0);
    }
    counter!(EXPIRED).absolute(0);
    counter!(BAD_HEADERS, "header" => "received-at").absolute(0);
    gauge!(READY).set(0.0);
}

/// What a committed turn did.
pub fn turn(counts: &Counts, whole: Duration, commit: Duration) {
    turn_counts(counts);
    counter!(TURNS).increment(1);
    histogram!(TURN_SECONDS).record(whole.as_secs_f64());
    histogram!(COMMIT_SECONDS).record(commit.as_secs_f64());
}

fn turn_counts(counts: &Counts) {
    let dispositions = [
        ("MERGED", counts.merged),
        ("DUPLICATE", counts.duplicates),
        ("NOTICE", counts.notices),
        ("MOVED", counts.moved),
        ("REJECTED", counts.rejected),
    ];
    for (disposition, number) in dispositions {
        counter!(ARRIVALS, "disposition" => disposition).increment(number);
    }
    let complete = counts.records.saturating_sub(counts.incomplete + counts.superseded);
    for (status, number) in
        [("COMPLETE", complete), ("INCOMPLETE", counts.incomplete), ("SUPERSEDED", counts.superseded)]
    {
        counter!(RECORDS, "status" => status).increment(number);
    }
    for (outcome, number) in [("fetched", counts.refetched), ("lost", counts.lost)] {
        counter!(ORIGINALS, "outcome" => outcome).increment(number);
    }
}

pub fn read(bytes: usize) {
    counter!(READ_BYTES).increment(bytes as u64);
}

pub fn written(topic: &str, bytes: usize) {
    counter!(WRITTEN_BYTES, "topic" => topic.to_owned()).increment(bytes as u64);
}

/// How many drafts wait to be closed, and how many there are in all.
pub fn drafts((open, all): (usize, usize)) {
    gauge!(DRAFTS, "state" => "open").set(open as f64);
    gauge!(DRAFTS, "state" => "remembered").set(all.saturating_sub(open) as f64);
}

pub fn lag(topic: &str, partition: i32, arrivals: i64) {
    gauge!(LAG, "topic" => topic.to_owned(), "partition" => partition.to_string()).set(arrivals.max(0) as f64);
}

pub fn assigned(partitions: usize) {
    gauge!(ASSIGNED).set(partitions as f64);
    counter!(REBALANCES).increment(1);
}

pub fn restored(entries: u64, took: Duration) {
    counter!(RESTORED).increment(entries);
    histogram!(RESTORE_SECONDS).record(took.as_secs_f64());
}

/// `next` is `abort` or `start-anew`.
pub fn recovery(next: &'static str) {
    counter!(RECOVERIES, "next" => next).increment(1);
}

pub fn ignored_header(header: &'static str) {
    counter!(BAD_HEADERS, "header" => header).increment(1);
}

pub fn expired(arrivals: u64) {
    counter!(EXPIRED).increment(arrivals);
}

/// What `/health/live` and `/health/ready` answer.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    /// Milliseconds since 1970, of the worker's last round.
    beat_at: AtomicI64,
}

impl Health {
    /// The worker came round at `now`, milliseconds since 1970.
    pub fn beat(&self, now: i64) {
        self.beat_at.store(now, Ordering::Relaxed);
    }

    pub fn set_ready(&self, ready: bool) {
        if self.ready.swap(ready, Ordering::Relaxed) != ready {
            gauge!(READY).set(f64::from(u8::from(ready)));
        }
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether the worker has come round lately.
    pub fn is_live(&self, now: i64) -> bool {
        now - self.beat_at.load(Ordering::Relaxed) <= limits::BEAT_MAX.as_millis() as i64
    }
}

#[cfg(feature = "kafka")]
pub mod pages {
    //! The three pages, on a thread of their own.

    use std::{net::SocketAddr, sync::Arc};

    use axum::{Router, http::StatusCode, routing::get};
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

    use super::{COMMIT_SECONDS, Health, RESTORE_SECONDS, TURN_SECONDS};

    /// Seconds: from a turn of nothing to one that waits for its transaction's timeout.
    const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

    /// Installs the recorder, then serves `/metrics`, `/health/live` and `/health/ready` until the process ends.
    /// Returns the address, with the port that was taken where 0 was asked for.
    pub fn serve(listen: SocketAddr, health: Arc<Health>) -> Result<SocketAddr, String> {
        let mut builder = PrometheusBuilder::new();
        for name in [TURN_SECONDS, COMMIT_SECONDS, RESTORE_SECONDS] {
            let matcher = Matcher::Full(name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, BUCKETS).map_err(|error| error.to_string())?;
        }
        let handle = builder.install_recorder().map_err(|error| error.to_string())?;
        super::describe();

        let listener = std::net::TcpListener::bind(listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| format!("telemetry.listen {listen}: {error}; set another address, or port 0 for any"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let pages = Router::new()
            .route(
                "/metrics",
                get(async move || {
                    (TEXT, {
                        handle.run_upkeep();
                        handle.render()
                    })
                }),
            )
            .route(
                "/health/live",
                get({
                    let health = health.clone();
                    async move || live(&health)
                }),
            )
            .route("/health/ready", get(async move || ready(&health)));
        let served = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, pages).await
        };
        let thread = std::thread::Builder::new().name("telemetry".into()).spawn(move || runtime.block_on(served));
        thread.map_err(|error| error.to_string())?;
        Ok(address)
    }

    const TEXT: [(&str, &str); 1] = [("content-type", "text/plain; version=0.0.4")];

    fn live(health: &Health) -> (StatusCode, &'static str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match health.is_live(now.as_millis() as i64) {
            true => (StatusCode::OK, "alive\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the worker has not come round for minutes\n"),
        }
    }

    fn ready(health: &Health) -> (StatusCode, &'static str) {
        match health.is_ready() {
            true => (StatusCode::OK, "restored and consuming\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not restored, or no broker answers\n"),
        }
    }
}
