//! One thin file a subcommand: arguments and settings in, an exit code out.
//!
//! A subcommand is a type that derives [`clap::Args`], has a `Command` of its name, and a
//! `run(self, context: &Context) -> Result<(), Failure>`. It prints through [`Context::print`] and [`Context::write`],
//! never with `println!`, which panics when the reader of a pipe has gone.

mod collate;
mod config;
pub mod demo;
mod report;

#[cfg(feature = "kafka")]
mod run;
#[cfg(feature = "kafka")]
mod topics;

use std::{
    ffi::OsStr,
    fmt::Display,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::settings::{Effective, Settings, SettingsErrors};

/// Merges the partial journal reports of mail servers into one complete journal record a message.
#[derive(Parser)]
#[command(name = "mailjournal", version, after_help = EXAMPLES)]
struct Arguments {
    /// The settings file (TOML), else the one MAILJOURNAL_CONFIG names; every key can also be set as
    /// MAILJOURNAL_SECTION_KEY.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log to standard error: error, warn, info, debug or trace, also for a module alone
    /// (`mailjournal::kafka=debug`). Else what RUST_LOG says, else info.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "LEVEL")]
    log: Option<String>,
    /// How to log.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const GLOBAL: &str = "Options of every command";

const EXAMPLES: &str = "\
Examples:
  mailjournal demo                            an organisation's mail, shown
  mailjournal collate mails/ --out records    mails in files, without Kafka
  mailjournal config check                    are the settings right?
  mailjournal --config mailjournal.toml run   with a settings file
  MAILJOURNAL_KAFKA_BROKERS=kafka:9092 mailjournal run

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.";

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// A line a person reads.
    Text,
    /// A JSON object a line.
    Json,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Collate(collate::Collate),
    #[cfg(feature = "kafka")]
    Run(run::Run),
    #[cfg(feature = "kafka")]
    Topics(topics::Topics),
    Config(config::Config),
    Report(report::Report),
}

impl Command {
    fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Command::Demo(command) => command.run(context),
            Command::Collate(command) => command.run(context),

            #[cfg(feature = "kafka")]
            Command::Run(command) => command.run(context),
            #[cfg(feature = "kafka")]
            Command::Topics(command) => command.run(context),
            Command::Config(command) => command.run(context),
            Command::Report(command) => command.run(context),
        }
    }
}

/// Why a command ended without success: what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 1. Each line is an error of its own.
    #[error("{0}")]
    Failed(String),
    /// Exit code 2: wrong usage or settings. Each line is an error of its own.
    #[error("{0}")]
    Usage(String),
    /// Exit code 2.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// Standard output cannot be written. Exit code 1, but a reader that has gone (`| head`) is no failure.
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

/// What every command is given besides its own arguments.
pub struct Context {
    config: Option<PathBuf>,
}

impl Context {
    /// The checked settings: file, then environment.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.settings_with_origins()?.0)
    }

    /// As [`Context::settings`], with more variables, which beat those of the environment.
    #[cfg(feature = "kafka")]
    fn settings_with(&self, more: &[(String, String)]) -> Result<Settings, Failure> {
        let ours = variables().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let settings = Settings::load(self.config.as_deref(), ours.chain(more.iter().cloned()))?;
        check_client(&settings)?;
        Ok(settings)
    }

    fn settings_with_origins(&self) -> Result<(Settings, Vec<Effective>), Failure> {
        let (settings, effective) = Settings::load_with_origins(self.config.as_deref(), variables())?;
        check_client(&settings)?;
        Ok((settings, effective))
    }

    /// Prints a line to standard output.
    pub fn print(&self, line: impl Display) -> Result<(), Failure> {
        self.write(|out| writeln!(out, "{line}"))
    }

    /// Hands out standard output, buffered.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        write(&mut out).and_then(|()| out.flush()).map_err(Failure::Output)
    }
}

/// Whether the Kafka client takes what is passed through to it.
#[cfg(feature = "kafka")]
fn check_client(settings: &Settings) -> Result<(), Failure> {
    crate::kafka::check_properties(&settings.kafka).map_err(Failure::Usage)
}

/// A build without the Kafka client passes nothing through.
#[cfg(not(feature = "kafka"))]
fn check_client(_: &Settings) -> Result<(), Failure> {
    Ok(())
}

/// How a person starts this program again: by its name where the PATH leads to it, else by the path that it was started
/// by.
fn program() -> String {
    let started = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let name = started.file_name().unwrap_or(OsStr::new("mailjournal"));
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|folder| folder.join(name)).find(|path| path.is_file());
    let same = found.and_then(|found| found.canonicalize().ok()) == started.canonicalize().ok();
    if started.components().count() < 2 || same {
        return quoted(Path::new(name));
    }
    let here = std::env::current_dir().unwrap_or_default();
    // One component alone would be looked for on the PATH.
    let below = started.strip_prefix(&here).ok().filter(|below| below.components().count() > 1);
    quoted(below.unwrap_or(&started))
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_alphanumeric() || "/._-+=:,@%".contains(character);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// `1 arrival`, `2 arrivals`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        // A name that is not UTF-8 is not ours; a value that is not is refused by its replacement character.
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    })
}

/// Runs the command line that the process was given.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = start_log(arguments.log.as_deref(), arguments.log_format).and_then(|()| {
        let named = || std::env::var_os("MAILJOURNAL_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let context = Context { config: arguments.config.or_else(named) };
        arguments.command.run(&context)
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end_with(&failure),
    }
}

fn end_with(failure: &Failure) -> ExitCode {
    let code = match failure {
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Failed(_) | Failure::Output(_) => 1,
        Failure::Usage(_) | Failure::Settings(_) => 2,
    };
    let lines: Vec<String> = failure.to_string().lines().map(|line| format!("error: {line}\n")).collect();
    // Where standard error is closed too, the exit code still tells.
    let _ = io::stderr().write_all(lines.concat().as_bytes());
    ExitCode::from(code)
}

fn start_log(level: Option<&str>, format: LogFormat) -> Result<(), Failure> {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let (name, text) = match (level, &variable) {
        (Some(level), _) => ("--log", level),
        (None, Some(variable)) => ("RUST_LOG", variable.as_str()),
        (None, None) => ("--log", "info"),
    };
    let filter = EnvFilter::builder()
        .parse(text)
        .map_err(|error| Failure::Usage(format!("{name}: `{text}` is no log level: {error}; try `--log debug`")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
