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
fn corpus() -> Option<PathBuf> {
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
fn mails(corpus: &Path) -> BTreeMap<String, Vec<u8>> {
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
                    println!("{name}: {rejection}");
                    forms.push("rejected".to_owned());
                }
            }
        }
        assert_eq!(forms[0], forms[1], "{name}: line ends change what it is");
        *counts.entry(forms[0].clone()).or_default() += 1;
    }
    println!("{} mails: {counts:?}", mails.len());
    assert_eq!(mails.len(), 695);
}
