//! `demo --brokers` shows through a real Kafka what `demo` shows through files.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use mailjournal::avro::{self, Schema};
use mailjournal::record::{JournalRecord, Status};

use crate::support::{broker, kafka};

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailjournal"));
    command.arg("demo").args(arguments).output().expect("mailjournal starts")
}

fn screen(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The records that stand in the end.
fn standing(records: Vec<JournalRecord>) -> BTreeSet<(String, usize, Status)> {
    let mut last = std::collections::BTreeMap::new();
    for record in records {
        last.insert(record.record_id.clone(), record);
    }
    let standing = last.into_values().filter(|record| record.status != Status::Superseded);
    standing.map(|record| (record.record_id, record.recipients.len(), record.status)).collect()
}

fn records_of(folder: &Path) -> Vec<JournalRecord> {
    let lines = std::fs::read_to_string(folder.join("records/archive.jsonl")).expect("records");
    lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[test]
fn the_demo_through_a_broker_ends_in_the_records_of_the_demo_through_files() {
    let address = &broker::shared().address;
    let through_broker = screen(&demo(&["--brokers", address]));
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("demo");
    let through_files = screen(&demo(&["--out", &out.display().to_string()]));

    // The dispositions too: what was moved home is shown as what became of it there.
    let sum = |screen: &str| screen.lines().find(|line| line.contains("The ledger adds up: ")).map(str::to_owned);
    assert!(sum(&through_files).is_some(), "{through_files}");
    assert_eq!(sum(&through_broker), sum(&through_files), "{through_broker}");

    let archive = through_broker.split_whitespace().find(|word| word.ends_with("journal.archive"));
    let published = kafka::read_all(address, archive.expect("it says where the records lie"));
    let published = published
        .into_iter()
        .map(|taken| avro::decode(Schema::JournalRecord, &taken.value.expect("no tombstones")).expect("a record"));
    assert_eq!(standing(published.collect()), standing(records_of(&out)));
    assert!(through_broker.contains("kafka-topics.sh") && through_broker.contains("--delete"), "{through_broker}");
}

#[test]
fn without_a_broker_the_demo_says_so() {
    let ended = demo(&["--brokers", "127.0.0.1:1"]);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("no broker answers at 127.0.0.1:1"), "{said}");
}
