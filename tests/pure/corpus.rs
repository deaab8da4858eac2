//! Mail that nobody in this project wrote goes through the reader, as stored and with CRLF line ends, and other
//! programs' opinions of it agree with ours.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mailjournal::{
    arrival::Format,
    evidence::{Evidence, Form, Kind, PlaceKind, original_bytes, read_mail},
    mail::Digest,
};
use serde_json::Value;

/// The corpus, or none on a machine that has not got it (said so; in CI it must be there).
pub fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("MAILJOURNAL_CORPUS").map_or(default, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the corpus is not at {}", path.display());
    println!("no corpus at {}: nothing to read (set MAILJOURNAL_CORPUS)", path.display());
    None
}

/// Every mail of the corpus by its path: all files but those about the mails.
pub fn mails(corpus: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![corpus.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the corpus") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(corpus).expect("below").to_str().expect("a plain name").to_owned();
            if !is_about_mails(&name) {
                found.insert(name, std::fs::read(&path).expect("a file of the corpus"));
            }
        }
    }
    found
}

fn is_about_mails(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_text =
        ["README", "LICENSE", "LICENCE", "NOTICE", "COPYING", "SOURCE"].iter().any(|word| file.starts_with(word));
    let ends = [".json", ".xml", ".out", ".md", ".py"];
    is_text || name.starts_with("oracle/") || name.contains("/LICENSES/") || ends.iter().any(|end| file.ends_with(end))
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut converted = Vec::with_capacity(bytes.len() + bytes.len() / 30);
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before != b'\r' {
            converted.push(b'\r');
        }
        converted.push(byte);
        before = byte;
    }
    converted
}

/// What must hold of any evidence: its originals are where it says.
fn check_originals(name: &str, bytes: &[u8], evidence: &Evidence) {
    let arrival = Bytes::copy_from_slice(bytes);
    for original in &evidence.originals {
        let found = original_bytes(&arrival, Format::Mail, &original.place).expect(name);
        assert_eq!(Digest::of(&found), original.sha256, "{name}");
        assert_eq!(found.len() as i64, original.size, "{name}");
        if original.place.how == PlaceKind::Cut {
            assert_eq!(
                found.as_ptr(),
                arrival[original.place.start as usize..].as_ptr(),
                "{name}: a cut copies nothing"
            );
        }
    }
}

#[test]
fn every_mail_of_the_corpus_becomes_evidence_or_a_rejection() {
    let Some(corpus) = corpus() else { return };
    let mails = mails(&corpus);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, bytes) in &mails {
        let mut forms = Vec::new();
        for bytes in [bytes.clone(), with_crlf(bytes)] {
            match read_mail(&bytes) {
                Ok(evidence) => {
                    check_originals(name, &bytes, &evidence);
                    forms.push(format!("{:?}", evidence.form));
                }
                Err(rejection) => {
                    assert!(!rejection.detail.is_empty());
                    forms.push("rejected".to_owned());
                }
            }
        }
        assert_eq!(forms[0], forms[1], "{name}: line ends change what it is");
        *counts.entry(forms[0].clone()).or_default() += 1;
    }
    println!("{} mails: {counts:?}", mails.len());
    assert!(mails.len() >= 695, "{} mails found", mails.len());
}

fn oracle(corpus: &Path, name: &str) -> serde_json::Map<String, Value> {
    let text = std::fs::read(corpus.join("oracle").join(name)).expect("an oracle");
    serde_json::from_slice(&text).expect("an oracle is JSON")
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

#[test]
fn the_journal_report_reads_as_its_oracle_says() {
    let Some(corpus) = corpus() else { return };
    let oracle = oracle(&corpus, "journal.json");
    assert_eq!(oracle.len(), 1);
    for (name, opinion) in &oracle {
        let bytes = std::fs::read(corpus.join(name)).expect("a mail");
        let evidence = read_mail(&bytes).expect(name);
        let expected = &opinion["original"];
        let original = &evidence.originals[0];
        assert_eq!((evidence.kind, evidence.form), (Kind::Report, Form::Exchange));
        assert_eq!(Some(original.place.start), expected["offset"].as_i64());
        assert_eq!(Some(original.size), expected["length"].as_i64());
        assert_eq!(Some(original.sha256.to_string().as_str()), text(expected, "sha256"));
        assert_eq!(evidence.message_id.as_deref(), text(expected, "message_id"));
        assert_eq!(evidence.report_id.as_deref(), text(opinion, "outer_message_id"));
        let lines: Vec<String> =
            evidence.recipients.iter().map(|claim| format!("Recipient: {}", claim.address.text)).collect();
        let told = opinion["body_lines"].as_array().expect("lines");
        assert!(lines.iter().all(|line| told.iter().any(|told| told == line)) && lines.len() == 1, "{lines:?}");
        assert_eq!(evidence.sender.as_deref(), Some("unixfreak0037@gmail.com"));
        assert_eq!(evidence.subject.as_deref(), Some("canary #3"));
        assert!(evidence.flags.is_empty(), "{:?}", evidence.flags);
        println!("{}", mailjournal::evidence::show(&bytes, false));
    }
}

/// What Python's email package and we both say of one delivery status notification.
fn agreement(opinion: &Value, evidence: &Evidence) -> Vec<String> {
    let Some(notice) = &evidence.notice else { return vec!["no notice".to_owned()] };
    let mut differences = Vec::new();
    let about = text(opinion, "original_message_id").filter(|id| !id.is_empty());
    if about.is_some() && about != notice.about.as_deref() {
        differences.push(format!("about {:?}, they say {about:?}", notice.about));
    }
    let word = |value: Option<&str>| value.and_then(|value| value.split_whitespace().next()).map(str::to_lowercase);
    let theirs: Vec<(Option<String>, Option<String>)> = opinion["recipients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| (word(text(group, "Action")), word(text(group, "Status"))))
        .collect();
    let ours: Vec<(Option<String>, Option<String>)> =
        notice.statuses.iter().map(|status| (status.action.clone(), status.status.clone())).collect();
    if ours != theirs {
        differences.push(format!("{ours:?}, they say {theirs:?}"));
    }
    differences
}

#[test]
fn delivery_status_notifications_read_as_another_program_reads_them() {
    let Some(corpus) = corpus() else { return };
    let (mut agreed, mut all) = (0, 0);
    for (name, opinion) in &oracle(&corpus, "reports-stdlib.json") {
        let is_conformant =
            text(opinion, "report_type").is_some_and(|kind| kind.eq_ignore_ascii_case("delivery-status"));
        if !is_conformant || opinion.get("recipients").is_none() {
            continue;
        }
        let bytes = std::fs::read(corpus.join(name)).expect("a mail");
        let evidence = read_mail(&bytes).expect(name);
        let differences = agreement(opinion, &evidence);
        all += 1;
        agreed += usize::from(differences.is_empty());
        differences.iter().for_each(|difference| println!("{name}: {difference}"));
    }
    println!("{agreed} of {all} delivery status notifications read alike");
    assert!(all >= 150 && agreed * 100 >= all * 95, "{agreed} of {all}");
}
