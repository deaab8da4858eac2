//! A record as a mail that an archive built for Exchange journaling takes, and back.

use std::{collections::BTreeMap, fs, process::Command};

use mailjournal::{
    arrival::Format,
    evidence::{Form, Hop, How, Kind, Role, original_bytes, read_mail},
    mail::{Digest, headers::Head},
    record::{
        JournalRecord, OriginalRole,
        report::{build, build_with_what_is_here, read},
    },
    sample::{Options, Organisation, What},
};

use crate::samples::{self, MAIL, original, recipient, record_of};

fn built(record: &JournalRecord) -> String {
    String::from_utf8(build(record).unwrap()).unwrap()
}

/// The lines of the report's text part.
fn text_lines(report: &str) -> Vec<&str> {
    let (_, rest) = report.split_once("7bit\r\n\r\n").unwrap();
    rest.split("\r\n").take_while(|line| !line.is_empty()).collect()
}

#[test]
fn the_header_is_a_journal_reports() {
    let report = built(&samples::record());
    let head = Head::read(report.as_bytes());
    let check = |name: &str, value: &str| assert_eq!(head.text(name).as_deref(), Some(value), "{name}");
    check("From", "Ann <ann@example.com>");
    check("To", "sales@example.com");
    check("Subject", "Offer");
    check("Date", "Mon, 6 Jan 2025 10:15:01 +0000");
    check("X-MS-Journal-Report", "");
    check("X-MS-Exchange-Parent-Message-Id", "<a@example.com>");
    check("Auto-Submitted", "auto-generated");
    check("X-Mailjournal-Record-Id", "<a@example.com>#0102030405060708");
    check("X-Mailjournal-Revision", "1");
    check("X-Mailjournal-Status", "INCOMPLETE");
    check("X-Mailjournal-Flags", "report-mismatch, role-conflict");
    assert!(head.text("Message-ID").unwrap().ends_with("@mailjournal.report.generator>"));
    let mut next = samples::record();
    next.revision += 1;
    let id = |report: &str| Head::read(report.as_bytes()).text("Message-ID").unwrap();
    assert_eq!(id(&report), id(&built(&samples::record())));
    assert_ne!(id(&report), id(&built(&next)));
}

#[test]
fn the_text_names_every_recipient_role_and_path() {
    let expect = [
        "Sender: ann@example.com",
        "On-Behalf-Of: boss@example.com",
        "Subject: Offer",
        "Message-Id: <a@example.com>",
        "To: carol@example.net",
        "Cc: bob@example.com, Expanded: sales@example.com, Expanded: all@example.com",
        "Cc: bob@example.com, Forwarded: eve@example.com",
        "Bcc: bob@example.com, Expanded: sales@example.com, Expanded: all@example.com",
        "Recipient: [EX:/o=Org/cn=Recipients/cn=eve]",
    ];
    assert_eq!(text_lines(&built(&samples::record())), expect);
    let mut bounce = samples::record();
    (bounce.sender, bounce.on_behalf_of, bounce.subject, bounce.message_id) = (Some(String::new()), None, None, None);
    bounce.recipients.truncate(1);
    assert_eq!(text_lines(&built(&bounce)), ["Sender: <>", "To: carol@example.net"]);
}

#[test]
fn nothing_that_a_sender_wrote_becomes_a_line_of_its_own() {
    let mut record = samples::record();
    record.subject = Some("x\r\nBcc: evil@example.com\u{85}Cc: evil@example.com".into());
    record.message_id = Some("<a@b>\r\nBcc: evil@example.com".into());
    record.record_id = "<a@b>\r\nBcc: evil@example.com".into();
    record.from = vec!["a@b\r\nBcc: evil@example.com".into()];
    record.recipients = vec![recipient("bob@example.com\nBcc: evil@example.com", Role::To, Vec::new())];
    record.recipients[0].paths = vec![vec![Hop { how: How::Expanded, address: "a\rBcc: evil@example.com".into() }]];
    record.originals = vec![original(b"Subject: a\n", OriginalRole::Variant)];
    let report = String::from_utf8(build(&record).unwrap()).unwrap();
    let lines = report.split(['\r', '\n', '\u{85}']);
    let forged: Vec<&str> = lines.filter(|line| line.starts_with("Bcc") || line.starts_with("Cc")).collect();
    assert_eq!(forged, Vec::<&str>::new());
    assert_eq!(read(report.as_bytes()), Some(record));
}

