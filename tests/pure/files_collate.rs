//! From files to files: what is written, that a stop anywhere changes nothing, and what is said when it cannot go on.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailjournal::{
    files::{Change, CollateOptions, Fault, FilesError, Progress, Stage, Summary, collate},
    mail::Digest,
    record,
    turn::ArchiveFormat,
};
use serde_json::Value;
use tempfile::TempDir;

/// A journal report of message `id` for one recipient, received at a second of 2024.
pub fn report(id: u32, recipient: &str, second: u32) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let boundary = format!("b{id}");
    format!(
        "Received: from a.example by b.example; Mon, 1 Jan 2024 {hour:02}:{minute:02}:{second:02} +0000\r\n\
         From: ann@example.com\r\nMessage-ID: <{id}.{recipient}@journal.report.generator>\r\nX-MS-Journal-Report:\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\n\r\n\
         Sender: ann@example.com\r\nSubject: Matter {id}\r\nMessage-Id: <{id}@example.com>\r\nTo: {recipient}@example.com\r\n\r\n\
         --{boundary}\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--{boundary}--\r\n",
        original(id)
    )
}

pub fn original(id: u32) -> String {
    format!(
        "From: ann@example.com\r\nTo: list@example.com\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\
         Subject: Matter {id}\r\nMessage-ID: <{id}@example.com>\r\n\r\nThis is matter {id}.\r\n"
    )
}

/// A folder with mails in every form, envelope events and garbage; their times go back and forth.
pub fn organisation(folder: &Path, messages: u32) {
    let mut mbox = String::new();
    let mut events = String::from("{nonsense\n{\"server\":\"s.example\",\"stage\":\"SENT\",\"at\":1704067200000}\n");
    fs::create_dir_all(folder.join("more")).expect("a folder");
    for id in 0..messages {
        let second = 40 * id;
        fs::write(folder.join(format!("{id:05}.eml")), report(id, "bea", second)).expect("a file");
        if id % 3 == 0 {
            fs::write(folder.join(format!("more/{}.eml", messages - id)), report(id, "carl", second + 7))
                .expect("a file");
        }
        if id % 4 == 0 {
            write!(mbox, "From - \r\n{}\r\n", report(id, "dora", second + 200)).expect("a string");
        }
        if id % 5 == 0 {
            let at = 1_704_067_200_000 + i64::from(second) * 1000;
            writeln!(
                events,
                "{{\"event_id\":\"{id}\",\"server\":\"hub.example\",\"stage\":\"DELIVERED\",\"at\":{at},\
                 \"message_id\":\"<{id}@example.com>\",\"recipients\":[{{\"address\":\"eve@example.com\",\"role\":\"BCC\"}}]}}"
            )
            .expect("a string");
        }
    }
    fs::write(folder.join("again.eml"), report(0, "bea", 0)).expect("a file");
    fs::write(folder.join("empty"), "").expect("a file");
    fs::write(folder.join("box.mbox"), mbox).expect("a file");
    fs::write(folder.join("envelopes.jsonl"), events).expect("a file");
}

/// Every file of an output folder, but for the state that ends with the collate.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("it lies within").to_owned();
            match path.is_dir() {
                true if name == Path::new(".mailjournal") => {}
                true => folders.push(path),
                false => drop(files.insert(name, fs::read(&path).expect("a file"))),
            }
        }
    }
    files
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(name)).expect("the output is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn run(folder: &Path, out: &str, options: CollateOptions) -> Result<Summary, FilesError> {
    collate(&[folder.join("in")], &folder.join(out), options, &mut |_| {})
}

fn quick() -> CollateOptions {
    CollateOptions { durable: false, ..CollateOptions::default() }
}

