//! `demo --brokers`: the same mail through a real Kafka and the program's own `run`, in topics of its own.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, IsTerminal, Write},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{
    Context, Failure,
    show::{Arrived, Paint, Shown},
};
use crate::{
    arrival::{Arrival, Format, Input},
    avro::{self, Schema},
    evidence::envelope_event::EnvelopeEvent,
    kafka::{
        outside::{Given, Outside},
        stop::Stop,
        topics,
    },
    limits,
    mail::Digest,
    record::{Disposition, JournalActivity, JournalRecord, LedgerRow},
    sample::{Incoming, Organisation, What},
    settings::{Settings, Topic},
    turn::stray::{JOURNAL_RECIPIENT, RECEIVED_AT, SERVER},
};

/// Enough to show that messages have homes.
const PARTITIONS: i32 = 3;

/// The waits are the defaults, but drafts are remembered as long as can be: the mail's times lie in the past, and what
/// is old enough to be forgotten would not be joined by what is moved home after it.
const WAITS: [(&str, &str); 4] = [("SETTLE", "5s"), ("QUIET", "60s"), ("PATIENCE", "15m"), ("REMEMBER", "3650d")];

/// A stream of its own on a person's brokers.
struct Stream {
    prefix: String,
    /// `MAILJOURNAL_*`, which beat the person's settings.
    variables: Vec<(String, String)>,
    settings: Settings,
}

pub fn run(brokers: &str, organisation: &Organisation, context: &Context) -> Result<(), Failure> {
    let stop = Stop::default();
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.flag())
            .map_err(|error| Failure::Failed(format!("signals cannot be listened to: {error}")))?;
    }
    let stream = Stream::fresh(brokers, context)?;
    topics::inspect(&stream.settings, limits::DEMO_ANSWER_MAX).map_err(|trouble| Failure::Failed(trouble.why))?;
    topics::create(&stream.settings, Some(PARTITIONS)).map_err(Failure::Failed)?;
    let found = stream.work(organisation, context, &stop).map_err(|error| {
        Failure::Failed(format!("{error}; what was done lies in the topics that begin with {}", stream.prefix))
    })?;
    let shown = found.shown();
    context.write(|out| shown.write(out, Paint::for_terminal(io::stdout().is_terminal())))?;
    shown.check().and_then(|()| found.check()).map_err(Failure::Failed)?;
    context.write(|out| stream.write_next_steps(out, &found))
}

