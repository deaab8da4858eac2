//! The program as a person starts it: what it prints, and its exit code.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use mailjournal::{
    mail::Digest,
    record::{Certificate, ClosedBecause, JournalRecord, OriginalRole, RecordedOriginal, Status, to_json},
};

/// What came of a command line.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The program, in an environment without settings of the person who runs the tests.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailjournal"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    ours.filter(|name| name.to_string_lossy().starts_with("MAILJOURNAL_")).for_each(|name| {
        command.env_remove(name);
    });
    command.env_remove("RUST_LOG").args(arguments).stdin(Stdio::null());
    command
}

pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("output is UTF-8"),
        err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
    }
}

/// An example that is broken in the middle cannot be copied, nor a table of them read.
#[test]
fn every_help_has_examples_that_80_columns_do_not_break() {
    let mut commands = vec![vec![]];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let ended = ended(program(&arguments).env("COLUMNS", "80"));
        assert_eq!(ended.code, Some(0), "{arguments:?}");
        let examples = ended.out.lines().skip_while(|line| *line != "Examples:").skip(1);
        let examples: Vec<&str> = examples.take_while(|line| !line.is_empty()).collect();
        assert!(!examples.is_empty(), "{arguments:?} has no examples:\n{}", ended.out);
        for line in examples {
            assert!(line.starts_with("  m") || line.starts_with("  MAILJOURNAL_"), "{arguments:?} breaks {line:?}");
        }
        let wide: Vec<&str> = ended.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{arguments:?} is wider than 80 columns: {wide:?}");
        commands.extend(subcommands(&ended.out).map(|name| [command.clone(), vec![name]].concat()));
        seen += 1;
    }
    assert!(seen >= 3, "only {seen} helps were found");
}

/// The names below `Commands:`, `help` aside.
fn subcommands(help: &str) -> impl Iterator<Item = String> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    below
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [&["nonsense"][..], &[], &["config"], &["config", "show", "--nonsense"]] {
        assert_eq!(ended(&mut program(arguments)).code, Some(2), "{arguments:?}");
    }
    let ended = ended(&mut program(&["--log", "a=b=c", "config", "check"]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.starts_with("error: --log: `a=b=c` is no log level"), "{}", ended.err);
}

#[test]
fn config_check_says_ok_or_all_that_is_wrong() {
    let right = ended(&mut program(&["config", "check"]));
    assert_eq!((right.code, right.out.as_str(), right.err.as_str()), (Some(0), "OK\n", ""));
    let mut command = program(&["config", "check"]);
    command.env("MAILJOURNAL_CORRELATE_QUIET", "soon").env("MAILJOURNAL_TELEMETRY_LISTEN", "9464");
    let wrong = ended(&mut command);
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""));
    let names: Vec<_> = wrong.err.lines().map(|line| line.split(": ").nth(1).unwrap_or_default()).collect();
    assert_eq!(names, ["MAILJOURNAL_CORRELATE_QUIET", "MAILJOURNAL_TELEMETRY_LISTEN"]);
}

/// It said OK to what `run` then refused.
#[test]
fn config_check_refuses_what_run_refuses() {
    let checked = ended(program(&["config", "check"]).env("MAILJOURNAL_REGISTRY_URL", "http://registry:8081"));
    assert_eq!((checked.code, checked.out.as_str()), (Some(2), ""));
    let expect = "error: MAILJOURNAL_REGISTRY_URL: `registry.url` is set, and this version does not speak";
    assert!(checked.err.starts_with(expect), "{}", checked.err);
}

#[test]
fn config_show_tells_where_each_value_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.toml");
    std::fs::write(&file, "[kafka]\ngroup = \"mine\"\n[kafka.client]\n\"sasl.password\" = \"hush\"\n")
        .expect("written");
    let name = file.display().to_string();
    let mut command = program(&["--config", &name, "config", "show"]);
    let shown = ended(command.env("MAILJOURNAL_CORRELATE_SETTLE", "1s"));
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let line = |key: &str| shown.out.lines().find(|line| line.starts_with(key)).expect("the key is listed").to_owned();
    assert!(line("kafka.group").ends_with(&format!("# {name}:2")));
    assert!(line("kafka.client.\"sasl.password\" = \"***\"").ends_with(&format!("# {name}:4")));
    assert!(line("correlate.settle = \"1s\"").ends_with("# MAILJOURNAL_CORRELATE_SETTLE"));
    assert!(line("correlate.quiet = \"60s\"").ends_with("# default"));
    assert!(!shown.out.contains("hush"));
    let named = ended(program(&["config", "show"]).env("MAILJOURNAL_CONFIG", &name));
    assert!(named.out.contains("kafka.group = \"mine\""), "{}", named.out);
}

