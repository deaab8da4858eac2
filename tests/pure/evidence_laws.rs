//! What is written as a report is read back the same, and another parser cuts attached mails where we do.

use std::ops::Range;

use bytes::Bytes;
use mail_parser::{Encoding, MessageParser, PartType};
use mailjournal::{
    arrival::Format,
    evidence::{Evidence, Form, Hop, How, Kind, Role, original_bytes, read_mail},
    mail::{decode, headers::Head, parts},
};
use proptest::prelude::*;

use crate::{corpus, evidence_forms::fixtures, evidence_hostile::busy_with};

/// A recipient line as a server writes it.
#[derive(Clone, Debug)]
struct Line {
    role: Role,
    address: String,
    path: Vec<Hop>,
}

#[derive(Clone, Debug)]
struct Written {
    sender: String,
    subject: String,
    lines: Vec<Line>,
    body: Vec<u8>,
    end: &'static str,
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9.+_-]{0,12}[a-z]@[a-z]{2,8}\\.example",
        "\"[a-z ,;:<>()]{1,10}\"@[a-z]{2,8}\\.example",
        "\\[EX:/o=[A-Za-z ]{1,8}[a-z]/ou=[A-Za-z, ()]{1,12}[a-z]/cn=[a-z]{1,8}\\]",
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let role = prop_oneof![Just(Role::To), Just(Role::Cc), Just(Role::Bcc), Just(Role::Recipient)];
    let how = prop_oneof![Just(How::Expanded), Just(How::Forwarded)];
    let hop = (how, "[a-z]{1,8}@lists\\.example").prop_map(|(how, address)| Hop { how, address });
    (role, address(), proptest::collection::vec(hop, 0..3)).prop_map(|(role, address, path)| Line {
        role,
        address,
        path,
    })
}

fn written() -> impl Strategy<Value = Written> {
    let body = proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'-')], 0..400);
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    // A CR at a body's end and the LF before the delimiter would read as one line end.
    let body = body.prop_map(|body| if body.ends_with(b"\r") { [body, b".".to_vec()].concat() } else { body });
    let lines = proptest::collection::vec(line(), 0..12);
    ("[a-z]{1,9}@[a-z]{1,9}\\.example", "[ -~]{0,40}", lines, body, end).prop_map(
        |(sender, subject, lines, body, end)| Written { sender, subject: subject.trim().to_owned(), lines, body, end },
    )
}

fn original_of(written: &Written) -> Vec<u8> {
    let head = format!("From: {}\nSubject: {}\nMessage-ID: <o@p.example>\n\n", written.sender, written.subject);
    let mut bytes = head.replace('\n', written.end).into_bytes();
    bytes.extend_from_slice(&written.body);
    bytes
}

