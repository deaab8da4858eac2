//! What reports and copies once lost, each test named after what broke.

use std::time::Duration;

use bytes::Bytes;
use mailjournal::{
    arrival::Format,
    evidence::{Evidence, Flag, Form, How, Kind, Role, original_bytes, read_mail},
    mail::address,
};

use crate::{
    evidence_hostile::busy_with,
    stage::{MONDAY, SECOND, Stage},
};

const ORIGINAL: &str = "From: alice@c.example\r\nTo: header@c.example\r\nDate: d\r\nSubject: s\r\n\
                        Message-ID: <o@c.example>\r\n\r\nbody\r\n";
const TEXT: &str = "Sender: sender@c.example\r\nMessage-ID: <o@c.example>\r\nBcc: bcc@b.example\r\n";
const PLAIN: &str = "Content-Type: text/plain";
const MAIL: &str = "Content-Type: message/rfc822";

/// A report of these parts, each a header block and a body.
fn report_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let head = "From: alice@c.example\r\nX-MS-Journal-Report:\r\nMessage-ID: <r@c.example>\r\n";
    multipart(head, parts)
}

fn multipart(head: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    // No boundary of a wrapped mail is its wrapper's.
    let boundary = format!("b{}", parts.iter().map(|(_, body)| body.len()).sum::<usize>());
    let mut bytes = format!("{head}Content-Type: multipart/mixed; boundary={boundary}\r\n").into_bytes();
    for (head, body) in parts {
        bytes.extend_from_slice(format!("\r\n--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        bytes.extend_from_slice(body);
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    bytes
}

fn addresses(evidence: &Evidence) -> Vec<&str> {
    evidence.recipients.iter().map(|claim| claim.address.text.as_str()).collect()
}

/// The sender and the Bcc of [`TEXT`], and [`ORIGINAL`] byte for byte.
fn check_whole(what: &str, bytes: Vec<u8>) -> Evidence {
    let evidence = read_mail(&bytes).expect("a mail");
    assert_eq!(evidence.sender.as_deref(), Some("sender@c.example"), "{what}: {evidence:?}");
    assert_eq!(addresses(&evidence), ["bcc@b.example"], "{what}: {evidence:?}");
    assert_eq!(evidence.originals.len(), 1, "{what}");
    let original = original_bytes(&Bytes::from(bytes), Format::Mail, &evidence.originals[0].place).expect(what);
    assert_eq!(original, ORIGINAL.as_bytes(), "{what}");
    evidence
}

fn base64(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes).into_bytes()
}

/// The report of these lines behind a sender.
fn lines_under(kind: &str, lines: &str) -> Evidence {
    let text = format!("Sender: s@c.example\r\nMessage-ID: <o@c.example>\r\n{lines}");
    read_mail(&report_of(&[(kind, text.as_bytes()), (MAIL, ORIGINAL.as_bytes())])).expect("a report")
}

#[test]
fn an_empty_text_or_a_banner_before_the_envelope_hides_nothing() {
    let mail = (MAIL, ORIGINAL.as_bytes());
    let envelope = (PLAIN, TEXT.as_bytes());
    for banner in ["\r\n", "This mail was scanned.", "Caution: scanned", "To: whom it may concern\r\n"] {
        check_whole(banner, report_of(&[(PLAIN, banner.as_bytes()), envelope, mail]));
    }
    let html = "Content-Type: text/html\r\n\r\n<p>Sender: sender@c.example<br>Bcc: bcc@b.example</p>";
    let alternative = format!("--c\r\n{PLAIN}\r\n\r\n\r\n--c\r\n{html}\r\n--c--");
    let alternative = ("Content-Type: multipart/alternative; boundary=c", alternative.as_bytes());
    check_whole("an empty text beside HTML", report_of(&[alternative, mail]));
}

#[test]
fn the_original_is_never_read_as_the_envelope() {
    for name in ["ORIG.EML", "orig.eml"] {
        let kind = format!("{PLAIN}; name={name}");
        check_whole(name, report_of(&[(&kind, ORIGINAL.as_bytes()), (PLAIN, TEXT.as_bytes())]));
        let alone = read_mail(&report_of(&[(&kind, ORIGINAL.as_bytes())])).expect("a report");
        assert!(alone.flags.contains(&Flag::EnvelopeUnparsed), "{name}: {:?}", alone.flags);
    }
}

#[test]
fn an_unbalanced_quote_or_parenthesis_swallows_nobody() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = address::parse_list(text).into_iter().map(|mailbox| mailbox.address.text).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(addresses(&lines_under(PLAIN, &format!("To: {text}\r\n"))), expected, "report: {text}");
        let copy = format!("From: x@y.example\r\nTo: {text}\r\nMessage-ID: <p@x>\r\n\r\nx");
        assert_eq!(addresses(&read_mail(copy.as_bytes()).expect("a copy")), expected, "copy: {text}");
    };
    let both = &["a@b.example", "c@d.example"];
    check("O\"Brien <a@b.example>, c@d.example", both);
    check("O\"Brien <a@b.example>, P\"Quinn <c@d.example>", both);
    check("\"O Brien <a@b.example>, c@d.example", both);
    check("open ( paren <a@b.example>, c@d.example", both);
    check("open (( paren) <a@b.example>; c@d.example", both);
    check("a@b.example c@d.example", both);
    check("a@b.example\tc@d.example", both);
    check("<a@b.example> c@d.example", both);
    check("<a@b.example><c@d.example>", both);
    check("<a@b.example, c@d.example>", both);
    check("<a@b.example,c@d.example>", both);
    check("John <a@b.example, c@d.example", both);
    check("John [sales <a@b.example>, c@d.example", both);
    check("a@b.example, \"Roe, R <c@d.example>", both);
    check("[EX:/o=A/cn=(b], \"x <c@d.example>", &["[EX:/o=A/cn=(b]", "c@d.example"]);
    check("\"x <c@d.example>, [EX:/o=A/cn=b]", &["c@d.example", "[EX:/o=A/cn=b]"]);
    // What was right stays right.
    check("\"a@b.example\" <c@d.example>", &["c@d.example"]);
    check("c@d.example (was a@b.example)", &["c@d.example"]);
    check("\"a@c d\"@x.example, \"e\\\", f@g\"@x.example", &["\"a@c d\"@x.example", "\"e\\\", f@g\"@x.example"]);
    check("(c@x.example) <a@b.example>, <@relay.example:c@d.example>", &["a@b.example", "@relay.example:c@d.example"]);
    check("room 12 (unclosed", &["room 12 (unclosed"]);
}

