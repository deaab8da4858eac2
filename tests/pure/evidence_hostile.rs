//! Mails made to hurt: truncated, huge, deep, full of delimiters. Nothing panics, and cost is linear in the bytes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mailjournal::{
    arrival::Format,
    evidence::{EnvelopeEvent, Evidence, Flag, Kind, original_bytes, read_mail},
    limits,
    mail::Digest,
};

use crate::evidence_forms::{fixtures, with_line_ends};

const OUTER: &str = "From: alice@contoso.example\nX-MS-Journal-Report:\nMessage-ID: <r@contoso.example>\n\
                     Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n\
                     Sender: alice@contoso.example\nMessage-ID: <o@contoso.example>\n";
const ORIGINAL: &str =
    "\n--b\nContent-Type: message/rfc822\n\nFrom: alice@contoso.example\nMessage-ID: <o@contoso.example>\n\n";

/// A report with these lines in its text and this body in its original.
fn report(lines: &str, body: &str) -> Vec<u8> {
    [OUTER, lines, ORIGINAL, body, "\n--b--\n"].concat().into_bytes()
}

/// Built without optimisation the same code is fifty times slower: then the sizes are smaller.
const OPTIMISED: bool = !cfg!(debug_assertions);

#[test]
fn every_truncation_of_every_fixture_is_read_without_panic() {
    for (name, bytes) in fixtures() {
        for bytes in [bytes.clone(), with_line_ends(&bytes, "\r\n")] {
            let every = if OPTIMISED || ["exchange-online", "dsn"].contains(&name.as_str()) { 1 } else { 11 };
            for end in (0..bytes.len()).step_by(every) {
                let Ok(evidence) = read_mail(&bytes[..end]) else { continue };
                let arrival = Bytes::copy_from_slice(&bytes[..end]);
                for original in evidence.originals {
                    original_bytes(&arrival, Format::Mail, &original.place).expect(&name);
                }
            }
        }
    }
}

#[test]
fn what_is_no_mail_is_rejected_with_a_reason() {
    let check = |bytes: &[u8], reason: &str| assert_eq!(read_mail(bytes).expect_err("no mail").reason, reason);
    check(b"", "empty");
    check(b"\0\0\0\0", "not-a-mail");
    check(b"{\"not\": \"a mail\"}", "not-a-mail");
    check(b"just some text\n\nwithout a header: field\n", "not-a-mail");
    check(b"\nFrom: behind@an.empty.line\n\n", "not-a-mail");
    check(&[0xFF, 0xFE, b'F', b'r', b'o', b'm', b':'], "not-a-mail");
}

#[test]
fn a_hundred_thousand_recipients_are_all_kept() {
    let lines: String =
        (0..100_000).map(|n| format!("Bcc: user{n}@contoso.example, Expanded: all@contoso.example\n")).collect();
    let evidence = read_mail(&report(&lines, "body")).expect("a report");
    assert_eq!(evidence.recipients.len(), 100_000);
    assert_eq!(evidence.recipients[99_999].address.text, "user99999@contoso.example");
    assert!(evidence.flags.is_empty(), "{:?}", evidence.flags);
}

#[test]
fn a_huge_mail_is_cut_exactly() {
    let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\n"
        .repeat(if OPTIMISED { 25_000_000 } else { 1_000_000 } / 75);
    let bytes = Bytes::from(report("To: bob@contoso.example\n", &body));
    let started = Instant::now();
    let evidence = read_mail(&bytes).expect("a report");
    println!("{} MB read in {:?}", bytes.len() / 1_000_000, started.elapsed());
    let original = original_bytes(&bytes, Format::Mail, &evidence.originals[0].place).expect("a cut");
    assert!(original.ends_with(body.as_bytes()));
}

