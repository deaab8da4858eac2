//! The invariants that can be read off the source itself: who knows whom, and what no log line may tell.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The pure rooms, in reading order: each may know those before it.
const ROOMS: [&str; 7] = ["arrival", "avro", "mail", "evidence", "record", "correlate", "turn"];

/// Constants, which every room may know.
const BOUNDS: &str = "limits";

/// Parts of `std` that reach outside the process, or make threads in it.
const OUTSIDE: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];

/// Words that no room's code may hold: clocks, shells, what prints, and what runs at another time.
const FOREIGN: [&str; 17] = [
    "Instant",
    "SystemTime",
    "async",
    "axum",
    "clap",
    "dbg",
    "eprint",
    "eprintln",
    "indicatif",
    "metrics",
    "print",
    "println",
    "rdkafka",
    "stderr",
    "stdin",
    "stdout",
    "tokio",
];

/// Words that stand for what a mail says, and for the key, which is its Message-ID.
const PERSONAL: [&str; 21] = [
    "address",
    "addresses",
    "body",
    "bytes",
    "content",
    "display_name",
    "evidence",
    "from",
    "journal_recipients",
    "key",
    "message_id",
    "notice",
    "original",
    "piece",
    "recipient",
    "recipients",
    "record_id",
    "reference",
    "sender",
    "subject",
    "value",
];

#[test]
fn rooms_know_nothing_outside() {
    for (room, file) in room_files() {
        let code = code_of(&file);
        let reached: Vec<String> = names_below(&code, "std").into_iter().filter(|name| is_in(&OUTSIDE, name)).collect();
        let foreign: Vec<&str> = words(&code).filter(|word| is_in(&FOREIGN, word)).collect();
        assert!(reached.is_empty(), "{room} is pure, but {} uses std::{reached:?}", file.display());
        assert!(foreign.is_empty(), "{room} is pure, but {} uses {foreign:?}", file.display());
    }
}

#[test]
fn each_room_knows_only_the_rooms_before_it() {
    for (room, file) in room_files() {
        let code = code_of(&file);
        let before = ROOMS.iter().take_while(|name| **name != room);
        let may: Vec<&str> = before.copied().chain([room, BOUNDS]).collect();
        let wrong: Vec<String> = names_below(&code, "crate").into_iter().filter(|name| !is_in(&may, name)).collect();
        assert!(wrong.is_empty(), "{room} may not know {wrong:?}: {}", file.display());
        assert!(!code.contains("super::super::"), "say crate:: where a path leaves its room: {}", file.display());
    }
}

#[test]
fn lib_lists_the_rooms_in_reading_order() {
    let lib = code_of(&root().join("src/lib.rs"));
    let listed: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rooms: Vec<&str> = listed.iter().copied().filter(|name| is_in(&ROOMS, name)).collect();
    let expect: Vec<&str> = ROOMS.into_iter().filter(|room| is_in(&listed, room)).collect();
    assert_eq!(rooms, expect);
    let before_rooms: Vec<&str> = listed.iter().copied().take_while(|name| !is_in(&ROOMS, name)).collect();
    assert_eq!(before_rooms, [BOUNDS], "nothing but the bounds stands before the rooms");
}

/// Invariant 8, by source: a line at INFO or above names nothing that a mail says.
#[test]
fn no_log_line_at_info_or_above_names_what_a_mail_says() {
    let mut lines = 0;
    for file in source_files(&root().join("src")) {
        for line in log_lines(&code_of(&file)) {
            let personal: Vec<&str> = words(&line).filter(|word| is_in(&PERSONAL, word)).collect();
            assert!(personal.is_empty(), "{} logs {personal:?}: {line}", file.display());
            lines += 1;
        }
    }
    println!("{lines} log lines at INFO or above");
}

/// `println!` panics when the reader of a pipe has gone; [`mailjournal::cli::Context`] does not.
#[test]
fn the_program_prints_through_its_context_only() {
    for file in source_files(&root().join("src")) {
        let code = code_of(&file);
        for wrong in ["println!", "print!", "eprintln!", "eprint!", "dbg!"] {
            let found = code.match_indices(wrong).any(|(at, _)| !code[..at].ends_with(is_word_character));
            assert!(!found, "{} uses {wrong}", file.display());
        }
    }
}

