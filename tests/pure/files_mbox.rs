//! Where the mails of an mbox lie.

use std::{
    borrow::Cow,
    io::{Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use mailjournal::files::mbox;

fn mails_of(name: &str, file: &[u8]) -> (bool, Vec<String>) {
    let mut cursor = Cursor::new(file);
    let (many, spans) = mbox::mails_of(Path::new(name), &mut cursor).expect("memory can be read");
    let mails = spans.iter().map(|span| {
        let mut mail = String::new();
        cursor.seek(SeekFrom::Start(span.start)).expect("memory can be read");
        (&mut cursor).take(span.length).read_to_string(&mut mail).expect("the test's mails are text");
        mail
    });
    (many, mails.collect())
}

fn check(file: &str, expect: &[&str]) {
    assert_eq!(mails_of("box", file.as_bytes()), (true, expect.iter().map(ToString::to_string).collect()), "{file:?}");
    // The same with CRLF line ends.
    let crlf = |text: &str| text.replace('\n', "\r\n");
    if !file.contains("Content-Length") {
        assert_eq!(
            mails_of("box", crlf(file).as_bytes()).1,
            expect.iter().map(|mail| crlf(mail)).collect::<Vec<_>>(),
            "{file:?}"
        );
    }
}

#[test]
fn a_mail_begins_behind_a_from_line() {
    check("From a@b.example Mon Jan  1 00:00:00 2024\nA: 1\n\nx\n", &["A: 1\n\nx\n"]);
    check("From - \nA: 1\n\nx\n\nFrom a@b.example\nB: 2\n\ny\n\n", &["A: 1\n\nx\n", "B: 2\n\ny\n"]);
    // Without the empty line that RFC 4155 wants, the mail keeps its last line end.
    check("From -\nA: 1\n\nx\nFrom -\nB: 2\n\ny", &["A: 1\n\nx\n", "B: 2\n\ny"]);
    check("From a b c\n", &[""]);
    check("From -\nA: 1\n\n\nFrom -\nB: 2\n\n", &["A: 1\n\n", "B: 2\n"]);
    check("\u{feff}From -\nA: 1\n\nx\n", &["A: 1\n\nx\n"]);
    check(
        "From x@y Mon, 1 Jan 2024 10:11 +0000\nA: 1\n\nFrom x@y Mon, 1 Jan 2024 10:11 +0000\nB: 1\n",
        &["A: 1\n", "B: 1\n"],
    );
}

#[test]
fn a_line_of_prose_begins_no_mail() {
    for prose in [
        "From Russia with love\nYear: 1963",
        "From -\n",
        "From a@b.example\nno field",
        "From 2024 to 2025\nA: b",
        "From\nA: b",
    ] {
        let mail = format!("A: 1\n\n{prose}\n");
        check(&format!("From -\n{mail}\n"), &[&mail]);
    }
}

#[test]
fn quoted_lines_stay_as_they_lie() {
    check("From -\nA: 1\n\n>From -\nB: 2\n\n", &["A: 1\n\n>From -\nB: 2\n"]);
}

#[test]
fn content_length_counts_where_every_mail_has_one_that_holds() {
    let forwarded = "From -\nC: 3\n\nz\n";
    let first = format!("A: 1\nContent-Length: {}\n\n{forwarded}", forwarded.len());
    let second = "B: 2\ncontent-LENGTH: 2\n\ny\n";
    check(&format!("From -\n{first}\nFrom -\n{second}\n"), &[&first, second]);
    check(&format!("From -\n{first}From -\n{second}"), &[&first, second]);
    // One without: a sender could have written the other.
    check(
        &format!("From -\n{first}\nFrom -\nB: 2\n\ny\n\n"),
        &[&format!("A: 1\nContent-Length: {}\n", forwarded.len()), "C: 3\n\nz\n", "B: 2\n\ny\n"],
    );
    // One that ends nowhere.
    check(
        "From -\nA: 1\nContent-Length: 7\n\nx\n\nFrom -\nB: 2\n\ny\n",
        &["A: 1\nContent-Length: 7\n\nx\n", "B: 2\n\ny\n"],
    );
    let huge = "From -\nA: 1\nContent-Length: 18446744073709551615\n\nx\n";
    check(huge, &[huge.strip_prefix("From -\n").expect("it begins so")]);
}

#[test]
fn what_begins_otherwise_is_one_mail() {
    let one = |name, file: &str| mails_of(name, file.as_bytes());
    assert_eq!(one("x", "A: 1\n\nFrom -\nB: 2\n"), (false, vec!["A: 1\n\nFrom -\nB: 2\n".to_owned()]));
    assert_eq!(one("x", ""), (false, vec![String::new()]));
    assert_eq!(one("x.mbox", ""), (true, vec![]));
    assert_eq!(one("x.EML", "From -\nA: 1\n\nFrom -\nB: 2\n"), (false, vec!["A: 1\n\nFrom -\nB: 2\n".to_owned()]));
}

#[test]
fn mboxrd_quoting_is_undone_exactly() {
    let check =
        |quoted: &str, plain: &str| assert_eq!(mbox::unquote(quoted.as_bytes()), plain.as_bytes(), "{quoted:?}");
    check(
        ">From a\n>>From b\n> From c\nx >From d\n>Fromage\n>>From e",
        "From a\n>From b\n> From c\nx >From d\n>Fromage\n>From e",
    );
    check("a\r\n>From b\r\n\r\n>From ", "a\r\nFrom b\r\n\r\nFrom ");
    assert!(matches!(mbox::unquote(b"A: 1\n\n> a >From b\n"), Cow::Borrowed(_)));
}

#[test]
fn a_line_and_a_header_of_any_length_are_split_in_bounded_memory() {
    let long = "x".repeat(3 << 20);
    let file = format!("From -\nA: {long}\n\n{long}\nFrom -\nB: 2\n\ny\n");
    assert_eq!(mails_of("box", file.as_bytes()).1, [format!("A: {long}\n\n{long}\n"), "B: 2\n\ny\n".to_owned()]);
}

#[test]
fn a_header_block_ends_with_its_empty_line() {
    let check = |mail: &str, block: &str| {
        let whole = mbox::Span { start: 0, length: mail.len() as u64 };
        let read = mbox::header_block(&mut Cursor::new(mail), whole).expect("memory can be read");
        assert_eq!(String::from_utf8_lossy(&read), block);
    };
    check("A: 1\n\nbody", "A: 1\n\n");
    check("A: 1\r\n\r\nbody", "A: 1\r\n\r\n");
    check("\nbody", "\n");
    check("\r\nbody", "\r\n");
    check("A: 1", "A: 1");
    // The empty line across the first read's end.
    for length in 8180..8200 {
        let header = format!("A: {}\r\n\r\n", "x".repeat(length));
        check(&format!("{header}body\r\n\r\n"), &header);
    }
}

/// Another program's offsets for mails that nobody here wrote, in LF and CRLF form.
#[test]
fn mails_lie_where_mimekit_finds_them() {
    let Some(folder) = corpus().map(|corpus| corpus.join("mimekit/UnitTests/TestData/mbox")) else { return };
    for (name, mails) in [("content-length", 29), ("issue1189", 4)] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.mbox.txt"))).expect("the corpus can be read");
        for (form, text) in [("unix", text.clone()), ("dos", text.replace('\n', "\r\n"))] {
            let oracle =
                std::fs::read(folder.join(format!("{name}.{form}-offsets.json"))).expect("the corpus can be read");
            let oracle: Vec<serde_json::Value> =
                serde_json::from_slice(oracle.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&oracle)).expect("it is JSON");
            let spans = mbox::split(&mut Cursor::new(&text)).expect("memory can be read");
            assert_eq!((spans.len(), oracle.len()), (mails, mails), "{name} {form}");
            for (span, told) in spans.iter().zip(&oracle) {
                assert_eq!(Some(span.start), told["beginOffset"].as_u64(), "{name} {form}");
                // MimeKit always counts the line end before the next From_ line as the mbox's; here it is the mail's
                // unless an empty line follows it.
                let end = told["endOffset"].as_u64().expect("a number");
                let line_end = if form == "dos" { 2 } else { 1 };
                assert!([end, end + line_end].contains(&(span.start + span.length)), "{name} {form} {span:?} {end}");
            }
        }
    }
    let unmunged = std::fs::read(folder.join("unmunged.mbox.txt")).expect("the corpus can be read");
    assert_eq!(mails_of("unmunged", &unmunged).1.len(), 2);
}

/// The mails that nobody here wrote, where they are.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("MAILJOURNAL_CORPUS").map_or(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no corpus at {}", path.display());
    println!("no corpus at {}: nothing to read (set MAILJOURNAL_CORPUS)", path.display());
    None
}