#[test]
fn levels_beyond_the_limit_are_not_looked_into() {
    let mut deep =
        String::from("From: a@b.example\nX-MS-Journal-Report:\nContent-Type: multipart/mixed; boundary=l0\n\n");
    (1..=1000).for_each(|n| deep.push_str(&format!("--l{}\nContent-Type: multipart/mixed; boundary=l{n}\n\n", n - 1)));
    let evidence = read_mail(deep.as_bytes()).expect("a mail");
    assert_eq!(evidence.kind, Kind::PlainCopy);
    assert_eq!(evidence.flags, [Flag::MessageIdMissing, Flag::NotUnderstood, Flag::Truncated]);
    let nested = "Content-Type: message/rfc822\n\n".repeat(1000);
    let evidence = read_mail(report("To: bob@contoso.example\n", &nested).as_slice()).expect("a report");
    assert_eq!(evidence.kind, Kind::Report);
}

#[test]
fn a_lone_carriage_return_smuggles_in_no_line() {
    let mail = "From: a@contoso.example\nSubject: hello\rBcc: victim@contoso.example\rX-MS-Journal-Report:\nTo: b@contoso.example\n\nbody\n";
    let evidence = read_mail(mail.as_bytes()).expect("a mail");
    assert_eq!((evidence.kind, evidence.recipients.len()), (Kind::PlainCopy, 1));
}

/// A mail of about so many bytes.
type Make = fn(usize) -> Vec<u8>;

/// What costs more than linear time in a careless reader.
const LINEAR: &[(&str, Make)] = &[
    ("recipient lines", |n| report(&"To: somebody@contoso.example, Expanded: x@contoso.example\n".repeat(n / 58), "")),
    ("one recipient line, many addresses", |n| report(&format!("To: {}\n", "a@b.example,".repeat(n / 12)), "")),
    ("addresses and redirections in one line", |n| {
        report(&format!("To: {}{}\n", "a@b.example,".repeat(n / 24), ", Expanded: c@d".repeat(n / 30)), "")
    }),
    ("a recipient line without addresses", |n| report(&format!("To: {}\n", "a,".repeat(n / 2)), "")),
    ("colons in a recipient line", |n| report(&format!("To: x{}@\n", ":".repeat(n)), "")),
    ("spaces in a recipient line", |n| report(&format!("To: {}{}\n", " ".repeat(n / 2), "a,".repeat(n / 4)), "")),
    ("continuation lines", |n| {
        report(&format!("To: a@b.example\n{}", "  Expanded: x@contoso.example\n".repeat(n / 30)), "")
    }),
    ("folded subject", |n| report(&format!("Subject: a\n{}", " b\n".repeat(n / 3)), "")),
    ("header fields", |n| format!("{}\nbody", "a: b\n".repeat(n / 5)).into_bytes()),
    ("one long header line", |n| format!("Subject: {}\n\nbody", "x".repeat(n)).into_bytes()),
    ("openings of encoded words", |n| {
        format!("From: {} <a@b.example>\nSubject: {}\n\n", "=?".repeat(n / 4), "=?a?Q?".repeat(n / 12)).into_bytes()
    }),
    ("commas and quotes in To", |n| format!("To: {}{}\n\n", "a,".repeat(n / 4), "\"(<".repeat(n / 6)).into_bytes()),
    ("parameters of a content type", |n| {
        format!("Content-Type: multipart/mixed{}\n\n", "; a*1*=b".repeat(n / 8)).into_bytes()
    }),
    ("folds within a recipient", |n| {
        report(&format!("To: a@b.example\n{}", " , Expanded:\n c@d\n".repeat(n / 19)), "")
    }),
    ("quotes and addresses in one line", |n| report(&format!("To: {}\n", "\"x <a@b.example> ".repeat(n / 17)), "")),
    ("unclosed comments of a content type", |n| format!("Content-Type: {}\n\n", "(".repeat(n)).into_bytes()),
    ("comments of a Message-ID", |n| {
        format!("Message-ID: {}{}\n\n", "(a)".repeat(n / 6), "(".repeat(n / 2)).into_bytes()
    }),
    ("flowed lines", |n| {
        let flowed = String::from_utf8(report(&format!("To: {}", "a@b.example, \n".repeat(n / 14)), "")).expect("text");
        flowed.replace("text/plain", "text/plain; format=flowed; delsp=yes").into_bytes()
    }),
    ("delimiters", |n| report("", &"\n--b".repeat(n / 4))),
    ("dashes", |n| report("", &"-".repeat(n))),
    ("near delimiters", |n| report("", &"\n--b         x".repeat(n / 13))),
    ("empty lines", |n| report(&"\n".repeat(n / 2), &"\n".repeat(n / 2))),
    ("NUL bytes", |n| report(&"\0".repeat(n / 2), &"\0".repeat(n / 2))),
    ("CR line ends", |n| {
        String::from_utf8(report(&"To: a@b.example\n".repeat(n / 16), ""))
            .expect("text")
            .replace('\n', "\r")
            .into_bytes()
    }),
    ("groups of a delivery status", |n| status("Final-Recipient: rfc822;a@b.example\n\n".repeat(n / 38), "\n")),
    ("groups with CR line ends", |n| status("Final-Recipient: rfc822;a@b.example\n\n".repeat(n / 38), "\r")),
    ("openings of HTML tags", |n| html(&"<".repeat(n))),
    ("hidden HTML", |n| html(&"<style><".repeat(n / 8))),
    ("HTML character references", |n| html(&"&amp".repeat(n / 4))),
    ("references", |n| format!("Auto-Submitted: auto-replied\nReferences: {}\n\n", "<a@b>".repeat(n / 5)).into_bytes()),
];