#[test]
fn every_arrival_has_one_disposition_and_every_original_its_file() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 20);
    let summary = run(folder.path(), "out", quick()).expect("it ends");
    let out = folder.path().join("out");

    let ledger = lines(&out, "ledger.jsonl");
    let mut positions: Vec<(String, i64)> =
        ledger.iter().map(|row| (row["topic"].to_string(), row["offset"].as_i64().expect("a number"))).collect();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), ledger.len(), "one row an arrival");
    let (reports, envelopes) = (20 + 7 + 5 + 2, 6);
    assert_eq!(
        (ledger.len(), summary.arrivals, summary.dispositions()),
        (40, reports + envelopes, reports + envelopes)
    );
    assert!(ledger.iter().all(|row| row["source"].as_str().is_some_and(|source| source.contains("/in/"))));

    let archive = lines(&out, "archive.jsonl");
    assert_eq!(archive.len() as u64, summary.records);
    assert_eq!(lines(&out, "activity.jsonl").len(), archive.len());
    for record in &archive {
        for original in record["originals"].as_array().expect("a list") {
            let sha256 = original["sha256"].as_str().expect("a digest");
            let bytes = fs::read(out.join("originals").join(format!("{sha256}.eml"))).expect("the original has a file");
            assert_eq!(Digest::of(&bytes).to_string(), sha256);
        }
    }
}

#[test]
fn what_is_rejected_is_kept_as_it_came() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 1);
    run(folder.path(), "out", quick()).expect("it ends");
    let out = folder.path().join("out");
    let mut kept = Vec::new();
    for line in lines(&out, "rejected.jsonl") {
        let bytes = fs::read_to_string(out.join(line["file"].as_str().expect("a name"))).expect("its bytes");
        let text = |name: &str| line[name].as_str().expect("text").to_owned();
        let source = text("source").rsplit('/').next().expect("a name").to_owned();
        kept.push((text("file"), source, text("reason"), bytes));
    }
    kept.sort();
    let bare = "{\"server\":\"s.example\",\"stage\":\"SENT\",\"at\":1704067200000}";
    let expect = [
        ("rejected/journal.envelopes-0.json", "envelopes.jsonl@0", "not-an-envelope-event", "{nonsense"),
        ("rejected/journal.envelopes-1.json", "envelopes.jsonl@10", "no-message-id-and-no-content", bare),
        ("rejected/journal.reports-3.eml", "empty", "empty", ""),
    ];
    let expect = expect.map(|(file, source, reason, bytes)| (file.into(), source.into(), reason.into(), bytes.into()));
    assert_eq!(kept, expect);
}

#[test]
fn a_message_is_one_record_whatever_the_names_of_its_mails() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 20);
    run(folder.path(), "out", quick()).expect("it ends");
    let archive = lines(&folder.path().join("out"), "archive.jsonl");
    let of = |key: &str| archive.iter().filter(|record| record["key"] == key).collect::<Vec<_>>();
    let addresses = |record: &Value| -> Vec<String> {
        let recipients = record["recipients"].as_array().expect("a list").iter();
        recipients.map(|who| who["address"].as_str().expect("text").to_owned()).collect()
    };
    // Its mails lie far apart by name, 200 seconds apart by time: nothing closes before all that is older was read.
    let [record] = of("<0@example.com>")[..] else { panic!("{archive:?}") };
    assert_eq!(addresses(record), ["bea@example.com", "carl@example.com", "dora@example.com", "eve@example.com"]);
    assert_eq!(of("<3@example.com>").len(), 1);
}

#[test]
fn time_passes_as_the_mails_came() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("in")).expect("a folder");
    for (name, who, second) in [("1", "bea", 0), ("2", "carl", 59), ("3", "dora", 200), ("4", "eve", 9_000)] {
        fs::write(folder.path().join("in").join(name), report(1, who, second)).expect("a file");
    }
    run(folder.path(), "out", quick()).expect("it ends");
    let archive = lines(&folder.path().join("out"), "archive.jsonl");
    let closed: Vec<(i64, i64, usize)> = archive
        .iter()
        .map(|record| {
            let number = |name: &str| record[name].as_i64().expect("a number");
            let recipients = record["recipients"].as_array().expect("a list").len();
            (number("revision"), (number("closed_at") - 1_704_067_200_000) / 1000, recipients)
        })
        .collect();
    // Each closes 60 seconds after its last evidence, at that very time.
    assert_eq!(closed, [(1, 119, 2), (2, 260, 3), (3, 9_060, 4)]);
}