#[test]
fn what_is_not_plain_in_the_original_is_not_copied() {
    let check = |original: &[u8], from: &str, to: &str, subject: Option<&str>| {
        let report = build(&record_of(original)).unwrap();
        let head = Head::read(&report);
        let decoded = (head.text("From").unwrap(), head.text("To").unwrap(), head.decoded("Subject"));
        assert_eq!(decoded, (from.to_owned(), to.to_owned(), subject.map(str::to_owned)));
        let end = head.body_at;
        assert!(report[..end].is_ascii());
        assert!(report[..end].split(|&byte| byte == b'\n').all(|line| line.len() <= 999));
    };
    let undisclosed = "undisclosed-recipients:;";
    check(b"Subject: =?utf-8?Q?=C3=A4?=\r\n\r\n", "<ann@example.com>", undisclosed, Some("\u{e4}"));
    check(b"From: J\xC3\xB6rg <j@example.com>\n\n", "<ann@example.com>", undisclosed, Some("Offer"));
    check(b"From: \"A\tB\"\r\n <ab@example.com>\r\nTo: x\r\n\r\n", "\"A B\" <ab@example.com>", "x", Some("Offer"));
    let long = [b"To: ", "a@example.com, ".repeat(600).as_bytes(), b"\r\n\r\n"].concat();
    check(&long, "<ann@example.com>", undisclosed, Some("Offer"));
    let word = [b"Subject: ", "x".repeat(2_000).as_bytes(), b"\r\n\r\n"].concat();
    check(&word, "<ann@example.com>", undisclosed, Some("Offer"));
}

fn odd_originals() -> BTreeMap<&'static str, Vec<u8>> {
    let all_bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    BTreeMap::from([
        ("all bytes", all_bytes),
        ("bare cr", b"From: a@example.com\r\rbody\r".to_vec()),
        ("delimiters", b"From: a@example.com\r\n\r\n--=_mailjournal_\r\n--\r\n\r\n--=_mailjournal_0--\r\n".to_vec()),
        ("empty", b"".to_vec()),
        ("lf", b"From: a@example.com\nSubject: x\n\nbody\n".to_vec()),
        ("long line", [b"From: a@example.com\r\n\r\n".to_vec(), vec![b'x'; 5_000]].concat()),
        ("no header", b"\r\n\r\n".to_vec()),
        ("nul", b"From: a@example.com\r\n\r\n\0\r\n".to_vec()),
        ("only a line end", b"\n".to_vec()),
        ("outlook message", b"\xD0\xCF\x11\xE0\xA1\xB1".to_vec()),
        ("tnef", b"\x78\x9F\x3E\x22abc".to_vec()),
    ])
}