impl Stream {
    fn fresh(brokers: &str, context: &Context) -> Result<Stream, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = format!("demo-{now}");
        let prefix = format!("{name}.");
        let mut variables: Vec<(String, String)> = [
            ("KAFKA_BROKERS", brokers),
            ("KAFKA_GROUP", &name),
            ("KAFKA_INSTANCE", "demo"),
            ("TOPICS_PREFIX", &prefix),
            ("ARCHIVE_FORMAT", "avro"),
            ("TELEMETRY_LISTEN", "127.0.0.1:0"),
        ]
        .map(|(key, value)| (format!("MAILJOURNAL_{key}"), value.to_owned()))
        .into();
        variables.extend(WAITS.map(|(wait, value)| (format!("MAILJOURNAL_CORRELATE_{wait}"), value.to_owned())));
        let settings = context.settings_with(&variables)?;
        Ok(Stream { prefix, variables, settings })
    }

    /// Gives the arrivals, has `run` work until nothing more comes of them, and reads what lies in the topics then.
    fn work(&self, organisation: &Organisation, context: &Context, stop: &Stop) -> Result<Found, String> {
        let outside = Outside::of(&self.settings)?;
        let given: Vec<Given> = organisation.arrivals().map(|incoming| given(&incoming)).collect();
        outside.give(&given)?;
        tracing::info!(arrivals = given.len(), prefix = self.prefix, "given; starting `mailjournal run`");
        let mut instance = self.start(context)?;
        let deadline = Instant::now() + limits::DEMO_DONE_MAX;
        while !Found::read(&outside)?.is_all_done(given.len()) {
            // First, because Ctrl-C ends `run` too.
            if stop.requested() {
                return Err("stopped before the end".into());
            }
            instance.check_alive()?;
            if Instant::now() > deadline {
                return Err(format!("`mailjournal run` was not done within {} s", limits::DEMO_DONE_MAX.as_secs()));
            }
            sleep(limits::DEMO_LOOK_PAUSE);
        }
        tracing::info!("nothing more comes of it; stopping `mailjournal run`");
        instance.stop()?;
        Found::read(&outside)
    }

    /// `mailjournal run`, which tells warnings and errors on our standard error.
    fn start(&self, context: &Context) -> Result<Instance, String> {
        let cannot = |error| format!("`mailjournal run` cannot be started: {error}");
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        if let Some(config) = &context.config {
            command.arg("--config").arg(config);
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.args(["--log", "warn"]);
        }
        command.arg("run").envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map(Instance).map_err(cannot)
    }

    fn write_next_steps(&self, out: &mut dyn Write, found: &Found) -> io::Result<()> {
        let (prefix, brokers) = (&self.prefix, &self.settings.kafka.brokers);
        let name = |topic| self.settings.topics.name(topic);
        writeln!(out, "\nWhere it lies")?;
        writeln!(out, "  {brokers}, topics that begin with {prefix}, {PARTITIONS} partitions each")?;
        let counts = [
            (Topic::Reports, found.came_by(Input::Reports), "came in"),
            (Topic::Envelopes, found.came_by(Input::Envelopes), "came in"),
            (Topic::Strays, found.came_by(Input::Strays), "were not on their message's partition, and moved home"),
            (Topic::Archive, found.records.len(), "revisions of records"),
            (Topic::Activity, found.activity.len(), "the same without bodies"),
            (Topic::Ledger, found.ledger.len(), "rows: one an arrival, one more for each that moved"),
            (Topic::Rejected, found.rejected, "unchanged, with the reason"),
        ];
        for (topic, count, what) in counts {
            writeln!(out, "  {:<40}{count:>5}  {what}", name(topic))?;
        }
        writeln!(out, "\nHow it was closed")?;
        writeln!(out, "  With the usual waits. The mail's times are long past: what was read moved time on,")?;
        writeln!(out, "  and the wall clock closed the rest once all was read.")?;
        writeln!(out, "\nNext")?;
        writeln!(out, "  export MAILJOURNAL_KAFKA_BROKERS={brokers} MAILJOURNAL_TOPICS_PREFIX={prefix}")?;
        writeln!(out, "  {} topics check", crate::cli::program())?;
        let archive = name(Topic::Archive);
        writeln!(out, "  kcat -C -b {brokers} -t {archive} -X isolation.level=read_committed -e -f '%k %S bytes\\n'")?;
        writeln!(out, "\nTo delete it")?;
        let pattern = prefix.replace('.', "\\.");
        writeln!(out, "  kafka-topics.sh --bootstrap-server {brokers} --delete --topic '{pattern}.*'")?;
        let group = &self.settings.kafka.group;
        writeln!(out, "  kafka-consumer-groups.sh --bootstrap-server {brokers} --delete --group {group}")
    }
}

/// An arrival as a careful producer writes it: the Message-ID is its key.
fn given(incoming: &Incoming) -> Given {
    let mut headers = vec![(RECEIVED_AT, incoming.at.0.to_string())];
    let (input, value) = match &incoming.what {
        What::Mail(mail) => {
            headers.extend(mail.server.iter().map(|server| (SERVER, server.clone())));
            headers.extend(mail.journal_recipients.iter().map(|journal| (JOURNAL_RECIPIENT, journal.clone())));
            (Input::Reports, mail.bytes.clone())
        }
        What::Event(event) => (Input::Envelopes, event.to_framed()),
    };
    let key = incoming.key().map(|key| Bytes::copy_from_slice(key.as_bytes()));
    Given { input, key, headers, value }
}

/// A running `mailjournal run`, which ends with the value.
struct Instance(Child);

impl Instance {
    fn check_alive(&mut self) -> Result<(), String> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("`mailjournal run` ended by itself ({status}); its message is above")),
            Err(error) => Err(format!("`mailjournal run` cannot be watched: {error}")),
        }
    }

    /// SIGTERM, and its end.
    fn stop(&mut self) -> Result<(), String> {
        self.check_alive()?;
        // The standard library sends no other signal than SIGKILL.
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.0.id().to_string()]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err("`mailjournal run` cannot be told to stop: is there no `sh`?".into());
        }
        let deadline = Instant::now() + 2 * limits::STOP_MAX;
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("`mailjournal run` did not stop well ({status})")),
                _ => sleep(Duration::from_millis(20)),
            }
        }
        Err("`mailjournal run` did not stop in time".into())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.stop().is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What lies in the topics.
struct Found {
    /// Strays included.
    arrivals: Vec<Arrival>,
    /// As written: what was moved has two rows.
    ledger: Vec<LedgerRow>,
    records: Vec<JournalRecord>,
    activity: Vec<JournalActivity>,
    rejected: usize,
    /// By input, their names.
    names: [String; 3],
}

type Place = (String, i32, i64);