#[test]
fn comments_and_odd_spelling_in_mime_fields_are_read_alike() {
    let text = (PLAIN, TEXT.as_bytes());
    for kind in ["message/rfc822 (x)", "(x(y\\))) message/rfc822; name=x", "Message / RFC822", "message/rfc822(x);a=b"]
    {
        check_whole(kind, report_of(&[text, (&format!("Content-Type: {kind}"), ORIGINAL.as_bytes())]));
    }
    for kind in ["text/plain (report); charset=us-ascii", "(a)text(b)/(c)plain", "TEXT/PLAIN (x;y)"] {
        let kind = format!("Content-Type: {kind}");
        check_whole(&kind, report_of(&[(&kind, TEXT.as_bytes()), (MAIL, ORIGINAL.as_bytes())]));
    }
    let encoded = base64(ORIGINAL);
    for encoding in ["base64\t(x)", "(x) base64", "\"base64\"", "BASE64 ;x", "(a (b)) base64(c)", "base64"] {
        let head = format!("{MAIL}\r\nContent-Transfer-Encoding: {encoding}");
        check_whole(encoding, report_of(&[text, (&head, &encoded)]));
    }
    let bounce = "From: a@b.example\r\nX-MS-Journal-Report:\r\nMessage-ID: <n@x>\r\nContent-Type: (dsn) multipart/report; \
                  report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
                  Final-Recipient: rfc822;c@d.example\r\nAction: failed\r\n\r\n--b--\r\n";
    assert_eq!(read_mail(bounce.as_bytes()).expect("a notice").kind, Kind::Notice);
}