fn status(groups: String, end: &str) -> Vec<u8> {
    let head = "From: a@b.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n";
    let mail = format!("{head}--b\nContent-Type: message/delivery-status\n\n{groups}\n--b--\n");
    mail.replace('\n', end).into_bytes()
}

fn html(text: &str) -> Vec<u8> {
    let mail = String::from_utf8(report("", "")).expect("text");
    mail.replace("text/plain", "text/html").replace("Sender:", &format!("{text}Sender:")).into_bytes()
}

/// The shortest of a few readings.
fn busy(bytes: &[u8]) -> Duration {
    (0..5).map(|_| busy_with(|| drop(read_mail(bytes).expect("a mail")))).min().expect("some runs")
}

/// How long some work kept a processor busy: what else the machine does counts as little as it can.
pub fn busy_with(work: impl FnOnce()) -> Duration {
    let (started, before) = (Instant::now(), on_processor());
    work();
    let whole = started.elapsed();
    on_processor().zip(before).map_or(whole, |(after, before)| (after - before).min(whole))
}

/// This thread's time on a processor so far, where the system tells (Linux).
fn on_processor() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// A boundary of 990 dashes, in a line that is nothing but dashes: a delimiter seems to begin at each of them.
#[test]
fn a_line_of_dashes_costs_no_more_than_any_other() {
    let size = if OPTIMISED { 4_000_000 } else { 200_000 };
    let mail = |line: &str| {
        let boundary = "-".repeat(990);
        format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\n\n{}", line.repeat(size))
            .into_bytes()
    };
    let (dashes, letters) = (mail("-"), mail("x"));
    let cheap = || busy(&dashes) < 8 * busy(&letters) + Duration::from_millis(5);
    assert!((0..3).any(|_| cheap()));
}

#[test]
fn cost_is_linear_in_the_bytes() {
    let size = if OPTIMISED { 1_000_000 } else { 50_000 };
    for (name, make) in LINEAR {
        let (single, double) = (make(size), make(2 * size));
        assert!(single.len() >= size / 2 && double.len() >= single.len() * 9 / 5, "{name} does not grow");
        let (short, long) = (busy(&single), busy(&double));
        println!(
            "{name}: {:.2} ms for {} kB, {:.2} ms for {} kB",
            ms(short),
            single.len() / 1000,
            ms(long),
            double.len() / 1000
        );
        assert!(ms(long) <= 3.5 * ms(short) + 30.0, "{name}: {short:?} for half of what takes {long:?}");
    }
}

