//! Which arrivals a path stands for, in which order, at which time.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use mailjournal::files::{Cursor, FilesError, Index, path_text, read::Reader};
use tempfile::TempDir;

use crate::evidence_hostile::busy_with;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

fn mail(received_second: u32, text: &str) -> String {
    format!("Received: from a by b; Mon, 1 Jan 2024 00:00:{received_second:02} +0000\nSubject: {text}\n\n{text}\n")
}

const ZERO: i64 = 1_704_067_200_000;

fn index(folder: &Path, inputs: &[&str]) -> Result<Index, FilesError> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|input| folder.join(input)).collect();
    Index::build(&inputs, &folder.join("../out-of-it"), "", &AtomicBool::new(false), &mut |_| {})
}

/// Every arrival as `topic letter and offset, seconds, source`, in reading order.
fn read(folder: &Path, inputs: &[&str]) -> Vec<String> {
    let index = index(folder, inputs).expect("the input is right");
    let mut reader = Reader::new(index, false);
    let mut cursor = Cursor::default();
    let mut read = Vec::new();
    while let Some(next) = reader.next(&mut cursor).expect("it can be read") {
        let arrival = next.arrival;
        let source = arrival.source.expect("files say where an arrival came from");
        let source = source.strip_prefix(&format!("{}/", folder.display())).expect("it lies in the folder");
        let topic = format!("{:?}", arrival.position.input).to_lowercase();
        let seconds = (arrival.at.0 - ZERO) / 1000;
        let wrong = if next.rejection.is_some() { " rejected" } else { "" };
        read.push(format!("{}{} {seconds}s {source}{wrong}", &topic[..1], arrival.position.offset));
    }
    read
}

fn check(files: &[(&str, &str)], expect: &[&str]) {
    let folder = folder(files);
    assert_eq!(read(folder.path(), &["in"]), expect);
}

#[test]
fn a_folder_is_read_in_name_order_with_all_below_it() {
    let (a, b, c) = (mail(30, "a"), mail(10, "b"), mail(20, "c"));
    check(
        &[("in/b/2.eml", &b), ("in/a", &a), ("in/c", &c), ("in/.hidden", &c), ("in/.git/x", &c)],
        &["r0 30s in/a", "r1 10s in/b/2.eml", "r2 20s in/c"],
    );
}

#[test]
fn a_mail_without_a_time_came_with_the_one_before_it() {
    let (b, d) = (mail(10, "b"), mail(20, "d"));
    check(
        &[("in/a", "no: time\n\n"), ("in/b", &b), ("in/c", "\n"), ("in/d", &d)],
        &["r0 10s in/a", "r1 10s in/b", "r2 10s in/c", "r3 20s in/d"],
    );
}

#[test]
fn a_maildir_is_read_by_the_names_of_its_mails() {
    let (a, b, c) = (mail(1, "a"), mail(2, "b"), mail(3, "c"));
    check(
        &[
            ("in/cur/1.a:2,S", &a),
            ("in/cur/3.c:2,", &c),
            ("in/new/2.b", &b),
            ("in/tmp/4.d", &c),
            ("in/dovecot-uidlist", "x"),
            ("in/.Sent/cur/5.e", &c),
            ("in/.Sent/new/.keep", ""),
            ("in/.Sent/tmp/x", ""),
        ],
        &["r0 1s in/cur/1.a:2,S", "r1 2s in/new/2.b", "r2 3s in/cur/3.c:2,", "r3 3s in/.Sent/cur/5.e"],
    );
}

#[test]
fn an_mbox_is_read_in_its_order_and_its_sources_have_offsets() {
    let (a, b) = (mail(20, "a"), mail(10, "b"));
    check(&[("in/x.mbox", &format!("From -\n{a}\nFrom -\n{b}\n"))], &["r0 20s in/x.mbox@7", "r1 10s in/x.mbox@83"]);
}

