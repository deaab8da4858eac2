//! `mailjournal run` as a user starts it, its topics, what is put in, and what must come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mailjournal::{
    arrival::Timestamp,
    avro::{self, Schema},
    files::{self, CollateOptions},
    record::{Disposition, JournalRecord, LedgerRow},
    sample::{Incoming, Options, Organisation, What},
};
use serde_json::Value;

use super::{
    kafka::{self, Given},
    wait_for, wait_until,
};

/// Longer than any step takes on a machine that is busy.
pub const BOUND: Duration = Duration::from_secs(120);

/// Of each instance's log, where a test fails: the last half minute of one that works.
const LOG_LINES_SHOWN: usize = 200;

const WAITS: [(&str, &str); 3] = [("SETTLE", "0s"), ("QUIET", "200ms"), ("PATIENCE", "500ms")];

/// One mailjournal with its own topics and group on a broker.
pub struct Stream {
    pub address: String,
    prefix: String,
    folder: tempfile::TempDir,
}

impl Stream {
    /// Its topics, made by `mailjournal topics create`.
    #[track_caller]
    pub fn new(address: &str, name: &str, partitions: i32) -> Stream {
        let folder = tempfile::tempdir().expect("a folder");
        let stream = Stream { address: address.to_owned(), prefix: format!("{name}."), folder };
        let mut create = stream.command("nobody");
        let output =
            create.args(["topics", "create", "--partitions", &partitions.to_string()]).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stream
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}journal.{name}", self.prefix)
    }

    /// Replaces a topic by an empty one with two partitions and these settings.
    #[track_caller]
    pub fn remake_topic(&self, name: &str, settings: &[(&str, &str)]) {
        kafka::delete_topics(&self.address, &[&self.topic(name)]);
        wait_until("the topic's end", BOUND, || {
            let output = self.command("nobody").args(["topics", "check"]).output().expect("it starts");
            String::from_utf8_lossy(&output.stdout).contains(&format!("{} is missing", self.topic(name)))
        });
        kafka::create_topic(&self.address, &self.topic(name), 2, settings);
    }

    /// mailjournal with this stream's settings.
    pub fn command(&self, instance: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailjournal"));
        command
            .env("MAILJOURNAL_KAFKA_BROKERS", &self.address)
            .env("MAILJOURNAL_KAFKA_GROUP", self.prefix.trim_end_matches('.'))
            .env("MAILJOURNAL_KAFKA_INSTANCE", instance)
            .env("MAILJOURNAL_TOPICS_PREFIX", &self.prefix)
            .env("MAILJOURNAL_TELEMETRY_LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "info,mailjournal=debug");
        for (name, value) in WAITS {
            command.env(format!("MAILJOURNAL_CORRELATE_{name}"), value);
        }
        command
    }

    pub fn start(&self, instance: &str) -> Instance {
        self.start_with(instance, &[])
    }

    /// Starts `mailjournal run` with more variables.
    pub fn start_with(&self, instance: &str, variables: &[(&str, &str)]) -> Instance {
        let log = self.folder.path().join(format!("{instance}-{}.log", unique()));
        let mut command = self.command(instance);
        command.arg("run").envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a log"));
        Instance { child: command.spawn().expect("mailjournal starts"), log }
    }

    /// Puts arrivals into the input topics: at their keys' homes, or spread over all partitions.
    pub fn give(&self, arrivals: &[Incoming], keyed: bool) {
        let (mails, events) = to_given(arrivals, keyed);
        kafka::produce(&self.address, &self.topic("reports"), &mails);
        kafka::produce(&self.address, &self.topic("envelopes"), &events);
    }

    /// Every record that a reader sees, as published.
    pub fn published(&self) -> Vec<JournalRecord> {
        self.values("archive", Schema::JournalRecord)
    }

    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.values("ledger", Schema::Ledger)
    }

    /// Every value of an output that a reader sees.
    pub fn values<T: serde::de::DeserializeOwned>(&self, topic: &str, schema: Schema) -> Vec<T> {
        let taken = kafka::read_all(&self.address, &self.topic(topic));
        let decode = |value: Option<Vec<u8>>| avro::decode(schema, &value.expect("no tombstones")).expect("a value");
        taken.into_iter().map(|taken| decode(taken.value)).collect()
    }

    /// Waits until the records are those that `collate` makes of the same arrivals, then checks that nothing came twice.
    #[track_caller]
    pub fn expect(&self, arrivals: &[Incoming]) {
        let expected = collated(arrivals);
        let deadline = Instant::now() + BOUND;
        loop {
            let found = last_revisions(self.published());
            if found == expected && self.ledger_is_whole(arrivals.len()) {
                break;
            }
            if Instant::now() > deadline {
                self.explain(&found, &expected, arrivals.len());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        self.expect_nothing_doubled();
    }

    fn ledger_is_whole(&self, arrivals: usize) -> bool {
        let ledger = self.ledger();
        let strays = self.topic("strays");
        let moved = ledger.iter().filter(|row| row.disposition == Disposition::Moved).count();
        let at_home = ledger.iter().filter(|row| row.topic == strays).count();
        ledger.len() - at_home == arrivals && moved == at_home
    }

    #[track_caller]
    fn explain(&self, found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>, arrivals: usize) -> ! {
        let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        let differing: Vec<&&String> = keys.iter().filter(|key| found.get(**key) != expected.get(**key)).collect();
        let first = differing.first().map(|key| {
            let show =
                |value: Option<&Value>| value.map_or_else(|| "no record".to_owned(), |value| format!("{value:#}"));
            format!("{key}:\nfound {}\nexpected {}", show(found.get(**key)), show(expected.get(**key)))
        });
        panic!(
            "{} of {} records differ; {} ledger rows for {arrivals} arrivals. The first: {}\nlogs in {}",
            differing.len(),
            expected.len(),
            self.ledger().len(),
            first.unwrap_or_default(),
            self.keep_logs().display()
        )
    }

    fn keep_logs(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("mailjournal-logs-{}", self.prefix));
        let _ = fs::create_dir_all(&kept);
        for entry in fs::read_dir(self.folder.path()).expect("the folder").flatten() {
            let _ = fs::copy(entry.path(), kept.join(entry.file_name()));
        }
        kept
    }

    /// Each arrival has one row, each record's revisions are 1, 2, 3, …
    #[track_caller]
    pub fn expect_nothing_doubled(&self) {
        let mut places = BTreeSet::new();
        for row in self.ledger() {
            assert!(places.insert((row.topic.clone(), row.partition, row.offset)), "two rows: {row:?}");
        }
        let mut revisions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for record in self.published() {
            revisions.entry(record.record_id).or_default().push(record.revision);
        }
        for (record_id, mut revisions) in revisions {
            revisions.sort_unstable();
            let count = i32::try_from(revisions.len()).expect("few");
            assert_eq!(revisions, (1..=count).collect::<Vec<_>>(), "{record_id}");
        }
    }

    /// Waits until so many ledger rows are visible.
    #[track_caller]
    pub fn wait_rows(&self, rows: usize) {
        wait_until("ledger rows", BOUND, || kafka::count_committed(&self.address, &self.topic("ledger")) >= rows);
    }
}