#[test]
fn a_settings_file_that_is_not_there_is_named() {
    let ended = ended(&mut program(&["--config", "/nowhere/m.toml", "config", "check"]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.starts_with("error: /nowhere/m.toml: this settings file cannot be opened"), "{}", ended.err);
}

/// As `mailjournal config show | head -0`.
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = program(&["config", "show"]).stdout(writer).output().expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""));
}

/// Only Linux has a device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = program(&["config", "show"]).stdout(full).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"error: standard output cannot be written"), "{output:?}");
}

const ORIGINAL: &str = "From: Anna <anna@contoso.example>\r\nTo: bob@contoso.example\r\nSubject: Plan\r\n\
    Date: Mon, 2 Mar 2026 08:00:00 +0000\r\nMessage-ID: <plan@contoso.example>\r\n\r\nHello\r\n";

fn report_mail() -> String {
    format!(
        "From: Anna <anna@contoso.example>\r\nSubject: Plan\r\nMessage-ID: <1@journal.report.generator>\r\n\
         X-MS-Journal-Report:\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nSender: anna@contoso.example\r\nSubject: Plan\r\n\
         Message-Id: <plan@contoso.example>\r\nBcc: carl@contoso.example\r\n\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\n{ORIGINAL}\r\n--b--\r\n"
    )
}

#[test]
fn report_show_prints_what_is_understood_of_each_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.eml");
    std::fs::write(&file, report_mail()).expect("written");
    let name = file.display().to_string();
    let both = ended(&mut program(&["report", "show", &name, &name]));
    assert_eq!((both.code, both.err.as_str()), (Some(0), ""));
    assert_eq!(both.out.matches("carl@contoso.example").count(), 2, "{}", both.out);
    assert_eq!(both.out.lines().filter(|line| *line == format!("{name}:")).count(), 2);
    let shown =
        ended(program(&["report", "show", "--json", "-"]).stdin(std::fs::File::open(&file).expect("it is there")));
    let value: serde_json::Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(value["key"], "<plan@contoso.example>");
    let missing = ended(&mut program(&["report", "show", &name, "/nowhere.eml"]));
    assert_eq!(missing.code, Some(1));
    assert!(missing.out.contains("carl@contoso.example"));
    assert!(missing.err.starts_with("error: /nowhere.eml: cannot be read: "), "{}", missing.err);
    assert_eq!(ended(&mut program(&["report", "show", "-"])).code, Some(1), "an empty input is no mail");
}

#[test]
fn report_show_of_a_folder_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().display().to_string();
    for arguments in [["report", "show", &name], ["report", "build", &name]] {
        let refused = ended(&mut program(&arguments));
        let expect = format!("error: {name} is a folder: name the files in it, or merge its mails");
        assert!(refused.code == Some(2) && refused.err.starts_with(&expect), "{refused:?}");
    }
}

/// `mailjournal …` was told to who has it nowhere on the PATH.
#[test]
fn the_demo_names_the_program_as_it_was_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_mailjournal"));
    let demo = |program: &str, path: &std::path::Path| {
        let mut command = Command::new(program);
        command.args(["demo", "--out", "my demo"]).current_dir(folder.path()).env("PATH", path);
        let shown = ended(&mut command);
        assert_eq!(shown.code, Some(0), "{}", shown.err);
        let next = shown.out.split("\nNext\n").nth(1).expect("it says what is next").to_owned();
        next.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let whole = binary.display().to_string();
    let line = |program: &str| format!("{program} report show 'my demo/arrivals/0002.eml'");
    assert_eq!(demo(&whole, std::path::Path::new("/nowhere"))[0], line(&whole));
    let on_path = binary.parent().expect("it has one");
    assert_eq!(demo(&whole, on_path)[0], line("mailjournal"));
    std::os::unix::fs::symlink(binary, folder.path().join("program")).expect("a link");
    let lines = demo(&folder.path().join("program").display().to_string(), std::path::Path::new("/nowhere"));
    assert_eq!(lines[0], line(&folder.path().join("program").display().to_string()));
    assert!(lines[1].ends_with(" collate 'my demo/arrivals' --out 'my demo-again'"), "{lines:?}");
    assert!(lines[2].contains(" collate YOUR-MAILS --out RECORDS"), "{lines:?}");
}