#[test]
fn arrivals_are_read_by_the_time_their_list_tells() {
    let (a, b, c) = (mail(1, "a"), mail(2, "b"), mail(25, "c"));
    let list = format!(
        "{{\"file\":\"b\",\"received_at\":{}}}\n\n  {{\"file\":\"a\",\"received_at\":{}}}\r\n{{\"file\":\"a\"}}",
        ZERO + 30_000,
        ZERO + 20_000
    );
    // Named twice it came twice; what the list does not name is read at its own time.
    check(
        &[("in/a", &a), ("in/b", &b), ("in/c", &c), ("in/arrivals.jsonl", &list)],
        &["r0 1s in/a", "r1 20s in/a", "r2 25s in/c", "r3 30s in/b"],
    );
}

#[test]
fn a_list_names_the_mails_of_an_mbox_in_turn_or_by_offset() {
    let (a, b, c) = (mail(1, "a"), mail(2, "b"), mail(3, "c"));
    let mbox = format!("From -\n{a}\nFrom -\n{b}\nFrom -\n{c}\n");
    let list = |file: &str, second: i64| format!("{{\"file\":\"{file}\",\"received_at\":{}}}\n", ZERO + second * 1000);
    check(
        &[("in/x", &mbox), ("in/arrivals.jsonl", &(list("x@159", 50) + &list("x", 60) + &list("x", 40)))],
        &["r0 40s in/x@83", "r1 50s in/x@159", "r2 60s in/x@7"],
    );
}

#[test]
fn both_topics_are_merged_by_time_and_a_mail_goes_first() {
    let (a, b) = (mail(10, "a"), mail(20, "b"));
    let event = |at: i64, received: &str| {
        format!(
            "{{\"server\":\"s\",\"stage\":\"SENT\",\"message_id\":\"<a@b>\",\"at\":{}{received}}}\n",
            ZERO + at * 1000
        )
    };
    let received = format!(",\"received_at\":{}", ZERO + 15_000);
    let events = event(20, "") + &event(10, "") + "{nonsense\n" + &event(99, &received);
    let third = event(20, "").len() + event(10, "").len();
    let expect = [
        "r0 10s in/a".to_owned(),
        format!("e0 10s in/envelopes.jsonl@{}", event(20, "").len()),
        format!("e1 10s in/envelopes.jsonl@{third} rejected"),
        format!("e2 15s in/envelopes.jsonl@{}", third + "{nonsense\n".len()),
        "r1 20s in/b".to_owned(),
        "e3 20s in/envelopes.jsonl@0".to_owned(),
    ];
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    check(&[("in/a", &a), ("in/b", &b), ("in/envelopes.jsonl", &events)], &expect);
}

#[test]
fn several_paths_are_merged_by_time() {
    let (a, b, c) = (mail(30, "a"), mail(10, "b"), mail(20, "c"));
    let folder = folder(&[("x/1", &b), ("x/2", &a), ("y/1", &c), ("one.eml", &c)]);
    let expect = ["r0 10s x/1", "r1 20s one.eml", "r2 20s y/1", "r3 30s x/2"];
    assert_eq!(read(folder.path(), &["x", "one.eml", "y"]), expect);
}

#[test]
fn a_folder_within_that_has_lists_is_a_source_of_its_own() {
    let (a, b) = (mail(30, "a"), mail(10, "b"));
    let list = format!("{{\"file\":\"b\",\"received_at\":{}}}\n", ZERO + 5_000);
    check(&[("in/a", &a), ("in/d/b", &b), ("in/d/arrivals.jsonl", &list)], &["r0 5s in/d/b", "r1 30s in/a"]);
}

#[test]
fn what_is_still_to_come_bounds_the_time() {
    let (a, b, c) = (mail(30, "a"), mail(10, "b"), mail(20, "c"));
    let folder = folder(&[("in/a", &a), ("in/b", &b), ("in/c", &c)]);
    let index = index(folder.path(), &["in"]).expect("the input is right");
    let mut cursor = Cursor::default();
    let mut floors = Vec::new();
    loop {
        floors.push(index.floor(cursor).map(|floor| (floor.0 - ZERO) / 1000));
        if index.next(&mut cursor).is_none() {
            break;
        }
    }
    assert_eq!(floors, [Some(10), Some(10), Some(20), None]);
}

