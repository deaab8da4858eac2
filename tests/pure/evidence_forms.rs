//! Every form of evidence, good, odd and hostile: a mail in `tests/data/reports`, and beside it what it says.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use bytes::Bytes;
use mailjournal::{
    arrival::Format,
    evidence::{Evidence, Notice, original_bytes, read_mail},
    mail::Digest,
};

pub fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reports")
}

/// All fixtures by name.
pub fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures").map(|entry| entry.expect("an entry").path());
    let mails = entries.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    mails
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name").to_owned();
            (name, std::fs::read(&path).expect("a fixture"))
        })
        .collect()
}

pub fn with_line_ends(bytes: &[u8], end: &str) -> Vec<u8> {
    bytes.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(end.as_bytes())
}

/// What a mail says, one statement a line, in words that do not depend on its line ends.
fn statements(bytes: &[u8]) -> String {
    let evidence = match read_mail(bytes) {
        Ok(evidence) => evidence,
        Err(rejection) => return format!("rejected {rejection}\n"),
    };
    let mut lines = String::new();
    let key = evidence.key.as_str();
    let key = if key.starts_with("sha256:") { "a stand-in" } else { key };
    writeln!(lines, "{:?} {:?}, key {key}, id {:?}", evidence.kind, evidence.form, evidence.message_id).unwrap();
    writeln!(lines, "own id {:?}, server {:?}", evidence.report_id, evidence.server).unwrap();
    writeln!(lines, "network id {:?}", evidence.network_message_id).unwrap();
    writeln!(lines, "sender {:?} for {:?}, subject {:?}", evidence.sender, evidence.on_behalf_of, evidence.subject)
        .unwrap();
    for claim in &evidence.recipients {
        write!(lines, "{:?} {:?} {:?}", claim.role, claim.address.kind, claim.address.text).unwrap();
        if let Some(name) = &claim.display_name {
            write!(lines, " named {name:?}").unwrap();
        }
        claim.path.iter().for_each(|hop| write!(lines, " <- {:?} {}", hop.how, hop.address).unwrap());
        lines.push('\n');
    }
    originals(&mut lines, bytes, &evidence);
    evidence.notice.iter().for_each(|notice| notice_lines(&mut lines, notice));
    writeln!(lines, "flags {:?}", evidence.flags).unwrap();
    lines
}

fn originals(lines: &mut String, bytes: &[u8], evidence: &Evidence) {
    let arrival = Bytes::copy_from_slice(bytes);
    for original in &evidence.originals {
        let found = original_bytes(&arrival, Format::Mail, &original.place).expect("it is there");
        assert_eq!((Digest::of(&found), found.len() as i64), (original.sha256, original.size));
        let text = String::from_utf8_lossy(&found).replace("\r\n", "\n").replace('\r', "\n");
        let start: String = text.chars().take(24).collect();
        let end: String = text.chars().rev().take(16).collect::<Vec<_>>().into_iter().rev().collect();
        let decrypted = if original.decrypted { " decrypted" } else { "" };
        writeln!(lines, "original {:?}{decrypted} {start:?} … {end:?}", original.place.how).unwrap();
        let guard = original.guard.map_or("no guard".to_owned(), |guard| format!("guard {guard}"));
        writeln!(lines, "  {guard}, from {:?}, subject {:?}", original.from, original.subject).unwrap();
    }
}

fn notice_lines(lines: &mut String, notice: &Notice) {
    let guarded = if notice.about_guard.is_some() { ", guarded" } else { "" };
    writeln!(lines, "about {:?} by {:?}{guarded}", notice.about, notice.found_by).unwrap();
    writeln!(lines, "told by {:?}, envelope id {:?}", notice.reporting_mta, notice.original_envelope_id).unwrap();
    notice.statuses.iter().for_each(|status| writeln!(lines, "  {status:?}").unwrap());
}

#[test]
fn every_fixture_says_what_stands_beside_it() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 70, "{} fixtures found", fixtures.len());
    let mut wrong = Vec::new();
    for (name, bytes) in &fixtures {
        let path = folder().join(name).with_extension("expect");
        if std::env::var_os("MAILJOURNAL_BLESS").is_some() {
            std::fs::write(&path, statements(bytes)).expect("a place to write");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name} has no .expect beside it"));
        for end in ["\n", "\r\n", "\r"] {
            let found = statements(&with_line_ends(bytes, end));
            if found != expected {
                wrong.push(format!("{name} with {end:?}\n--- expected\n{expected}--- found\n{found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