/// A test that `lib.rs` names as the holder of an invariant exists.
#[test]
fn the_tests_that_the_manual_names_exist() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs is read");
    let manual: String = lib.lines().filter_map(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join(" ");
    let files = source_files(&root().join("src")).into_iter().chain(source_files(&root().join("tests")));
    let all: String = files.map(|file| fs::read_to_string(file).expect("a source file is read")).collect();
    let mut named = 0;
    for holder in manual.split("Held by ").skip(1) {
        let names = holder.split_once('.').expect("a sentence ends").0;
        for name in names.split('`').skip(1).step_by(2) {
            assert!(all.contains(&format!("fn {name}(")), "the manual names {name}, which does not exist");
            named += 1;
        }
    }
    assert!(named >= 3, "the manual names only {named} tests");
}

#[test]
fn the_readers_of_source_see_what_they_look_for() {
    #[track_caller]
    fn check(found: impl IntoIterator<Item = impl AsRef<str>>, expect: &[&str]) {
        let found: Vec<String> = found.into_iter().map(|name| name.as_ref().to_owned()).collect();
        assert_eq!(found, expect);
    }
    check(names_below("use std::{fmt, fs::{self, File}, io};", "std"), &["fmt", "fs", "io"]);
    check(names_below("let now = std::time::Instant::now(); std::env::var(\"A\")", "std"), &["env", "time"]);
    check(names_below("use crate::{\n    arrival::{Input, Position},\n    turn,\n};", "crate"), &["arrival", "turn"]);
    check(names_below("pub(crate) fn a() { crate::mail::b(); mycrate::c(); }", "crate"), &["mail"]);
    check(
        log_lines("info!(count, \"read ({})\", x); debug!(key); tracing::warn!(%error);"),
        &["count, \"read ({})\", x", "%error"],
    );
    check(log_lines("error!(\"a ) in text\", subject)"), &["\"a ) in text\", subject"]);
    check(words("sender.len(), \"{subject}\" x_key"), &["sender", "len", "subject", "x_key"]);
    check(
        without_comments("a // b\n/// c\nd \"http://e\" // f\n#[cfg(test)]\nmod tests {\n g }").lines(),
        &["a ", "", "d \"http://e\" "],
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn room_files() -> Vec<(&'static str, PathBuf)> {
    let src = root().join("src");
    let mut files = Vec::new();
    for room in ROOMS {
        let single = src.join(format!("{room}.rs"));
        let of_room = if single.exists() { vec![single] } else { source_files(&src.join(room)) };
        files.extend(of_room.into_iter().map(|file| (room, file)));
    }
    assert!(files.len() >= ROOMS.len(), "the rooms were not found");
    files
}

/// The Rust files below a folder, in name order; none where there is no such folder.
fn source_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder is listed").path()).collect();
    paths.sort();
    let below = paths.into_iter().flat_map(|path| if path.is_dir() { source_files(&path) } else { vec![path] });
    below.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn code_of(file: &Path) -> String {
    without_comments(&fs::read_to_string(file).expect("a source file is read"))
}

/// The code without comments and without its unit tests, which stand last and may read files.
fn without_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| {
        let starts = line.match_indices("//").map(|(at, _)| at);
        // A `//` behind an odd number of quotes stands in a text.
        let comment = starts.into_iter().find(|at| line[..*at].matches('"').count() % 2 == 0);
        &line[..comment.unwrap_or(line.len())]
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_word_character(character)).filter(|word| !word.is_empty())
}

fn is_in(names: &[&str], name: &str) -> bool {
    names.contains(&name)
}

/// The first names of all paths below a root: `std::{fmt, fs::File}` → `fmt`, `fs`. Sorted.
fn names_below(code: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, path) in code.match_indices(&format!("{root}::")) {
        if code[..at].ends_with(is_word_character) {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(top_names(group)),
            None => names.extend(words(rest).next().map(str::to_owned)),
        }
    }
    names
}

/// The first word of each branch of a `use` group whose opening brace has been read.
fn top_names(group: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 1;
    let mut in_path = false;
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.push(String::new());
                in_path = false;
            }
            ':' => in_path = true,
            _ if depth == 1 && !in_path && is_word_character(character) => {
                names.last_mut().expect("one name is begun").push(character);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The arguments of every `info!`, `warn!` and `error!`.
fn log_lines(code: &str) -> Vec<String> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for level in ["info!(", "warn!(", "error!("] {
        for (at, _) in code.match_indices(level) {
            if !code[..at].ends_with(is_word_character) {
                lines.push((at, arguments(&code[at + level.len()..]).to_owned()));
            }
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Up to the parenthesis that closes one already open; those in texts do not count.
fn arguments(code: &str) -> &str {
    let mut depth = 1;
    let mut in_text = false;
    let mut escaped = false;
    for (at, character) in code.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    code
}