#[test]
fn a_list_that_is_wrong_is_told_with_its_line() {
    let a = mail(1, "a");
    let check = |list: &str, expect: &str| {
        let folder =
            folder(&[("in/a", &a), ("in/box", &format!("From -\n{a}\nFrom -\n{a}\n")), ("in/arrivals.jsonl", list)]);
        match index(folder.path(), &["in"]) {
            Err(FilesError::Usage(text)) => assert!(text.contains(expect), "{text}"),
            other => panic!("{list:?} gives {other:?}"),
        }
    };
    check(
        "{\"file\":\"a\"}\n{\"file\":\"gone\"}\n",
        "arrivals.jsonl line 2: it names gone, which is not there: put the file back",
    );
    check("\n{\"file\":7}\n", "arrivals.jsonl line 2: it is not a description of a mail");
    check("{\"received_at\":7}", "arrivals.jsonl line 1");
    check(
        "{\"file\":\"box\"}\n{\"file\":\"box\"}\n{\"file\":\"box\"}\n",
        "line 3: it is line 3 for box, which has 2 mails",
    );
    check("{\"file\":\"box@8\"}\n", "line 1: no mail of box begins at byte 8");
}

#[test]
fn a_path_that_is_wrong_is_told() {
    let folder = folder(&[("in/a", "x"), ("in/arrivals.jsonl", "")]);
    let check = |input: &str, out: &str, expect: &str| {
        let out = folder.path().join(out);
        match Index::build(&[folder.path().join(input)], &out, "", &AtomicBool::new(false), &mut |_| {}) {
            Err(FilesError::Usage(text)) => assert!(text.contains(expect), "{text}"),
            other => panic!("{input} gives {other:?}"),
        }
    };
    check("gone", "out", "gone is not there: name folders of mails");
    check("in/arrivals.jsonl", "out", "name the folder");
    check("in", "in/out", "lies within the input");
    check("in", "in", "lies within the input");
    check("in", "out/../in/./deep/er", "lies within the input");
}

#[test]
fn every_bad_line_is_told_at_once() {
    let a = mail(1, "a");
    let lines: Vec<String> = (0..30).map(|number| format!("{{\"file\":\"gone-{number}\"}}")).collect();
    let folder = folder(&[("in/a", &a), ("in/arrivals.jsonl", &lines.join("\n")), ("in/b/arrivals.jsonl", "{\n")]);
    let Err(FilesError::Usage(text)) = index(folder.path(), &["in"]) else { panic!("30 lines are wrong") };
    assert_eq!(text.lines().count(), 21, "{text}");
    assert!(text.contains("b/arrivals.jsonl line 1: it is not a description"), "{text}");
    assert!(text.contains("arrivals.jsonl line 19: it names gone-18") && text.ends_with("and 11 more lines are wrong"));
}