/// Fails the change with this number, from 0, as a full disk does: with half of what was to be written.
/// What comes later than `remember` begins a record, be there something else to do in between or not.
#[test]
fn a_message_is_forgotten_whatever_else_comes() {
    const HOUR: u32 = 3_600;
    for unrelated in [None, Some(HOUR + HOUR / 2), Some(2 * HOUR)] {
        let folder = TempDir::new().expect("a folder");
        let mails = folder.path().join("in");
        fs::create_dir(&mails).expect("a folder");
        let write = |name: &str, mail: String| fs::write(mails.join(name), mail).expect("a file");
        write("first", report(1, "bea", 0));
        write("late", report(1, "carl", 3 * HOUR));
        unrelated.into_iter().for_each(|second| write("unrelated", report(2, "dora", second)));
        let mut options = quick();
        options.timing.remember = Duration::from_secs(u64::from(HOUR));
        run(folder.path(), "out", options).expect("it ends");
        let archive = lines(&folder.path().join("out"), "archive.jsonl");
        let of_first = archive.iter().filter(|record| record["key"] == "<1@example.com>");
        let said: Vec<(&Value, usize)> = of_first
            .map(|record| (&record["revision"], record["evidence"].as_array().expect("a list").len()))
            .collect();
        assert_eq!(said, [(&Value::from(1), 1), (&Value::from(1), 1)], "{unrelated:?}");
    }
}

fn failing_at(number: usize) -> (Fault, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let fault = move |change: Change, path: &Path| {
        if counted.fetch_add(1, Ordering::Relaxed) != number {
            return Ok(());
        }
        // A list is created empty, to be appended to.
        let writes = change == Change::Create && path.extension().is_none_or(|extension| extension != "jsonl");
        if writes || change == Change::Append {
            let file = fs::OpenOptions::new().append(true).create(true).open(path);
            let _ = file.and_then(|mut file| io::Write::write_all(&mut file, b"{\"torn"));
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    };
    (Box::new(fault), count)
}

fn stopped_everywhere(archive_format: ArchiveFormat) {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 8);
    let options = |fault: Option<Fault>| CollateOptions {
        archive_format,
        commit_arrivals_max: 5,
        compact_bytes_min: 0,
        durable: true,
        fault,
        ..CollateOptions::default()
    };
    let (fault, changes) = failing_at(usize::MAX);
    run(folder.path(), "whole", options(Some(fault))).expect("it ends");
    let whole = tree(&folder.path().join("whole"));
    let changes = changes.load(Ordering::Relaxed);
    assert!(changes > 60, "{changes} changes to the disk");
    for number in 0..changes {
        let out = format!("out-{number}");
        match run(folder.path(), &out, options(Some(failing_at(number).0))) {
            Err(FilesError::Failed(text)) => assert!(text.contains("cannot write") && text.contains(&out), "{text}"),
            other => panic!("change {number} failed, but {other:?}"),
        }
        run(folder.path(), &out, options(None)).expect("it goes on");
        assert!(tree(&folder.path().join(&out)) == whole, "stopped at change {number}, the output differs");
        let left: Vec<_> = fs::read_dir(folder.path().join(&out).join(".mailjournal")).expect("a folder").collect();
        assert_eq!(left.len(), 2, "stopped at change {number}, {left:?} is left");
        fs::remove_dir_all(folder.path().join(&out)).expect("a folder");
    }
}

#[test]
fn stopped_at_any_change_to_the_disk_it_ends_in_the_same_output() {
    stopped_everywhere(ArchiveFormat::Record);
}