/// A running `mailjournal run`; ends with the value.
pub struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `127.0.0.1:PORT` of its pages.
    #[track_caller]
    fn pages(&self) -> String {
        wait_for("the address of the pages", BOUND, || {
            let log = self.log();
            let at = log.find("telemetry is served listen=")? + "telemetry is served listen=".len();
            Some(log[at..].split_whitespace().next()?.to_owned())
        })
    }

    /// A page's status and text.
    #[track_caller]
    pub fn page(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.pages()).expect("the pages");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("an answer");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    #[track_caller]
    pub fn wait_ready(&self) {
        wait_until("readiness", BOUND, || self.page("/health/ready").0 == 200);
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("its end");
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// SIGTERM; how it ended and how long that took.
    #[track_caller]
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        self.signal("TERM");
        let asked = Instant::now();
        (self.wait_end(), asked.elapsed())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait_for("the end of mailjournal", BOUND, || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("librdkafka")).collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            eprintln!("the end of {}:\n{end}", self.log.display());
        }
    }
}

/// Arrivals as records for the topics of reports and of envelopes: at their keys' homes, or spread over partitions.
pub fn to_given(arrivals: &[Incoming], keyed: bool) -> (Vec<Given>, Vec<Given>) {
    let (mut mails, mut events) = (Vec::new(), Vec::new());
    for incoming in arrivals {
        let mut given =
            Given { key: incoming.key().filter(|_| keyed).map(|key| key.as_bytes().to_vec()), ..Given::default() };
        let received_at = ("received-at".to_owned(), incoming.at.0.to_string().into_bytes());
        given.headers.push(received_at);
        match &incoming.what {
            What::Mail(mail) => {
                let journals = mail.journal_recipients.iter();
                given
                    .headers
                    .extend(journals.map(|journal| ("journal-recipient".to_owned(), journal.clone().into_bytes())));
                given
                    .headers
                    .extend(mail.server.iter().map(|server| ("server".to_owned(), server.clone().into_bytes())));
                given.value = mail.bytes.to_vec();
                mails.push(given);
            }
            What::Event(event) => {
                given.value = event.to_framed().to_vec();
                events.push(given);
            }
        }
    }
    if !keyed {
        // librdkafka keeps to one partition for a batch without keys: what spreads them is told.
        for (index, given) in mails.iter_mut().chain(&mut events).enumerate() {
            given.partition = Some(i32::try_from(index % 3).expect("small"));
        }
    }
    (mails, events)
}