/// A file without line ends would be read into memory whole.
#[test]
fn a_line_of_no_bounded_length_is_refused() {
    let folder = folder(&[("in/envelopes.jsonl", "\n")]);
    let list = std::fs::File::create(folder.path().join("in/envelopes.jsonl")).expect("a file");
    list.set_len(mailjournal::limits::LIST_LINE_BYTES_MAX + 1).expect("a file with a hole");
    match index(folder.path(), &["in"]) {
        Err(FilesError::Usage(text)) => assert!(text.contains("envelopes.jsonl line 1: it is longer than"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// Found by the fuzzing of lists: such a name made lines of its own among the errors.
#[test]
fn a_name_in_a_list_stays_on_the_line_that_tells_of_it() {
    let a = mail(1, "a");
    for name in ["gone\\nline 7: all is well", "../\\r\\u001b[2J", "a@7\\n", "a@7"] {
        let folder = folder(&[("in/a", &a), ("in/arrivals.jsonl", &format!("{{\"file\":\"{name}\"}}\n"))]);
        let Err(FilesError::Usage(text)) = index(folder.path(), &["in"]) else { panic!("{name} is wrong") };
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let long = "x".repeat(100_000);
    let folder = folder(&[("in/a", &a), ("in/arrivals.jsonl", &format!("{{\"file\":\"{long}\"}}\n"))]);
    let Err(FilesError::Usage(text)) = index(folder.path(), &["in"]) else { panic!("a name of no file") };
    assert!(text.len() < 1_000, "{} bytes", text.len());
}

/// Each line was looked for among all mails of its mbox.
#[test]
fn a_list_of_a_large_mbox_is_read_in_linear_time() {
    let mail = "From a@x.example Mon Mar  2 08:00:00 2026\nA: b\n\nc\n\n";
    let count = 40_000;
    let mut list = String::new();
    for number in (0..count).rev() {
        let start = number * mail.len() + mail.find('A').expect("a field");
        list.push_str(&format!("{{\"file\":\"box.mbox@{start}\",\"received_at\":1}}\n"));
    }
    let folder = folder(&[("in/box.mbox", &mail.repeat(count)), ("in/arrivals.jsonl", &list)]);
    let mut read = None;
    let busy = busy_with(|| read = Some(index(folder.path(), &["in"])));
    assert_eq!(read.expect("it was read").expect("no line is wrong").arrivals(), count as u64);
    assert!(busy.as_millis() < 2_500, "{count} lines took {busy:?}");
}

/// A list that came with somebody's export could publish any file of this machine.
#[test]
fn a_list_names_nothing_outside_its_folder() {
    let (a, secret) = (mail(1, "a"), mail(2, "secret"));
    let folder = folder(&[("in/a", &a), ("secret", &secret)]);
    for name in
        ["../secret".to_owned(), "b/../../secret".to_owned(), folder.path().join("secret").display().to_string()]
    {
        let list = format!("{{\"file\":\"./a\"}}\n{{\"file\":\"{name}\"}}\n");
        std::fs::write(folder.path().join("in/arrivals.jsonl"), list).expect("a file");
        match index(folder.path(), &["in"]) {
            Err(FilesError::Usage(text)) => {
                let expect = format!("arrivals.jsonl line 2: it names {name}, which lies outside the folder");
                assert!(text.contains(&expect), "{text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_link_that_leads_nowhere_is_no_arrival() {
    let a = mail(1, "a");
    let folder = folder(&[("in/a", &a)]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("in/dangling")).expect("a link");
    std::os::unix::fs::symlink("a", folder.path().join("in/link")).expect("a link");
    let index = index(folder.path(), &["in"]).expect("it is passed over");
    assert_eq!((index.arrivals(), index.skipped), (2, 1));
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let arguments = ["collate", &input.display().to_string(), "--out", &out.display().to_string()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = crate::cli::ended(&mut crate::cli::program(&arguments));
    assert!(ended.code == Some(0) && ended.err.contains("in/dangling") && ended.err.contains("WARN"), "{ended:?}");
}

/// Nobody writes to it: whoever opened it would wait for ever.
#[test]
fn a_pipe_is_never_opened() {
    let folder = folder(&[("in/a", &mail(1, "a"))]);
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::os::unix::fs::symlink("../pipe", folder.path().join("in/link")).expect("a link");
    assert_eq!(index(folder.path(), &["in"]).expect("it is passed over").arrivals(), 1);
    match index(folder.path(), &["pipe"]) {
        Err(FilesError::Usage(text)) => assert!(text.contains("neither a file nor a folder"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// What the ledger tells of a file leads back to the file, whatever bytes its name has.
#[test]
fn a_source_leads_back_to_its_file() {
    let check = |name: &[u8], text: &str| {
        assert_eq!(path_text(Path::new(OsStr::from_bytes(name))), text);
        assert_eq!(unescaped(text), name, "{text}");
    };
    check(b"in/plain name.eml", "in/plain name.eml");
    check("in/Grüße 100%.eml".as_bytes(), "in/Grüße 100%.eml");
    check(b"in/Gr\xfc\xdfe.eml", "in/Gr%FC%DFe.eml");
    check(b"in/Gr%FC%DFe.eml", "in/Gr%25FC%25DFe.eml");
    check(b"%25", "%2525");
    check(b"%2%41%", "%2%2541%");
    check(b"%\xff", "%%FF");
    check(b"%4\xff", "%4%FF");
    check("\u{fffd}".as_bytes(), "\u{fffd}");
    let folder = folder(&[("in/a", &mail(1, "a"))]);
    let named = folder.path().join("in").join(OsStr::from_bytes(b"\xe4.eml"));
    // Some file systems take UTF-8 only.
    if std::fs::write(&named, mail(2, "b")).is_ok() {
        assert_eq!(read(folder.path(), &["in"]), ["r0 1s in/a", "r1 2s in/%E4.eml"]);
    }
}

/// As `urllib.parse.unquote_to_bytes` of Python and its like have it.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|hex| *first == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[test]
fn the_fingerprint_knows_paths_sizes_and_manner() {
    let fingerprint = |folder: &TempDir, manner: &str| {
        let index = Index::build(
            &[folder.path().join("in")],
            &folder.path().join("out"),
            manner,
            &AtomicBool::new(false),
            &mut |_| {},
        );
        index.expect("the input is right").fingerprint
    };
    let folder = folder(&[("in/a", "x")]);
    let first = fingerprint(&folder, "");
    assert_eq!(first, fingerprint(&folder, ""));
    assert_ne!(first, fingerprint(&folder, "mboxrd"));
    std::fs::write(folder.path().join("in/a"), "xy").expect("a file");
    let longer = fingerprint(&folder, "");
    assert_ne!(first, longer);
    std::fs::write(folder.path().join("in/b"), "").expect("a file");
    assert_ne!(longer, fingerprint(&folder, ""));
}

/// One longer than before was cut to its former length, and nobody was told.
#[test]
fn a_file_that_changed_since_it_was_found_is_told() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("longer", |path| std::fs::write(path, mail(30, "a longer text")).expect("a file")),
        ("shorter", |path| std::fs::write(path, "x").expect("a file")),
        ("of the same length", |path| {
            std::fs::write(path, mail(30, "b")).expect("a file");
            let file = std::fs::File::options().write(true).open(path).expect("a file");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
        }),
        ("another's", |path| {
            std::fs::write(path.with_extension("new"), mail(1, "quite another")).expect("a file");
            std::fs::rename(path.with_extension("new"), path).expect("a file");
        }),
    ];
    for (how, change) in changes {
        let (a, b) = (mail(10, "b"), mail(30, "a"));
        let folder = folder(&[("in/a", &a), ("in/b", &b)]);
        let mut reader = Reader::new(index(folder.path(), &["in"]).expect("the input is right"), false);
        let mut cursor = Cursor::default();
        assert!(reader.next(&mut cursor).expect("it is as it was").is_some());
        change(&folder.path().join("in/b"));
        match reader.next(&mut cursor) {
            Err(FilesError::Failed(text)) => {
                assert!(text.contains("in/b changed while") && text.contains("begin again with a new --out"), "{text}");
            }
            other => panic!("{how}: {:?}", other.map(|read| read.map(|read| read.arrival))),
        }
    }
}

/// A mail that grows while an mbox is read is the next mail's bytes.
#[test]
fn an_mbox_that_changed_while_it_is_open_is_told() {
    let (a, b) = (mail(10, "a"), mail(30, "b"));
    let folder = folder(&[("in/box", &format!("From -\n{a}\nFrom -\n{b}\n"))]);
    let mut reader = Reader::new(index(folder.path(), &["in"]).expect("the input is right"), false);
    let mut cursor = Cursor::default();
    assert!(reader.next(&mut cursor).expect("it is as it was").is_some());
    std::fs::write(folder.path().join("in/box"), format!("From -\nX: y\n{a}\nFrom -\n{b}\n")).expect("a file");
    assert!(matches!(reader.next(&mut cursor), Err(FilesError::Failed(text)) if text.contains("in/box changed")));
}