#[test]
fn so_it_does_where_the_archive_carries_reports() {
    stopped_everywhere(ArchiveFormat::Report);
}

/// A collate that was killed leaves files that no commit counts and that nobody synced.
#[test]
fn a_file_that_a_killed_run_left_is_compared_and_synced() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 4);
    run(folder.path(), "whole", quick()).expect("it ends");
    let whole = tree(&folder.path().join("whole"));
    let left: Vec<_> = whole.iter().filter(|(path, _)| path.extension().is_none_or(|name| name != "jsonl")).collect();
    // After a power failure a file can be as long as it should be, without its bytes.
    for (out, written) in [("right", true), ("unwritten", false)] {
        let stopped = CollateOptions { fault: Some(failing_at(3).0), ..quick() };
        run(folder.path(), out, stopped).expect_err("it is stopped behind the first commit");
        for (path, bytes) in &left {
            let path = folder.path().join(out).join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, if written { bytes.to_vec() } else { vec![0; bytes.len()] }).expect("a file");
        }
        let synced = Arc::new(Mutex::new(Vec::new()));
        let noted = synced.clone();
        let fault = move |change: Change, path: &Path| {
            if change == Change::Sync {
                noted.lock().expect("one thread").push(path.to_owned());
            }
            Ok(())
        };
        let options = CollateOptions { fault: Some(Box::new(fault)), ..CollateOptions::default() };
        run(folder.path(), out, options).expect("it goes on");
        assert!(tree(&folder.path().join(out)) == whole, "{out}: the right length was taken for the right bytes");
        for name in ["originals", "rejected"] {
            let synced = synced.lock().expect("one thread");
            assert!(synced.contains(&folder.path().join(out).join(name)), "{out}: {name} is not among {synced:?}");
        }
    }
}

/// What stands behind the last commit would be taken for output by who reads the files after the error.
#[test]
fn an_error_leaves_the_files_as_the_last_commit_has_them() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 8);
    let out = folder.path().join("out");
    let (mut stopped_midway, mut number) = (0, 0);
    loop {
        let options = CollateOptions { commit_arrivals_max: 5, fault: Some(failing_at(number).0), ..quick() };
        let Err(error) = run(folder.path(), "out", options) else { break };
        let commit = fs::read(out.join(".mailjournal/commit.json")).unwrap_or_default();
        if let Ok(commit) = serde_json::from_slice::<Value>(&commit) {
            for name in ["archive", "ndr", "activity", "ledger", "rejected"].map(|name| format!("{name}.jsonl")) {
                let length = fs::metadata(out.join(&name)).map_or(0, |meta| meta.len());
                let committed = commit["lengths"][&name].as_u64().unwrap_or(0);
                assert_eq!(length, committed, "{name}, stopped at change {number}: {error}");
                stopped_midway += u32::from(committed > 0);
            }
            let rows = lines_or_none(&out, "rejected.jsonl");
            let files = fs::read_dir(out.join("rejected")).map_or(0, Iterator::count);
            assert!(files == rows || error.to_string().contains("commit"), "{files} files, {rows} rows: {error}");
        }
        let _ = fs::remove_dir_all(&out);
        number += 1;
    }
    assert!(stopped_midway > 20, "{stopped_midway} lengths above 0 were seen");
}

fn lines_or_none(folder: &Path, name: &str) -> usize {
    fs::read_to_string(folder.join(name)).map_or(0, |text| text.lines().count())
}

