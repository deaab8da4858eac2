//! The process as a person starts it, killed with -9 again and again: the same output in the end.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    cli::{ended, program},
    files_collate::{organisation, tree},
};

const KILLS: u32 = 12;

fn arguments<'a>(input: &'a str, out: &'a str) -> [&'a str; 6] {
    ["collate", input, "--out", out, "--commit-every", "25"]
}

fn start(folder: &Path, out: &str) -> Child {
    program(&arguments("in", out))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn committed(out: &Path) -> Option<u64> {
    let text = fs::read(out.join(".mailjournal/commit.json")).ok()?;
    let commit: serde_json::Value = serde_json::from_slice(&text).expect("a commit is never torn");
    commit["read"]["reports"].as_u64()
}

#[test]
fn killed_at_many_moments_it_ends_in_the_same_output() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 400);
    let begun = Instant::now();
    assert_eq!(ended(program(&arguments("in", "whole")).current_dir(folder.path())).code, Some(0));
    let whole_run = begun.elapsed();

    // Moments spread over a whole run, by a fixed rule and not evenly, each counted from where the last kill left it.
    let mut random: u32 = 2026;
    let mut kills_midway = 0;
    for _ in 0..KILLS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut child = start(folder.path(), "out");
        std::thread::sleep(whole_run.mul_f64(f64::from(random >> 16) / 65_536.0 * 0.5) + Duration::from_millis(1));
        child.kill().expect("it is ours");
        let killed = !child.wait().expect("it ended").success();
        let read = committed(&folder.path().join("out"));
        kills_midway += u32::from(killed && read.is_some_and(|read| read > 0));
    }
    let last = ended(program(&arguments("in", "out")).current_dir(folder.path()));
    assert_eq!(last.code, Some(0), "{}", last.err);
    assert!(last.out.contains("The ledger adds up"), "{}", last.out);
    assert!(
        tree(&folder.path().join("out")) == tree(&folder.path().join("whole")),
        "after {KILLS} kills the output differs"
    );
    println!("{kills_midway} of {KILLS} kills came after a commit that had read something");
}

/// `ulimit -f` makes every write beyond a size fail, as a full disk does.
#[test]
fn a_disk_that_is_full_is_told_and_leaves_the_last_good_state() {
    let folder = TempDir::new().expect("a folder");
    organisation(&folder.path().join("in"), 200);
    assert_eq!(ended(program(&arguments("in", "whole")).current_dir(folder.path())).code, Some(0));
    let mut limited = program(&[]);
    let binary = limited.get_program().to_owned();
    limited = std::process::Command::new("sh");
    limited.arg("-c").arg("trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"").arg(binary).args(arguments("in", "out"));
    let stopped = ended(limited.current_dir(folder.path()));
    assert_eq!(stopped.code, Some(1), "{}", stopped.err);
    assert!(
        stopped.err.contains("error: cannot write out/") && stopped.err.contains("run the same command again"),
        "{}",
        stopped.err
    );
    assert_eq!(ended(program(&arguments("in", "out")).current_dir(folder.path())).code, Some(0));
    assert!(tree(&folder.path().join("out")) == tree(&folder.path().join("whole")));
}

#[test]
fn what_was_wrong_decides_the_exit_code() {
    let folder = TempDir::new().expect("a folder");
    let check = |arguments: &[&str], code: i32, expect: &str| {
        let ended = ended(program(arguments).current_dir(folder.path()));
        assert_eq!(ended.code, Some(code), "{arguments:?} {ended:?}");
        assert!(ended.err.contains(expect), "{arguments:?} {ended:?}");
    };
    check(&["collate", "gone", "--out", "out"], 2, "gone is not there");
    check(&["collate", "--out", "out"], 2, "PATH");
    fs::create_dir(folder.path().join("in")).expect("a folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    check(&["collate", "in", "--out", "file"], 1, "cannot write file");
}