/// Groups of two bytes each took 260 times their size. Linux, where a shell bounds what a program may take.
#[cfg(target_os = "linux")]
#[test]
fn a_notice_of_very_many_groups_takes_little_memory() {
    for group in ["A:\n\n", "Action: failed\n\n"] {
        let mail = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(mail.path(), status(group.repeat(2_000_000 / group.len()), "\n")).expect("a mail");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -v 400000 && exec \"$0\" report show \"$1\"", env!("CARGO_BIN_EXE_mailjournal")]);
        // Each thread and each of the allocator's arenas reserves room that it does not use.
        shell.arg(mail.path()).env("RAYON_NUM_THREADS", "1").env("MALLOC_ARENA_MAX", "1");
        let output = shell.output().expect("a shell");
        assert!(output.status.success(), "{group:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Bytes of Avro that the evidence takes in the changelog.
fn kept(evidence: &Evidence) -> usize {
    mailjournal::avro::encode_datum(evidence).len()
}

/// A line gives each of its recipients the hops behind it: 200 KB once became 176 MB.
#[test]
fn a_small_report_does_not_become_much_evidence() {
    let hops = ", Expanded: list@contoso.example".repeat(16);
    let long = format!(", Expanded: {}@contoso.example", "l".repeat(100_000));
    for hops in [hops, long] {
        let bytes = report(&format!("To: {}{hops}\n", "a@b,".repeat(20_000)), "");
        let evidence = read_mail(&bytes).expect("a mail");
        assert_eq!(evidence.recipients.len(), 20_000);
        assert!(kept(&evidence) < limits::REPORT_PATH_BYTES_MAX + 20 * 20_000, "{} bytes", kept(&evidence));
        assert!(evidence.flags.contains(&Flag::Truncated));
    }
}

#[test]
fn a_million_recipients_are_kept_and_what_does_not_fit_a_changelog_entry_is_flagged() {
    let event = |count: usize, pad: usize| {
        let recipients: Vec<String> = (0..count)
            .map(|number| format!("{{\"address\": \"{}@contoso.example\"}}", format!("{number:0>10}").repeat(pad / 10)))
            .collect();
        let line = format!(
            "{{\"server\": \"ex1\", \"stage\": \"SENT\", \"at\": 0, \"message_id\": \"<a@b>\", \"recipients\": [{}]}}",
            recipients.join(",")
        );
        EnvelopeEvent::from_json(line.as_bytes())
            .expect("an event")
            .to_evidence(Digest::of(b"event"))
            .expect("evidence")
    };
    let million = event(1_000_000, 10);
    assert_eq!((million.recipients.len(), million.flags.contains(&Flag::Truncated)), (1_000_000, false));
    assert!(kept(&million) < limits::EVIDENCE_BYTES_MAX);
    let wide = event(60, 1_000_000);
    assert!(wide.recipients.len() > 40 && wide.recipients.len() < 60 && wide.flags.contains(&Flag::Truncated));
    assert!(kept(&wide) <= limits::EVIDENCE_BYTES_MAX);
}

#[test]
fn long_names_do_not_become_evidence() {
    let name = "n".repeat(200_000);
    let bytes = report(&format!("To: \"{name}\" <a@contoso.example>\nOn-Behalf-Of: {name}@contoso.example\n"), "");
    let evidence = read_mail(&bytes).expect("a mail");
    assert_eq!(evidence.recipients[0].address.text, "a@contoso.example");
    assert_eq!(evidence.on_behalf_of, None);
    assert!(evidence.flags.contains(&Flag::Truncated) && kept(&evidence) < 8_000);
}