#[test]
fn a_byte_order_mark_hides_no_sender() {
    let mail = (MAIL, ORIGINAL.as_bytes());
    let marked = format!("\u{feff}{TEXT}");
    check_whole("UTF-8", report_of(&[(&format!("{PLAIN}; charset=utf-8"), marked.as_bytes()), mail]));
    check_whole("no charset", report_of(&[(PLAIN, marked.as_bytes()), mail]));
    let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (charset, bytes) in [("utf-16le", &little), ("utf-16", &little), ("utf-16be", &big), ("utf-16", &big)] {
        let kind = format!("{PLAIN}; charset={charset}\r\nContent-Transfer-Encoding: base64");
        check_whole(charset, report_of(&[(&kind, &base64(bytes)), mail]));
    }
    // A report whose marker was lost is known by its text.
    let lost = String::from_utf8(report_of(&[(PLAIN, marked.as_bytes()), mail])).expect("text");
    let lost = lost.replace("X-MS-Journal-Report:", "X-MS-Exchange-Parent-Message-Id: <o@c.example>");
    check_whole("a lost marker", lost.into_bytes());
}

#[test]
fn a_fold_within_a_recipient_keeps_its_path() {
    let check = |kind: &str, lines: &str| {
        let evidence = lines_under(kind, lines);
        let found: Vec<_> = evidence
            .recipients
            .iter()
            .map(|claim| {
                let path = claim.path.iter().map(|hop| (hop.how, hop.address.as_str())).collect::<Vec<_>>();
                (claim.role, claim.address.text.as_str(), path)
            })
            .collect();
        assert_eq!(found, [(Role::Bcc, "a@b.example", vec![(How::Expanded, "dl@x.example")])], "{lines:?}");
    };
    check(PLAIN, "Bcc: a@b.example\r\n , Expanded: dl@x.example\r\n");
    check(PLAIN, "Bcc: a@b.example,\r\n Expanded: dl@x.example\r\n");
    check(PLAIN, "Bcc: a@b.example, Expanded:\r\n dl@x.example\r\n");
    check(PLAIN, "Bcc: a@b.example\r\n , Expanded:\r\n\tdl@x.example\r\n");
    check(PLAIN, "Bcc:\r\n a@b.example, Expanded from:\r\n dl@x.example\r\n");
    check(PLAIN, "Bcc: a@b.example, Expanded: dl@x.example,\r\n");
    check(PLAIN, "Bcc: a@b.example, Expanded: dl@x.example ; \r\n");
    let flowed = "Content-Type: text/plain; format=flowed";
    check(flowed, "Bcc: a@b.example, \r\nExpanded: dl@x.example\r\n");
    check(flowed, "Bcc: a@b.example, Expanded: \r\ndl@x.example\r\n");
    check(flowed, "Cc: \r\nBcc: a@b.example, \r\n Expanded: dl@x.example\r\n");
    check(flowed, "Bcc: a@b.example, Expanded: dl@x.example \r\nTo: \r\n");
    check(
        "Content-Type: text/plain; format=Flowed; delsp=yes",
        "Bcc: a@b.exa \r\nmple, Expanded: dl@x. \r\nexample\r\n",
    );
}

#[test]
fn a_flowed_subject_makes_no_statements() {
    let evidence = lines_under("Content-Type: text/plain; format=flowed", "Subject: buy \r\nBcc: x@y.example\r\n");
    assert_eq!(addresses(&evidence), Vec::<&str>::new());
}

#[test]
fn an_escaped_quote_does_not_end_a_local_part() {
    let address = "\"a\\\", Expanded: e@x\"@y.example";
    assert_eq!(addresses(&lines_under(PLAIN, &format!("To: {address}\r\n"))), [address]);
    let evidence = lines_under(PLAIN, &format!("To: {address}, Expanded: dl@x.example\r\n"));
    assert_eq!((addresses(&evidence), evidence.recipients[0].path.len()), (vec![address], 1));
}

#[test]
fn needles_of_rights_management_in_one_line_cost_linear_time() {
    let body = |n: usize, start: &str| {
        let head = "From: a@b.example\nMessage-ID: <o@x>\nContent-Type: multipart/mixed; boundary=q\n\n";
        format!("{head}{start}{}", "application/x-microsoft-rpmsg-message ".repeat(n / 38)).into_bytes()
    };
    let read = |bytes: &[u8]| {
        let best = (0..3).map(|_| busy_with(|| drop(read_mail(bytes).expect("a mail")))).min();
        best.expect("some runs")
    };
    for start in ["", &" ".repeat(400_000)] {
        let (short, long) = (read(&body(400_000, start)), read(&body(1_600_000, start)));
        println!("{short:?} for 0.4 MB, {long:?} for 1.6 MB");
        assert!(long < 8 * short + Duration::from_millis(30), "{short:?}, {long:?}");
    }
    let marked = read_mail(&body(100, "--q\nContent-Type: x\nContent-Type: ")).expect("a mail");
    assert!(marked.flags.contains(&Flag::Encrypted), "{:?}", marked.flags);
}

