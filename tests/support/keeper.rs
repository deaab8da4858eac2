//! A program that runs beside a test, and ends with it in whatever way the test ends.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// One program and its folder. Dropped, both are gone; so they are when this process ends in whatever way.
pub struct Keeper {
    folder: PathBuf,
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// A fresh folder for a [`Keeper`]. tests/run knows folders by this prefix.
    pub fn folder() -> PathBuf {
        tempfile::Builder::new().prefix("mailjournal-kept-").tempdir().expect("a folder").keep()
    }

    /// Takes over a folder, and the command's program, arguments and variables; nothing runs yet. What the program says
    /// goes to `log` in the folder.
    pub fn of(folder: PathBuf, command: &Command) -> Keeper {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/keep");
        let mut process = Command::new("bash")
            .arg(script)
            .arg(&folder)
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of Ctrl-C, which would end the keeper before it has cleaned up.
            .process_group(0)
            .spawn()
            .expect("bash");
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("a piped stdout"));
        Keeper { folder, process, orders, answers }
    }

    /// Starts the program, or starts it again.
    pub fn start(&mut self) {
        self.order("start");
    }

    /// SIGTERM, and SIGKILL where that does not help within half a minute. Returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let answer = self.order("stop");
        answer.strip_prefix("stopped ").and_then(|code| code.parse().ok())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// SIGSTOP.
    pub fn pause(&mut self) {
        self.order("pause");
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.order("resume");
    }

    pub fn is_running(&mut self) -> bool {
        self.pid().is_some()
    }

    /// The program's process, while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.order("look").strip_prefix("running ")?.parse().ok()
    }

    /// All that the program has said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Has the keeper do something, and returns what it then says: `running PID` or `stopped CODE`.
    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().expect("a keeper that listens"), "{order}").expect("the keeper lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The end of its orders is what tells the keeper to clean up.
        self.orders = None;
        let _ = self.process.wait();
    }
}

/// The last lines of a log.
pub fn tail(log: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}