/// As Ctrl-C does.
#[test]
fn asked_to_stop_it_commits_and_says_how_to_go_on() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 60);
    run(folder.path(), "whole", quick()).expect("it ends");
    let stop = |stage: Stage| {
        let options = quick();
        let asked = options.stop.clone();
        let mut tell = |progress: Progress| {
            asked.fetch_or(progress.stage == stage && progress.arrivals > 5, Ordering::Relaxed);
        };
        collate(&[folder.path().join("in")], &folder.path().join("out"), options, &mut tell)
    };
    let Err(FilesError::Failed(text)) = stop(Stage::Finding) else { panic!("it is stopped while it looks") };
    assert!(text.contains("before anything was done") && !folder.path().join("out").exists(), "{text}");
    let Err(FilesError::Failed(text)) = stop(Stage::Reading) else { panic!("it is stopped while it reads") };
    assert!(text.starts_with("stopped, as asked: run the same command again and it goes on. The output is"), "{text}");
    assert!(!text.contains(": 0 of "), "{text}");
    run(folder.path(), "out", quick()).expect("it goes on");
    assert!(tree(&folder.path().join("out")) == tree(&folder.path().join("whole")));
}

#[test]
fn how_often_it_commits_changes_nothing() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 60);
    run(folder.path(), "whole", quick()).expect("it ends");
    let whole = tree(&folder.path().join("whole"));
    for (number, commit_arrivals_max) in [1, 7, 50].into_iter().enumerate() {
        let out = format!("out-{number}");
        run(folder.path(), &out, CollateOptions { commit_arrivals_max, ..quick() }).expect("it ends");
        assert!(tree(&folder.path().join(out)) == whole, "commits every {commit_arrivals_max} arrivals");
    }
}

#[test]
fn a_finished_output_is_left_alone() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 3);
    let first = run(folder.path(), "out", quick()).expect("it ends");
    let whole = tree(&folder.path().join("out"));
    let again = run(folder.path(), "out", quick()).expect("it is done");
    assert_eq!(again, Summary { already_done: true, ..first });
    assert!(tree(&folder.path().join("out")) == whole);
}

#[test]
fn the_archive_can_carry_reports() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 3);
    run(folder.path(), "out", CollateOptions { archive_format: ArchiveFormat::Report, ..quick() }).expect("it ends");
    let out = folder.path().join("out");
    let archive = lines(&out, "archive.jsonl");
    assert_eq!(archive.len(), lines(&out, "activity.jsonl").len());
    for line in &archive {
        let mail = fs::read(out.join(line["file"].as_str().expect("a name"))).expect("the report");
        assert_eq!(Digest::of(&mail).to_string(), line["sha256"].as_str().expect("a digest"));
        assert_eq!(Some(mail.len() as u64), line["size"].as_u64());
        assert!(line["key"].as_str().is_some_and(|key| key.starts_with('<')));
        let record = record::report::read(&mail).expect("it is one of ours");
        let told = (line["record_id"].as_str(), line["revision"].as_i64(), line["status"].as_str());
        assert_eq!(told, (Some(record.record_id.as_str()), Some(record.revision.into()), Some("COMPLETE")));
    }
}

fn usage(result: Result<Summary, FilesError>, expect: &str) {
    match result {
        Err(FilesError::Usage(text)) => assert!(text.contains(expect), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_input_or_manner_is_refused() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 3);
    run(folder.path(), "out", quick()).expect("it ends");
    let whole = tree(&folder.path().join("out"));
    usage(run(folder.path(), "out", CollateOptions { mboxrd: true, ..quick() }), "name another --out");
    fs::write(folder.path().join("in/one-more.eml"), report(9, "bea", 0)).expect("a file");
    usage(run(folder.path(), "out", quick()), "the output of another input");
    assert!(tree(&folder.path().join("out")) == whole);
}

#[test]
fn a_strangers_files_are_not_touched() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 1);
    fs::create_dir(folder.path().join("out")).expect("a folder");
    fs::write(folder.path().join("out/ledger.jsonl"), "mine").expect("a file");
    usage(run(folder.path(), "out", quick()), "out is not empty: it holds ledger.jsonl");
    assert_eq!(fs::read_to_string(folder.path().join("out/ledger.jsonl")).expect("a file"), "mine");
}