/// Arrivals of a made-up organisation, lately, so that nothing is forgotten.
pub fn arrivals(seed: u64, messages: usize) -> Vec<Incoming> {
    organisation(seed, messages).arrivals().collect()
}

/// The organisation that [`arrivals`] come from.
pub fn organisation(seed: u64, messages: usize) -> Organisation {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let start = Timestamp(i64::try_from(now).expect("this age") - 2 * 86_400_000);
    let options = Options {
        messages,
        start,
        interval: Duration::from_millis(50),
        original_bytes_mean: 3_000,
        ..Options::new(seed)
    };
    Organisation::with(options)
}

/// A mail of so many bytes of body, keyed by its Message-ID.
pub fn plain_mail(message_id: &str, body_bytes: usize) -> Given {
    let header = format!(
        "Message-ID: {message_id}\r\nFrom: a@example.com\r\nTo: b@example.com\r\nDate: Mon, 2 Mar 2026 08:00:00 +0000\r\nSubject: plain\r\n\r\n"
    );
    let mut value = header.into_bytes();
    let line = [&[b'x'; 76][..], b"\r\n"].concat();
    value.extend(line.iter().cycle().take(body_bytes));
    Given { key: Some(message_id.as_bytes().to_vec()), value, ..Given::default() }
}

/// Small mails of different messages, that came just now.
pub fn plain_mails(count: usize) -> Vec<Given> {
    (0..count).map(|number| plain_mail(&format!("<plain-{number}@example.com>"), 80)).collect()
}

/// What `collate` makes of arrivals, comparable.
pub fn collated(arrivals: &[Incoming]) -> BTreeMap<String, Value> {
    last_revisions(collated_values(arrivals, "archive"))
}

/// What `collate` writes to one topic's file of arrivals.
pub fn collated_values<T: serde::de::DeserializeOwned>(arrivals: &[Incoming], topic: &str) -> Vec<T> {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    write_folder(arrivals, &input);
    files::collate(&[input], &out, CollateOptions::default(), &mut |_| {}).expect("collated");
    let lines = fs::read_to_string(out.join(format!("{topic}.jsonl"))).expect("values");
    lines.lines().map(|line| serde_json::from_str(line).expect("a value")).collect()
}