impl Found {
    /// The arrivals are read last, so that no row is without its arrival.
    fn read(outside: &Outside<'_>) -> Result<Found, String> {
        Ok(Found {
            ledger: decoded(outside, Topic::Ledger, Schema::Ledger)?,
            records: decoded(outside, Topic::Archive, Schema::JournalRecord)?,
            activity: decoded(outside, Topic::Activity, Schema::JournalActivity)?,
            rejected: outside.values(Topic::Rejected)?.len(),
            arrivals: outside.arrivals()?,
            names: [Input::Reports, Input::Envelopes, Input::Strays].map(|input| outside.name(input).to_owned()),
        })
    }

    fn came_by(&self, input: Input) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.position.input == input).count()
    }

    fn place(&self, position: crate::arrival::Position) -> Place {
        (self.names[position.input as usize].clone(), position.partition, position.offset)
    }

    /// Where each stray came in.
    fn origins(&self) -> HashMap<Place, Place> {
        let strays = self.arrivals.iter().filter(|arrival| arrival.position.input == Input::Strays);
        strays.map(|stray| (self.place(stray.position), self.place(stray.origin))).collect()
    }

    /// Whether each of so many arrivals has told where it is in the end, and stands in a record if it is evidence.
    fn is_all_done(&self, given: usize) -> bool {
        let became: HashMap<Place, Disposition> =
            self.ledger.iter().map(|row| ((row.topic.clone(), row.partition, row.offset), row.disposition)).collect();
        let told: BTreeSet<Digest> =
            self.records.iter().flat_map(|record| &record.evidence).map(|piece| piece.sha256).collect();
        let moved = became.values().filter(|became| **became == Disposition::Moved).count();
        let is_done = |arrival: &Arrival| match became.get(&self.place(arrival.position)) {
            None => false,
            Some(Disposition::Rejected | Disposition::Excluded | Disposition::Moved) => true,
            Some(Disposition::Merged | Disposition::Duplicate | Disposition::Notice) => {
                told.contains(&Digest::of(avro::datum(&arrival.bytes)))
            }
        };
        self.arrivals.len() == given + moved && self.arrivals.iter().all(is_done)
    }

    /// As the files demo would have it: what moved is shown where it came in, as what became of it at home.
    fn shown(&self) -> Shown {
        let origins = self.origins();
        let mut ledger: Vec<LedgerRow> = self.ledger.clone();
        let is_replaced: BTreeSet<&Place> = origins.values().collect();
        ledger.retain(|row| !is_replaced.contains(&(row.topic.clone(), row.partition, row.offset)));
        for row in &mut ledger {
            rename(&origins, &mut row.topic, &mut row.partition, &mut row.offset);
        }
        let mut records = self.records.clone();
        for piece in records.iter_mut().flat_map(|record| &mut record.evidence) {
            rename(&origins, &mut piece.topic, &mut piece.partition, &mut piece.offset);
        }
        let came = self.arrivals.iter().filter(|arrival| arrival.position.input != Input::Strays);
        let mut arrivals: Vec<Arrived> = came.map(|arrival| self.arrived(arrival)).collect();
        arrivals.sort_by_key(|arrived| arrived.at);
        Shown { arrivals, ledger, records }
    }

    fn arrived(&self, arrival: &Arrival) -> Arrived {
        let place = self.place(arrival.position);
        match arrival.format {
            Format::Mail => Arrived::mail(place, arrival.at, arrival.server.clone(), &arrival.bytes),
            Format::EnvelopeEvent => Arrived::event(place, arrival.at, EnvelopeEvent::from_framed(&arrival.bytes).ok()),
        }
    }

    /// The topics that the screen does not show agree with those that it does.
    fn check(&self) -> Result<(), String> {
        let revisions: BTreeSet<_> = self.records.iter().map(|one| (&one.record_id, one.revision)).collect();
        let activity: BTreeSet<_> = self.activity.iter().map(|one| (&one.record_id, one.revision)).collect();
        let rejected = self.ledger.iter().filter(|row| row.disposition == Disposition::Rejected).count();
        if revisions == activity && self.records.len() == self.activity.len() && rejected == self.rejected {
            return Ok(());
        }
        Err(format!(
            "the topics do not agree: {} revisions and {} in the activity; {rejected} rejected in the ledger and {}; \
             please report this as a bug",
            self.records.len(),
            self.activity.len(),
            self.rejected
        ))
    }
}

fn rename(origins: &HashMap<Place, Place>, topic: &mut String, partition: &mut i32, offset: &mut i64) {
    if let Some(origin) = origins.get(&(topic.clone(), *partition, *offset)) {
        (*topic, *partition, *offset) = origin.clone();
    }
}

fn decoded<T: DeserializeOwned>(outside: &Outside<'_>, topic: Topic, schema: Schema) -> Result<Vec<T>, String> {
    let values = outside.values(topic)?;
    let decode =
        |value: &Bytes| avro::decode(schema, value).map_err(|error| format!("{}: {error}", outside.name(topic)));
    values.iter().map(decode).collect()
}