/// The help says "new or empty": any other file is a sign of the wrong folder.
#[test]
fn a_folder_that_holds_anything_else_is_refused() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 1);
    fs::create_dir_all(folder.path().join("out/photos")).expect("a folder");
    usage(run(folder.path(), "out", quick()), "out is not empty: it holds photos, and no collate wrote");
    let names: Vec<_> = fs::read_dir(folder.path().join("out")).expect("a folder").collect();
    assert_eq!(names.len(), 1, "nothing was added: {names:?}");
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    run(folder.path(), "empty", quick()).expect("an empty one is as good as a new one");
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 1);
    fs::write(folder.path().join("file"), "").expect("a file");
    match run(folder.path(), "file/out", quick()) {
        Err(FilesError::Failed(text)) => assert!(text.contains("file/out/.mailjournal"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_collate_at_a_time_writes_a_folder() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 1);
    let state = folder.path().join("out/.mailjournal");
    fs::create_dir_all(&state).expect("a folder");
    let held = fs::File::create(state.join("lock")).expect("a file");
    held.lock().expect("a lock");
    match run(folder.path(), "out", quick()) {
        Err(FilesError::Failed(text)) => assert!(text.contains("another collate is writing"), "{text}"),
        other => panic!("{other:?}"),
    }
    drop(held);
    run(folder.path(), "out", quick()).expect("it ends");
}

#[test]
fn an_output_that_somebody_shortened_is_refused() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 8);
    // Stop it at the first change behind a commit that has rows in the ledger.
    let committed = || {
        let text = fs::read_to_string(folder.path().join("out/.mailjournal/commit.json")).unwrap_or_default();
        let commit: Option<Value> = serde_json::from_str(&text).ok();
        commit.is_some_and(|commit| commit["lengths"]["ledger.jsonl"].as_u64() > Some(0))
    };
    for number in 1.. {
        let options = CollateOptions { commit_arrivals_max: 5, fault: Some(failing_at(number).0), ..quick() };
        run(folder.path(), "out", options).expect_err("it is stopped");
        if committed() {
            break;
        }
        fs::remove_dir_all(folder.path().join("out")).expect("a folder");
    }
    fs::write(folder.path().join("out/ledger.jsonl"), "").expect("a file");
    match run(folder.path(), "out", quick()) {
        Err(FilesError::Failed(text)) => assert!(text.contains("somebody changed it"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_mbox_of_known_dialect_can_be_unquoted() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("in")).expect("a folder");
    let mail = |line: &str| {
        format!("From: a@example.com\nMessage-ID: <1@example.com>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\n{line}\n")
    };
    fs::write(folder.path().join("in/box"), format!("From -\n{}\n", mail(">From here"))).expect("a file");
    for (mboxrd, out, expect) in [(false, "kept", ">From here"), (true, "unquoted", "From here")] {
        run(folder.path(), out, CollateOptions { mboxrd, ..quick() }).expect("it ends");
        let originals = tree(&folder.path().join(out).join("originals"));
        assert_eq!(originals.into_values().collect::<Vec<_>>(), [mail(expect).into_bytes()]);
    }
}

/// An event of the last moment that a clock can show once kept it running round and round.
#[test]
fn time_passes_to_its_very_end() {
    for at in [i64::MAX, i64::MAX - 1, i64::MIN, -1] {
        let folder = TempDir::new().expect("a folder");
        let event = |id: u32, at: i64| {
            format!(
                "{{\"server\":\"s.example\",\"stage\":\"SENT\",\"at\":{at},\"message_id\":\"<{id}@x>\",\
                 \"recipients\":[{{\"address\":\"a@x.example\"}}]}}\n"
            )
        };
        let events = event(1, at) + &event(2, at) + &event(1, 0) + &event(3, at);
        fs::create_dir(folder.path().join("in")).expect("a folder");
        fs::write(folder.path().join("in/envelopes.jsonl"), events).expect("a file");
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = folder.path().to_owned();
        std::thread::spawn(move || sender.send(run(&path, "out", quick()).expect("it ends").arrivals));
        let arrivals = receiver.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(arrivals, Ok(4), "events at {at}");
    }
}