/// Originals with CRLF line ends: what a parser that thinks in lines can give back.
fn crlf_originals() -> BTreeMap<&'static str, Vec<u8>> {
    let head = b"From: a@example.com\r\nTo: b@example.com,\r\n\tc@example.com\r\nSubject: a\r\n  folded one\r\n";
    let with = |rest: &[u8]| [&head[..], rest].concat();
    let multipart =
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: d@example.com\r\n\r\ninner\r\n\r\n--b--\r\nepilogue\r\n";
    BTreeMap::from([
        ("eight-bit", with("Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes())),
        ("from-line", with(b"\r\nFrom here on\r\n>From\r\n.\r\n")),
        ("multipart", with(multipart)),
        ("no-last-line-end", with(b"\r\nlast")),
        ("only-a-header", with(b"\r\n")),
        ("plain", MAIL.to_vec()),
        ("trailing-lines", with(b"\r\nx\r\n\r\n\r\n\r\n")),
    ])
}

#[test]
fn the_same_record_comes_back_whatever_the_original_is() {
    for (name, content) in odd_originals().into_iter().chain(crlf_originals()) {
        let mut record = record_of(&content);
        let report = build(&record).unwrap();
        assert_eq!(read(&report).as_ref(), Some(&record), "{name}");
        let relayed = [b"Received: from a by b; Mon, 6 Jan 2025 10:00:00 +0000\r\n", &report[..]].concat();
        assert_eq!(read(&relayed).as_ref(), Some(&record), "{name}, relayed");
        record.originals.push(original(b"decrypted", OriginalRole::Decrypted));
        record.originals.insert(0, original(b"variant", OriginalRole::Variant));
        assert_eq!(read(&build(&record).unwrap()).as_ref(), Some(&record), "{name}, with copies");
    }
}

#[test]
fn an_exchange_archive_sees_the_original_then_its_decrypted_copy_and_no_other_mail() {
    let mut record = samples::record();
    record.originals.insert(0, original(b"From: v@example.com\r\n\r\n", OriginalRole::Variant));
    record.originals.insert(0, original(b"From: d@example.com\r\n\r\n", OriginalRole::Decrypted));
    let report = built(&record);
    let mails: Vec<&str> = report.split("Content-Type: message/rfc822\r\n\r\n").skip(1).collect();
    assert_eq!(mails.len(), 2);
    assert!(mails[0].starts_with("From: Ann"));
    assert!(mails[1].starts_with("From: d@example.com"));
    assert!(!report.contains("From: v@example.com"));
}

#[test]
fn an_original_that_is_elsewhere_is_an_error_that_says_where() {
    let mut record = samples::record();
    record.revision = 2;
    (record.originals[0].content, record.originals[0].reference) = (None, Some("revision 1".into()));
    let error = build(&record).unwrap_err().to_string();
    assert!(error.contains("revision 2") && error.contains("the bytes are in revision 1"), "{error}");
    let report = build_with_what_is_here(&record);
    let head = Head::read(&report);
    assert!(head.text("X-Mailjournal-Original").unwrap().ends_with(" revision 1"));
    assert_eq!(read(&report), Some(record.clone()));
    record.originals.clear();
    assert_eq!(read(&build(&record).unwrap()), Some(record));
}

#[test]
fn a_changed_original_is_not_passed_off_as_the_original() {
    let mut record = samples::record();
    let changed = built(&record).replace("Hello.", "Hallo.");
    record.originals[0].content = None;
    assert_eq!(read(changed.as_bytes()), Some(record));
}

#[test]
fn what_is_not_our_report_is_none() {
    let report = built(&samples::record());
    for other in ["", "From: a@example.com\r\n\r\n", &report.replace("mailjournal-record:", ""), &report[..900]] {
        assert_eq!(read(other.as_bytes()), None);
    }
}

/// The longest line that SMTP carries, whatever the record holds.
#[test]
fn no_line_but_the_originals_own_is_too_long_or_not_ascii() {
    let mut record = samples::record();
    record.subject = Some("\u{e4}".repeat(3_000));
    record.sender = Some("x".repeat(3_000));
    record.recipients[0].address = "\u{fc}@example.com".into();
    let report = built(&record);
    assert!(report.is_ascii());
    assert!(report.split("\r\n").all(|line| line.len() <= 998));
}

/// Finds the parts by what Python's email package reads of the header block, then cuts the bytes themselves: how it
/// would write a mail again is a matter of its policies.
const PYTHON: &str = r#"
import pathlib, sys
from email.parser import BytesHeaderParser, BytesParser
for report in sorted(pathlib.Path(sys.argv[1]).glob("*.report")):
    raw = report.read_bytes()
    head = BytesHeaderParser().parsebytes(raw)
    assert head["X-MS-Journal-Report"] == "", report
    kinds = [part.get_content_type() for part in BytesParser().parsebytes(raw).get_payload()]
    assert kinds == ["text/plain", "message/rfc822"], (report, kinds)
    preamble, text, attached, end = raw.split(b"\r\n--" + head.get_boundary().encode())
    assert text.split(b"\r\n\r\n", 1)[1].startswith(b"Sender: ") and end == b"--\r\n", report
    report.with_suffix(".original").write_bytes(attached.split(b"\r\n\r\n", 1)[1])
"#;

/// The originals of the demo's mails.
fn demo_originals() -> BTreeMap<String, Vec<u8>> {
    let mut originals = BTreeMap::new();
    for incoming in Organisation::with(Options { messages: 120, ..Options::showcase(1) }).arrivals() {
        let What::Mail(mail) = &incoming.what else { continue };
        let Ok(evidence) = read_mail(&mail.bytes) else { continue };
        for original in evidence.originals.iter().filter(|original| original.guard.is_some()) {
            let bytes = original_bytes(&mail.bytes, Format::Mail, &original.place).expect("an original");
            originals.insert(format!("demo-{}", original.sha256), bytes.to_vec());
        }
    }
    assert!(originals.len() > 50, "{} originals", originals.len());
    originals
}

#[test]
fn the_parts_that_pythons_email_package_finds_hold_the_originals_bytes() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 is not installed: apt-get install python3");
        eprintln!("not tried: python3 is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut originals = demo_originals();
    originals.extend(crlf_originals().into_iter().map(|(name, content)| (name.to_owned(), content)));
    for (name, content) in &originals {
        fs::write(folder.path().join(name).with_extension("report"), build(&record_of(content)).unwrap()).unwrap();
    }
    let run = Command::new("python3").args(["-c", PYTHON]).arg(folder.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for (name, content) in &originals {
        let read = fs::read(folder.path().join(name).with_extension("original")).unwrap();
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(content), "{name}");
    }
}

/// What our reader of journal reports, which does not look at the preamble, makes of it.
#[test]
fn our_own_reader_sees_the_same_envelope_and_original() {
    for (name, content) in odd_originals().into_iter().chain(crlf_originals()) {
        // Exchange attaches nothing empty, so an empty attachment is no original to a reader of its reports.
        if content.trim_ascii().is_empty() {
            continue;
        }
        let record = record_of(&content);
        let evidence = read_mail(&build(&record).unwrap()).unwrap();
        assert_eq!((evidence.kind, evidence.form), (Kind::Report, Form::Exchange), "{name}");
        assert_eq!((evidence.sender, evidence.on_behalf_of), (record.sender, record.on_behalf_of));
        let mut claims: BTreeMap<String, (Vec<Role>, Vec<Vec<Hop>>)> = BTreeMap::new();
        for claim in evidence.recipients {
            let (roles, paths) = claims.entry(claim.address.text).or_default();
            roles.push(claim.role);
            paths.push(claim.path);
        }
        for recipient in &record.recipients {
            let (mut roles, mut paths) = claims.remove(&recipient.address).unwrap();
            roles.dedup();
            paths.dedup();
            paths.retain(|path| !path.is_empty());
            let claimed =
                if recipient.claimed_roles.is_empty() { vec![recipient.role] } else { recipient.claimed_roles.clone() };
            assert_eq!(roles, claimed, "{name}");
            paths.truncate(recipient.paths.len());
            assert_eq!(paths, recipient.paths, "{name}");
        }
        assert_eq!(claims.len(), 0, "{name}");
        assert_eq!(evidence.originals.len(), 1, "{name}");
        assert_eq!(evidence.originals[0].sha256, Digest::of(&content), "{name}");
        if name == "plain" {
            assert_eq!(evidence.key.as_str(), "<a@example.com>");
            assert_eq!(evidence.flags, []);
        }
    }
}

#[test]
fn our_own_reader_sees_the_decrypted_copy_and_takes_no_variant_for_an_original() {
    let mut record = samples::record();
    record.originals.push(original(b"From: d@example.com\r\n\r\n", OriginalRole::Decrypted));
    record.originals.push(original(b"From: v@example.com\r\n\r\n", OriginalRole::Variant));
    let evidence = read_mail(&build(&record).unwrap()).unwrap();
    let seen: Vec<_> = evidence.originals.iter().map(|one| (one.sha256, one.decrypted)).collect();
    assert_eq!(seen, [(Digest::of(MAIL), false), (record.originals[1].sha256, true)]);
    record.originals.clear();
    let evidence = read_mail(&build(&record).unwrap()).unwrap();
    assert_eq!((evidence.kind, evidence.originals.len()), (Kind::Report, 0));
}

/// More than the parts that are looked at in a stranger's report.
#[test]
fn a_record_with_very_many_variants_comes_back() {
    let mut record = samples::record();
    for number in 0..1_200 {
        record.originals.push(original(format!("From: v{number}@x\r\n\r\nvariant").as_bytes(), OriginalRole::Variant));
    }
    assert!(read(&build(&record).unwrap()) == Some(record));
}