/// Writes arrivals as an arrivals folder.
pub fn write_folder(arrivals: &[Incoming], input: &Path) {
    fs::create_dir(input).expect("a folder");
    let (mut mails, mut events) = (String::new(), String::new());
    for (index, incoming) in arrivals.iter().enumerate() {
        match &incoming.what {
            What::Mail(mail) => {
                let file = format!("{index:06}.eml");
                fs::write(input.join(&file), &mail.bytes).expect("a mail");
                let line = serde_json::json!({ "file": file, "received_at": incoming.at.0,
                    "journal_recipients": mail.journal_recipients, "server": mail.server });
                mails += &format!("{line}\n");
            }
            What::Event(event) => {
                let mut line = serde_json::to_value(event).expect("JSON");
                line["received_at"] = incoming.at.0.into();
                events += &format!("{line}\n");
            }
        }
    }
    fs::write(input.join("arrivals.jsonl"), mails).expect("a list");
    fs::write(input.join("envelopes.jsonl"), events).expect("a list");
}

/// Every original whose bytes were published, each once, as `sha256 bytes`.
pub fn contents(records: &[JournalRecord]) -> BTreeSet<(String, bytes::Bytes)> {
    let originals = records.iter().flat_map(|record| &record.originals);
    originals.filter_map(|original| Some((original.sha256.to_string(), original.content.clone()?))).collect()
}

/// Fails unless both say the same, times and places aside.
#[track_caller]
pub fn assert_alike<T: serde::Serialize>(ran: &[T], collated: &[T]) {
    let [ran, collated] = [ran, collated].map(without_times_and_places);
    let differing: Vec<&String> = ran.symmetric_difference(&collated).take(2).collect();
    assert!(differing.is_empty() && !ran.is_empty(), "the shells differ, for example in {differing:#?}");
}

/// Values as JSON without what depends on when and where the arrivals were read, each once.
fn without_times_and_places<T: serde::Serialize>(values: &[T]) -> BTreeSet<String> {
    fn strip(value: &mut Value) {
        const LEFT_OUT: [&str; 10] = [
            "revision",
            "original_reference",
            "closed_at",
            "closed_because",
            "first_evidence_at",
            "last_evidence_at",
            "at",
            "topic",
            "partition",
            "offset",
        ];
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let stripped = values.iter().map(|value| {
        let mut value = serde_json::to_value(value).expect("JSON");
        strip(&mut value);
        value.to_string()
    });
    stripped.collect()
}

/// The last revision of each record that still stands, without what depends on when and where it was read.
pub fn last_revisions(records: Vec<JournalRecord>) -> BTreeMap<String, Value> {
    let mut last: BTreeMap<String, JournalRecord> = BTreeMap::new();
    for record in records {
        match last.get(&record.record_id) {
            Some(known) if known.revision >= record.revision => {}
            _ => drop(last.insert(record.record_id.clone(), record)),
        }
    }
    let standing = last.into_iter().filter(|(_, record)| record.superseded_by.is_empty());
    standing.map(|(record_id, record)| (record_id, comparable(&record))).collect()
}

fn comparable(record: &JournalRecord) -> Value {
    let mut value = serde_json::to_value(record).expect("JSON");
    for field in ["revision", "closed_at", "closed_because", "first_evidence_at", "last_evidence_at"] {
        value[field] = Value::Null;
    }
    for evidence in value["evidence"].as_array_mut().expect("a list") {
        // Of the copies of one piece, which is at the lowest position depends on the partitions; its time goes with it.
        for field in ["topic", "partition", "offset", "at"] {
            evidence[field] = Value::Null;
        }
    }
    // Which revision carried the bytes depends on when it closed.
    for original in value["originals"].as_array_mut().expect("a list") {
        original["content"] = Value::Null;
        original["reference"] = Value::Null;
    }
    value
}

fn unique() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}