fn write(written: &Written) -> Vec<u8> {
    let mut text = format!("Sender: {}\nSubject: {}\nMessage-ID: <o@p.example>\n", written.sender, written.subject);
    for Line { role, address, path } in &written.lines {
        text.push_str(&format!("{role:?}: {address}"));
        path.iter().rev().for_each(|hop| text.push_str(&format!(", {:?}: {}", hop.how, hop.address)));
        text.push('\n');
    }
    let head = format!(
        "From: x@y.example\nX-MS-Journal-Report: \nContent-Type: multipart/mixed; boundary=\"=_a boundary\"\n\n\
         --=_a boundary\nContent-Type: text/plain\n\n{text}\n--=_a boundary\nContent-Type: message/rfc822\n\n"
    );
    let mut bytes = head.replace('\n', written.end).into_bytes();
    bytes.extend_from_slice(&original_of(written));
    bytes.extend_from_slice("\n--=_a boundary--\n".replace('\n', written.end).as_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_written_report_is_read_back(written in written()) {
        let bytes = Bytes::from(write(&written));
        let evidence = read_mail(&bytes).expect("a report");
        prop_assert_eq!((evidence.kind, evidence.form), (Kind::Report, Form::Exchange));
        prop_assert_eq!(evidence.sender.as_deref(), Some(written.sender.as_str()));
        prop_assert_eq!(evidence.subject.as_deref(), Some(written.subject.as_str()));
        prop_assert_eq!(evidence.key.as_str(), "<o@p.example>");
        let claims: Vec<_> = evidence.recipients.iter().map(|claim| (claim.role, &claim.address.text, &claim.path)).collect();
        let lines: Vec<_> = written.lines.iter().map(|line| (line.role, &line.address, &line.path)).collect();
        prop_assert_eq!(claims, lines);
        let original = original_bytes(&bytes, Format::Mail, &evidence.originals[0].place).expect("a cut");
        prop_assert_eq!(&original[..], &original_of(&written)[..]);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in "[ -~\n]{0,200}") {
        let mail = [b"Content-Type: multipart/mixed; boundary=b\n".as_slice(), head.as_bytes(), &bytes].concat();
        let _ = read_mail(&bytes);
        let _ = read_mail(&mail);
    }

    #[test]
    fn transfer_encodings_are_undone(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let lines: Vec<String> = STANDARD.encode(&bytes).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        prop_assert_eq!(decode::decode_base64(lines.join("\r\n").as_bytes()), &bytes[..]);
        let quoted: String = bytes.iter().enumerate().map(|(at, byte)| format!("={byte:02X}{}", if at % 20 == 19 { "=\r\n" } else { "" })).collect();
        prop_assert_eq!(decode::decode_quoted_printable(quoted.as_bytes()), bytes);
    }
}

type Spans = Vec<Range<usize>>;

/// The spans of attached mails that are neither encoded nor within another attached mail: ours and mail-parser's.
fn spans(bytes: &[u8]) -> Option<(Spans, Spans)> {
    let leaves = parts::leaves(bytes, 0..bytes.len(), Head::read(bytes));
    let plain = leaves
        .leaves
        .iter()
        .filter(|leaf| leaf.is_mail() && leaf.encoding == decode::Encoding::Identity && leaf.depth > 0);
    let ours = plain.map(|leaf| leaf.body.clone()).collect();
    let theirs = MessageParser::default().parse(bytes)?;
    let mails =
        theirs.parts.iter().filter(|part| matches!(part.body, PartType::Message(_)) && part.encoding == Encoding::None);
    let theirs = mails.map(|part| part.offset_body as usize..part.offset_end as usize).collect();
    Some((ours, theirs))
}

/// Where they differ, each looked at: mail-parser takes a line that only begins like a delimiter for one, lets an
/// inner multipart that was never closed swallow the outer delimiter, or reads no mail in CR line ends.
#[test]
fn attached_mails_are_cut_where_mail_parser_cuts_them() {
    let mut mails = fixtures();
    mails.extend(corpus::corpus().map(|path| corpus::mails(&path)).unwrap_or_default());
    let (mut alike, mut all) = (0, 0);
    for (name, bytes) in &mails {
        let Some((ours, theirs)) = spans(bytes) else { continue };
        for span in &ours {
            all += 1;
            alike += usize::from(theirs.contains(span));
            if !theirs.contains(span) {
                println!("{name}: {span:?}, mail-parser has {theirs:?}");
            }
        }
    }
    println!("{alike} of {all} attached mails are cut alike");
    assert!(all >= 50 && alike * 100 >= all * 90, "{alike} of {all}");
}

#[test]
fn speed_of_reading_is_told() {
    let fixture = &fixtures()["exchange-online"];
    for size in [12_000, 75_000] {
        let body = "The quick brown fox jumps over the lazy dog; 0123456789 and so on and on.\n"
            .repeat((size - fixture.len()) / 74);
        let bytes = String::from_utf8_lossy(fixture).replace("-- \nAlice\n", &body).into_bytes();
        let rounds = if cfg!(debug_assertions) { 3 } else { 2000 };
        let mut read: Vec<Evidence> = Vec::with_capacity(rounds);
        let busy = busy_with(|| read.extend((0..rounds).map(|_| read_mail(&bytes).expect("a report"))));
        let seconds = busy.as_secs_f64().max(0.001);
        let (count, megabytes) = (read.len() as f64, (read.len() * bytes.len()) as f64 / 1e6);
        println!(
            "reports of {} bytes: {:.0} a second, {:.0} MB/s on one core",
            bytes.len(),
            count / seconds,
            megabytes / seconds
        );
        assert!(read.iter().all(|evidence| evidence.originals[0].size > size as i64 / 2));
    }
}