fn record(revision: i32, content: Option<&str>) -> JournalRecord {
    let original = RecordedOriginal {
        sha256: Digest::of(ORIGINAL.as_bytes()),
        size: ORIGINAL.len() as i64,
        role: OriginalRole::Primary,
        content: content.map(|text| text.to_owned().into()),
        reference: None,
    };
    JournalRecord {
        record_id: "<plan@contoso.example>#0123456789abcdef".into(),
        revision,
        status: Status::Complete,
        closed_because: ClosedBecause::Evidence,
        superseded_by: Vec::new(),
        key: "<plan@contoso.example>".into(),
        message_id: Some("<plan@contoso.example>".into()),
        network_message_ids: Vec::new(),
        sender: Some("anna@contoso.example".into()),
        on_behalf_of: None,
        from: vec!["anna@contoso.example".into()],
        subject: Some(format!("Plan {revision}")),
        recipients: Vec::new(),
        groups: Vec::new(),
        unresolved: Vec::new(),
        originals: vec![original],
        journals: Vec::new(),
        flags: Vec::new(),
        evidence: Vec::new(),
        certificate: Certificate { expected: Vec::new(), reason: "all is here".into() },
        first_evidence_at: 0,
        last_evidence_at: 0,
        closed_at: 0,
        tags: BTreeMap::new(),
    }
}

#[test]
fn report_build_takes_json_lines_and_avro_and_finds_the_original_beside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("written");
    let build = |arguments: &[&str]| {
        let path = path(arguments[0]).display().to_string();
        ended(&mut program(&[&["report", "build", &path], &arguments[1..]].concat()))
    };
    let lines = [record(1, Some(ORIGINAL)), record(2, None)].map(|record| to_json(&record)).join(&b"\n"[..]);
    write("archive.jsonl", &lines);
    write("one.json", &to_json(&record(1, Some(ORIGINAL))));
    write("one.avro", &record(1, Some(ORIGINAL)).to_avro());

    let one = build(&["one.json"]);
    assert_eq!((one.code, one.err.as_str()), (Some(0), ""));
    assert!(one.out.contains(ORIGINAL), "{}", one.out);
    assert_eq!(build(&["one.avro"]).out, one.out);

    let several = build(&["archive.jsonl"]);
    assert_eq!(several.code, Some(2));
    assert!(several.err.contains("it holds 2 records; name one with --id"), "{}", several.err);
    let id = ["archive.jsonl", "--id", "<plan@contoso.example>#0123456789abcdef"];
    let absent = build(&id);
    assert_eq!((absent.code, absent.out.as_str()), (Some(1), ""), "the newest revision has no bytes");

    std::fs::create_dir(path("originals")).expect("made");
    let beside = format!("originals/{}.eml", Digest::of(ORIGINAL.as_bytes()));
    write(&beside, ORIGINAL.as_bytes());
    let found = build(&id);
    assert!(found.out.contains(ORIGINAL) && found.out.contains("Subject: Plan 2"), "{found:?}");
    write(&beside, b"other bytes");
    let wrong = build(&id);
    assert!(wrong.code == Some(1) && wrong.err.contains("not the original's bytes"), "{wrong:?}");

    let out = path("merged.eml").display().to_string();
    assert_eq!(build(&["one.json", "--out", &out]).out, "");
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), one.out);
    write("no.json", b"{}");
    let no = build(&["no.json"]);
    assert!(no.code == Some(1) && no.err.contains("no.json: "), "{no:?}");
}

/// The record stands whole in the merged report, so what is built of it is the same again.
#[test]
fn report_build_and_show_know_a_merged_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("one.json"), to_json(&record(2, Some(ORIGINAL)))).expect("written");
    assert_eq!(
        ended(&mut program(&["report", "build", &path("one.json"), "--out", &path("merged.eml")])).code,
        Some(0)
    );
    let again = ended(&mut program(&["report", "build", &path("merged.eml")]));
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    assert_eq!(again.out, std::fs::read_to_string(path("merged.eml")).expect("it is there"));
    let shown = ended(&mut program(&["report", "show", &path("merged.eml")]));
    let expect = "merged report   of mailjournal: revision 2 of <plan@contoso.example>#0123456789abcdef\n";
    assert!(shown.out.starts_with(expect) && shown.out.contains("\nkey "), "{}", shown.out);
    let shown = ended(&mut program(&["report", "show", "--json", &path("merged.eml")]));
    let value: serde_json::Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(value["merged_report"]["revision"], 2);
    assert_eq!(value["key"], "<plan@contoso.example>");
}

#[test]
fn one_is_not_told_as_many() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("one.eml"), report_mail()).expect("written");
    let done = ended(program(&["collate", "one.eml", "--out", "out"]).current_dir(folder.path()));
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.starts_with("1 arrival: 1 merged, 0 duplicates, 0 notices, 0 rejected\n"), "{}", done.out);
    assert!(done.out.contains("\n1 revision of records: 1 complete, 0 incomplete, 0 superseded\n"), "{}", done.out);
}