#[test]
fn the_envelope_headers_of_piler_and_bluemind_are_read() {
    let piler = "X-Piler-Envelope-To: bcc@x.example\r\nX-Piler-Envelope-To: more@x.example\r\nFrom: a@x.example\r\n\
                 To: b@x.example\r\nMessage-ID: <p@x>\r\n\r\nx";
    let evidence = read_mail(piler.as_bytes()).expect("a copy");
    assert_eq!(evidence.form, Form::EnvelopeHeaders);
    assert_eq!(addresses(&evidence), ["b@x.example", "bcc@x.example", "more@x.example"]);
    let bluemind = "Return-Path: <no-reply@x.example>\r\nX-BM-Journaling-Orig-From: a@x.example\r\n\
                    X-BM-Journaling-Orig-To: b@x.example,c@x.example\r\nFrom: n@x.example\r\nMessage-ID: <p@x>\r\n\r\nx";
    let evidence = read_mail(bluemind.as_bytes()).expect("a copy");
    assert_eq!((evidence.form, evidence.sender.as_deref()), (Form::EnvelopeHeaders, Some("a@x.example")));
    assert_eq!(addresses(&evidence), ["b@x.example", "c@x.example"]);
}

#[test]
fn a_report_saved_as_a_file_is_a_wrapped_report() {
    let wrapper = "From: x@y.example\r\nMessage-ID: <w@y.example>\r\n";
    let report = report_of(&[(PLAIN, TEXT.as_bytes()), (MAIL, ORIGINAL.as_bytes())]);
    for name in ["report.eml", "REPORT.EML"] {
        let kind = format!("Content-Type: application/octet-stream; name={name}");
        let evidence = check_whole(name, multipart(wrapper, &[(&kind, &report)]));
        assert_eq!((evidence.kind, evidence.form), (Kind::Report, Form::WrappedReport));
    }
    let kind = "Content-Type: application/octet-stream; name=report.eml";
    let check = |what: &str, bytes: Vec<u8>, flagged: bool| {
        let evidence = read_mail(&bytes).expect("a copy");
        let is_flagged = evidence.flags.contains(&Flag::NotUnderstood);
        assert_eq!((evidence.kind, is_flagged), (Kind::PlainCopy, flagged), "{what}");
    };
    let empty = "From: a@b.example\r\nX-MS-Journal-Report:\r\n\r\nnothing";
    check("nothing of a report in it", multipart(wrapper, &[(kind, empty.as_bytes())]), true);
    check("no report at all", multipart(wrapper, &[(kind, ORIGINAL.as_bytes())]), false);
    check("a person's mail", multipart(wrapper, &[(PLAIN, b"see attached"), (kind, &report)]), false);
    let encoded = format!("{kind}\r\nContent-Transfer-Encoding: base64");
    let evidence = check_whole("within base64", multipart(wrapper, &[(&encoded, &base64(&report))]));
    assert_eq!((evidence.kind, evidence.form), (Kind::Report, Form::WrappedReport));
}

#[test]
fn an_unknown_charset_is_read_as_windows_1252() {
    let kind = format!("{PLAIN}; charset=unknown-8bit");
    let text = b"Sender: s@c.example\r\nTo: jos\xe9@b.example".as_slice();
    let evidence = read_mail(&report_of(&[(&kind, text), (MAIL, ORIGINAL.as_bytes())])).expect("a report");
    assert_eq!(addresses(&evidence), ["jos\u{e9}@b.example"]);
    let evidence = read_mail(&report_of(&[(&kind, "Sender: é@c.example".as_bytes()), (MAIL, ORIGINAL.as_bytes())]));
    assert_eq!(evidence.expect("a report").sender.as_deref(), Some("é@c.example"));
}

