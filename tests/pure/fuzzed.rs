//! The laws of `tests/support/laws` over the project's own fixtures, mutated: a few seconds of what `fuzz/` does for
//! hours. The same fixtures are the fuzzer's first corpus (`fuzz/seed`).

use std::{collections::BTreeSet, fs, path::Path};

use mailjournal::{
    avro::{self, Schema},
    evidence::EnvelopeEvent,
    record,
    sample::{Incoming, Options, Organisation, What},
    turn::stray,
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

use crate::{
    corpus, envelope_event, evidence_forms,
    evidence_forms::with_line_ends,
    samples,
    support::laws::{self, BETWEEN, stage},
};

type Inputs = Vec<Vec<u8>>;

/// Each target of `fuzz/`, with the inputs that it begins with.
fn targets() -> [(&'static str, Inputs); 7] {
    [
        ("mail", mails()),
        ("value", values()),
        ("settings", settings()),
        ("folder", folders()),
        ("changelog", changelogs()),
        ("report", records()),
        ("halves", halves()),
    ]
}

/// Small ones, so that a fuzzer and a shrinking test have little to carry.
fn sample() -> Vec<Incoming> {
    let options = Options { original_bytes_mean: 300, ..Options::showcase(1) };
    Organisation::with(options).arrivals().collect()
}

fn bytes_of(incoming: &Incoming) -> Vec<u8> {
    match &incoming.what {
        What::Mail(mail) => mail.bytes.to_vec(),
        What::Event(event) => record::to_json(event),
    }
}

fn mails() -> Inputs {
    let fixtures: Inputs = evidence_forms::fixtures().into_values().collect();
    let crlf = fixtures.iter().step_by(5).map(|mail| with_line_ends(mail, "\r\n"));
    let sent = sample().into_iter().filter(|incoming| incoming.mail_bytes() > 0);
    fixtures.iter().cloned().chain(crlf).chain(sent.map(|incoming| bytes_of(&incoming))).collect()
}

fn published() -> Inputs {
    let mut values = Vec::new();
    for schema in Schema::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/published").join(schema.name());
        for version in 1..=schema.texts().len() {
            values.push(fs::read(folder.join(format!("v{version}.avro"))).expect("a published value"));
        }
    }
    values
}

fn values() -> Inputs {
    let event = envelope_event::rich();
    let shapes = [
        avro::encode(Schema::EnvelopeEvent, &event),
        record::to_json(&event),
        avro::encode(Schema::Draft, &samples::draft()),
        samples::record().to_avro(),
        record::to_json(&samples::record()),
        avro::encode(Schema::NonDelivery, &samples::non_delivery()),
        avro::encode(Schema::JournalActivity, &samples::activity()),
        avro::encode(Schema::Ledger, &samples::ledger()),
        stray_of(&event),
    ];
    let told = sample().into_iter().filter_map(|incoming| match incoming.what {
        What::Event(event) => Some(event.to_framed().to_vec()),
        What::Mail(_) => None,
    });
    published().into_iter().chain(shapes).chain(told).collect()
}

fn stray_of(event: &EnvelopeEvent) -> Vec<u8> {
    let arrival = stage::arrival(&record::to_json(event), 7, stage::MORNING);
    let sent = stray::send_home(&arrival, &mailjournal::mail::Key("<a@b>".into()), 0, None);
    let mut bytes = Vec::new();
    for (name, value) in &sent.headers {
        bytes.extend_from_slice(&[name.as_bytes(), b"=", value, b"\n"].concat());
    }
    [bytes, b"\n".to_vec(), arrival.bytes.to_vec()].concat()
}

fn settings() -> Inputs {
    let every: String = mailjournal::settings::keys::KEYS.iter().fold(String::new(), |text, key| {
        let quote = if key.expected.contains("number") { "" } else { "\"" };
        format!("{text}{} = {quote}{}{quote}\n", key.name, key.example)
    });
    let texts = [
        every.as_str(),
        "[kafka]\nbrokers = \"https://me:hush1@kafka-1:9092,kafka-2:9092\"\n[kafka.client]\n\"sasl.password\" = \"hush2\"\n\
         \"ssl.key.pem\" = '''hush3'''\nsasl.jaas.config = \"hush4\"\nsocket.timeout.ms = 5000\n",
        "[registry]\nurl = \"http://me:hush5@registry:8081\"\n[telemetry]\nlisten = \"http://me:hush6@x\"\n",
        "[kafka]\nbroker = \"a:1\"\n\n[correlate]\nsettle = 5\nquiet = \"soon\"\n[topics]\npartitions = \"6\"\n",
        "kafka = 5\n[corelate]\nsettle = 1979-05-27T07:32:00Z\n[kafka.brokers]\na = [1.5, true]\n",
        "topics.prefix = \"eu.\"\ntopics.archive = \"journal.ledger\"\nturn.bytes = \"1GiB\"\nturn.length = \"1m30s\"\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(BETWEEN)
}

fn folders() -> Inputs {
    let mbox = b"From a@x.example Mon Mar  2 08:00:00 2026\nFrom: a@x.example\nContent-Length: 7\n\nHello.\n\n\
                 From - Mon Mar  2 08:00:01 2026\nReceived: by mx; Mon, 2 Mar 2026 08:00:01 +0000\n\n>From b\n";
    let lists = b"{\"file\": \"a.eml\", \"received_at\": 1772438400000, \"journal_recipients\": [\"j@x.example\"]}\n\
                  {\"file\": \"box.mbox@42\", \"server\": \"mx.example\", \"key\": \"<a@b>\"}\n{\"file\": \"box.mbox\"}\n";
    let event = record::to_json(&envelope_event::rich());
    let bare = b"{\"server\": \"s\", \"stage\": \"SENT\", \"at\": 1, \"message_id\": \"<m@b>\", \"received_at\": 2}\n";
    vec![
        joined(&[lists, &[&bare[..], &event].concat(), mbox]),
        joined(&[b"", bare, mbox]),
        joined(&[b"{\"file\": \"../a.eml\"}\n{\"file\": \"no.eml\"}\n{\"file\": \"./a.eml\"}\r\n", b"nothing\n"]),
    ]
}

/// What tasks wrote of the sample's messages, as JSON, which mutates into other drafts; and a mail that comes then.
fn changelogs() -> Inputs {
    let mut inputs = vec![joined(&[samples::MAIL, b"!{}"])];
    let arrivals = sample();
    for some in arrivals.chunks(4) {
        let mut stage = stage::Stage::new();
        let parts: Inputs = some.iter().map(bytes_of).collect();
        let arrival = |(index, part): (usize, &Vec<u8>)| stage::arrival(part, index, stage::MORNING);
        stage.turn(parts.iter().enumerate().map(arrival).collect(), stage::MORNING);
        let json = |value: &bytes::Bytes| {
            let draft: mailjournal::correlate::StoredDraft = avro::decode(Schema::Draft, value).expect("a draft");
            record::to_json(&draft)
        };
        let open: Inputs = stage.changelog.values().map(json).collect();
        stage.run_on();
        let closed: Inputs = stage.changelog.values().map(json).collect();
        let framed: Inputs = stage.changelog.values().map(|value| value.to_vec()).collect();
        for drafts in [open, closed, framed] {
            let all: Vec<&[u8]> = drafts.iter().chain(parts.first()).map(Vec::as_slice).collect();
            inputs.push(joined(&all));
        }
    }
    inputs
}

/// The records of the sample's messages.
fn records() -> Inputs {
    let mut stage = stage::Stage::new();
    for (index, incoming) in sample().iter().enumerate() {
        stage.turn(vec![stage::arrival(&bytes_of(incoming), index, incoming.at)], incoming.at);
    }
    stage.run_on();
    let published = stage.published.iter().flat_map(|record| [record::to_json(record), record.to_avro()]);
    let rich = [record::to_json(&samples::record()), record::report::build_with_what_is_here(&samples::record())];
    published.chain(rich).collect()
}

/// All arrivals of each of the sample's messages.
fn halves() -> Inputs {
    let options = Options { original_bytes_mean: 300, ..Options::showcase(1) };
    let messages: Vec<Inputs> =
        Organisation::with(options).messages().map(|message| message.arrivals.iter().map(bytes_of).collect()).collect();
    let input = |parts: &Inputs| joined(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let pairs = messages.windows(2).map(|pair| input(&pair.concat()));
    messages.iter().map(input).chain(pairs).collect()
}

/// Words that an edge knows, so that a mutation can say them.
const WORDS: [&str; 24] = [
    "\n",
    "\r\n",
    "\n\n",
    "\n ",
    "\n%%\n",
    "--b\n",
    "--b--\n",
    "<a@b>",
    "=?utf-8?q?=00=0D=0A?=",
    ", Expanded: ",
    "\nMessage-ID: <a@b>\n",
    "\nX-MS-Journal-Report:\n",
    "\nContent-Type: message/rfc822\n\n",
    "\nContent-Type: multipart/mixed; boundary=b\n\n",
    "\nContent-Transfer-Encoding: base64\n",
    "\nContent-Transfer-Encoding: quoted-printable\n",
    "From ",
    "null",
    "\"\"",
    "-1",
    "2147483647",
    "9223372036854775807",
    "\u{0}",
    "\u{ff}",
];

/// One change: where, how far, what.
type Change = (Index, Index, u8, &'static str, u64);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (any::<Index>(), any::<Index>(), any::<u8>(), select(WORDS.to_vec()), any::<u64>());
    prop::collection::vec(change, 0..6)
}

/// The input, changed; `other` is what may be spliced in.
fn mutated(input: &[u8], other: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for (place, length, how, word, number) in changes {
        let json = if how % 2 == 0 { laws::json::changed(&bytes, *number) } else { None };
        if let Some(changed) = json {
            bytes = changed;
            continue;
        }
        let start = place.index(bytes.len() + 1);
        let end = (start + length.index(40)).min(bytes.len());
        match how / 2 % 8 {
            0 => drop(bytes.splice(start..end, [])),
            1 | 2 => drop(bytes.splice(start..start, word.bytes())),
            3 => drop(bytes.splice(start..end, word.bytes())),
            4 => bytes.iter_mut().skip(start).take(1).for_each(|byte| *byte = number.to_le_bytes()[0]),
            5 => {
                let again = bytes[start..end].to_vec();
                bytes.splice(start..start, again);
            }
            6 => {
                let from = length.index(other.len() + 1);
                bytes.splice(start..end, other[from..(from + 200).min(other.len())].iter().copied());
            }
            _ => bytes.truncate(start.max(bytes.len() / 2)),
        }
    }
    bytes
}

/// The law holds of each input as it is, and of some of them changed.
#[track_caller]
fn check(inputs: &[Vec<u8>], cases: u32, law: fn(&[u8])) {
    inputs.iter().for_each(|input| law(input));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (any::<Index>(), any::<Index>(), changes());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ran = runner.run(&strategy, |(one, other, changes)| {
        let (one, other): (&Vec<u8>, &Vec<u8>) = (one.get(inputs), other.get(inputs));
        let input = mutated(one, other, &changes);
        let broken = std::panic::catch_unwind(|| law(&input)).is_err();
        prop_assert!(!broken, "{}", input.escape_ascii());
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_mail_is_read_within_its_bounds_whatever_ends_its_lines() {
    check(&mails(), 1_000, laws::evidence::mail);
}

#[test]
fn any_value_is_refused_or_comes_back_as_it_was_read() {
    check(&values(), 1_000, laws::values::value);
}

#[test]
fn any_settings_file_is_checked_and_no_secret_printed() {
    check(&settings(), 1_500, laws::settings::file);
}

#[test]
fn any_lists_of_a_folder_are_read_or_told_by_their_lines() {
    check(&folders(), 500, laws::folder::lists);
}

#[test]
fn any_changelog_is_refused_or_worked_on() {
    check(&changelogs(), 600, laws::changelog::restored);
}

#[test]
fn any_record_is_read_back_from_its_report() {
    check(&records(), 1_000, laws::report::built);
}

#[test]
fn any_halves_of_what_arrives_make_the_same_records() {
    check(&halves(), 80, laws::halves::merged);
}

/// Every target has its law here and its first corpus; with `MAILJOURNAL_SEEDS=FOLDER` this writes the corpora there,
/// mails of the corpus that nobody here wrote among them.
#[test]
fn every_fuzz_target_has_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let targets = targets();
    let files = fs::read_dir(folder).expect("the targets").map(|file| file.expect("a target").path());
    let stems: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap_or_default().display().to_string()).collect();
    assert_eq!(stems, targets.iter().map(|(name, _)| (*name).to_owned()).collect());
    let Some(out) = std::env::var_os("MAILJOURNAL_SEEDS") else { return };
    let foreign: Inputs = corpus::corpus().map(|path| corpus::mails(&path).into_values().collect()).unwrap_or_default();
    for (name, mut inputs) in targets {
        if ["mail", "halves"].contains(&name) {
            inputs.extend(foreign.iter().filter(|mail| mail.len() <= 16 * 1024).cloned());
        }
        let out = Path::new(&out).join(name);
        fs::create_dir_all(&out).expect("a folder for the seeds");
        for input in inputs {
            fs::write(out.join(mailjournal::mail::Digest::of(&input).to_string()), input).expect("a seed is written");
        }
    }
}
