//! The program as a person starts it: what it prints, and its exit code.

use std::process::{Command, Stdio};

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

#[test]
fn every_help_has_examples() {
    let mut commands = vec![vec![]];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let ended = ended(&mut program(&arguments));
        assert_eq!(ended.code, Some(0), "{arguments:?}");
        assert!(ended.out.contains("Examples:\n  "), "{arguments:?} has no examples:\n{}", ended.out);
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

#[test]
fn a_full_disk_is_a_failure() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        // Only Linux has a device that is always full.
        assert!(!cfg!(target_os = "linux"), "Linux has /dev/full");
        return;
    };
    let output = program(&["config", "show"]).stdout(full).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"error: standard output cannot be written"), "{output:?}");
}