/// A line end behind a run of base64 was part of it: the line that followed went to the address before it. And a run that
/// ended with the text was none.
#[test]
fn a_utf_7_text_keeps_its_lines() {
    let text =
        "Sender: s+-1+AEA-c.example\nSubject: 1 +- 1, +ZeVnLIqe\nTo: +AGEAQABi.example\nTo: b+AEA-c+AC4-d\nTo: c@+AGI";
    for (charset, line_end) in [("utf-7", "\r\n"), ("UTF-7", "\n"), ("unicode-1-1-utf-7", "\r\n")] {
        let kind = format!("{PLAIN}; charset={charset}");
        let text = text.replace('\n', line_end);
        let evidence =
            read_mail(&report_of(&[(&kind, text.as_bytes()), (MAIL, ORIGINAL.as_bytes())])).expect("a report");
        assert_eq!(addresses(&evidence), ["a@b.example", "b@c.d", "c@b"], "{charset}");
        assert_eq!(evidence.sender.as_deref(), Some("s+1@c.example"));
        assert_eq!(evidence.subject.as_deref(), Some("1 + 1, 日本語"));
    }
}

/// One line that did not switch back to ASCII made Japanese of all that followed, and Korean and Chinese texts were
/// read as one character that says that they cannot be read.
#[test]
fn a_text_that_switches_its_charset_keeps_its_recipients() {
    let text = "Sender: s@c.example\nSubject: \u{1b}$B<}3O\nTo: b@c.example";
    let charsets =
        ["iso-2022-jp", "CSISO2022JP", "iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext", "hz-gb-2312"];
    for (charset, line_end) in charsets.iter().flat_map(|charset| [(charset, "\n"), (charset, "\r\n")]) {
        let kind = format!("{PLAIN}; charset={charset}");
        let text = text.replace('\n', line_end);
        let evidence =
            read_mail(&report_of(&[(&kind, text.as_bytes()), (MAIL, ORIGINAL.as_bytes())])).expect("a report");
        assert_eq!(addresses(&evidence), ["b@c.example"], "{charset}");
        let is_japanese = evidence.subject.as_deref() == Some("収穫");
        assert_eq!(is_japanese, charset.to_lowercase().ends_with("jp"), "{charset}: {:?}", evidence.subject);
    }
}

#[test]
fn an_address_that_was_read_is_read_as_itself() {
    for wrapped in
        ["<<<50 +0000", "<<a@b.example>>", "smtp:<SMTP:a@b.example>", "< mailto: <a@b.example> >", "<<[EX:/o=A]>"]
    {
        let address = address::Address::of(wrapped);
        assert_eq!(address::Address::of(&address.text), address, "{wrapped}");
        assert_eq!(address::compare_key(&address.text), address.compare_key(), "{wrapped}");
    }
    assert_eq!(address::Address::of("<<SMTP:a@b.example>>").text, "a@b.example");
}

/// It names no status of a recipient, and its report does not say what it is.
#[test]
fn a_journaled_bounce_is_told_as_a_bounce() {
    let bounce = "From: postmaster@x.example\r\nTo: a@x.example\r\nDate: d\r\nX-MS-Embedded-Report:\r\n\
                  Subject: Undeliverable: hello\r\nMessage-ID: <bounce@x.example>\r\n\r\n\
                  Your message did not reach the following recipient(s): b@y.example\r\n";
    let text =
        "Sender: <>\r\nSubject: Undeliverable: hello\r\nMessage-ID: <bounce@x.example>\r\nRecipient: a@x.example\r\n";
    let told = |bytes: Vec<u8>| {
        let mut stage = Stage::new();
        let arrival = stage.mail(0, MONDAY, bytes.into(), None, "journal@x.example");
        stage.turn(vec![arrival]);
        stage.run_until(MONDAY + 3600 * SECOND);
        stage.non_deliveries.len()
    };
    assert_eq!(told(bounce.as_bytes().to_vec()), 1, "as it came");
    assert_eq!(told(report_of(&[(PLAIN, text.as_bytes()), (MAIL, bounce.as_bytes())])), 1, "journaled");
    let reply = bounce.replace("X-MS-Embedded-Report:", "Auto-Submitted: auto-replied").replace("postmaster", "b");
    assert_eq!(told(report_of(&[(PLAIN, text.as_bytes()), (MAIL, reply.as_bytes())])), 0, "a reply");
}
