//! A full disk under the files shell: said clearly, the last good state kept, and gone on from when there is room.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mailjournal::sample::random::Random;

use crate::support::stream;

const MAILJOURNAL: &str = env!("CARGO_BIN_EXE_mailjournal");

/// In a mount namespace of its own, so that the small disk is gone with the shell whatever happens. `$1` is its size in
/// KiB, `$2` the program.
const ON_SMALL_DISK: &str = r#"
mount -t tmpfs -o size="$1k" tmpfs disk || exit 90
"$2" collate in --out disk/out --commit-every 25 2>said; echo $? >code
cp -a disk/out full
mount -o remount,size=1g disk || exit 91
"$2" collate in --out disk/out --commit-every 25 >/dev/null || exit 92
cp -a disk/out done
"#;

/// Where nothing may be mounted: no file may become larger than `$1` KiB, which fails each write as a full disk does.
const WITH_SMALL_FILES: &str = r#"
(trap '' XFSZ; ulimit -f "$1"; "$2" collate in --out out --commit-every 25 2>said; echo $? >code)
cp -a out full
"$2" collate in --out out --commit-every 25 >/dev/null || exit 92
cp -a out done
"#;

/// Runs `collate` onto a disk that is too small, then onto the same with room.
pub fn fill(random: &mut Random) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    stream::write_folder(&stream::arrivals(random.number(), 150), &at("in"));
    fs::create_dir(at("disk")).expect("a folder");
    let mut run = Command::new(MAILJOURNAL);
    run.args(["collate", "in", "--out", "whole", "--commit-every", "25"]);
    expect_success("a collate with room", run.current_dir(folder.path()))?;
    let whole = tree(&at("whole"));
    let bytes: usize = whole.values().map(Vec::len).sum();

    let mounts = namespace(&at("disk"));
    // Somewhere between full at once and full just before the end.
    let share = random.between(5, 60);
    let (mut run, script, kib) = match mounts {
        Some(_) => (Command::new("unshare"), ON_SMALL_DISK, bytes * share / 100 / 1024),
        None => {
            println!("        nothing may be mounted here: a limit on the size of files stands for the full disk");
            let largest = whole.values().map(Vec::len).max().unwrap_or(0);
            (Command::new("sh"), WITH_SMALL_FILES, largest * share / 100 / 1024)
        }
    };
    run.args(mounts.map(|flags| [flags, "sh"]).into_iter().flatten());
    run.args(["-c", script, "sh", &kib.max(16).to_string(), MAILJOURNAL]);
    expect_success("a collate on a full disk", run.current_dir(folder.path()))?;
    let said = fs::read_to_string(at("said")).unwrap_or_default();
    let code = fs::read_to_string(at("code")).unwrap_or_default();
    if code.trim() != "1" || !said.contains("error: cannot write") || !said.contains("run the same command again") {
        return Err(format!("a full disk: exit code {}, and it said: {said}", code.trim()));
    }
    expect_last_good_state(&tree(&at("full")), &whole)?;
    if tree(&at("done")) != whole {
        return Err("after a full disk had room again, the output differs".into());
    }
    Ok(())
}

/// What counts is in files that only grow: each is cut back to a commit, so it is a beginning of what it becomes.
fn expect_last_good_state(full: &BTreeMap<PathBuf, Vec<u8>>, whole: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    for (path, bytes) in full.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl")) {
        if !whole.get(path).is_some_and(|whole| whole.starts_with(bytes))
            || !(bytes.is_empty() || bytes.ends_with(b"\n"))
        {
            return Err(format!("on a full disk {} was left in no good state", path.display()));
        }
    }
    Ok(())
}

fn expect_success(what: &str, command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// How `unshare` makes a namespace in which we may mount, if there is a way.
fn namespace(disk: &Path) -> Option<&'static str> {
    ["-m", "-rm"].into_iter().find(|flags| {
        let mut mount = Command::new("unshare");
        mount.arg(flags).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(disk);
        mount.output().is_ok_and(|output| output.status.success())
    })
}

/// Every file that a person reads, and its bytes.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below it").to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
