//! `demo`: a small organisation's mail through the real rooms, and what came of it shown to a person.

#[cfg(feature = "kafka")]
mod brokers;
mod folder;
mod show;

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Args;

pub use folder::write_folder;

use self::show::{Paint, Shown};
use super::{Context, Failure};
use crate::{
    files::{self, CollateOptions, FilesError},
    sample::{Options, Organisation},
};

/// Makes a small organisation's mail, runs it through the rooms that `run` uses, and shows what happened.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// The folder to write to. A former demo's folder is replaced; any other is left alone.
    #[arg(long, value_name = "DIR", default_value = "mailjournal-demo")]
    out: PathBuf,
    /// Through a real Kafka instead: in topics of its own, which stay for a look.
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "out")]
    brokers: Option<String>,
    /// Another number makes another week's mail.
    #[arg(long, value_name = "NUMBER", default_value_t = SEED)]
    seed: u64,
}

#[cfg(feature = "kafka")]
const EXAMPLES: &str = "\
Examples:
  mailjournal demo
  mailjournal demo --out /tmp/demo --seed 7
  mailjournal demo --brokers 127.0.0.1:9092";

#[cfg(not(feature = "kafka"))]
const EXAMPLES: &str = "\
Examples:
  mailjournal demo
  mailjournal demo --out /tmp/demo --seed 7";

/// A seed whose mail shows a nested list that two other servers expand.
const SEED: u64 = 52;

/// Says that a folder is a demo's own, to be replaced by the next.
const MARKER: &str = ".mailjournal-demo";

impl Demo {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let organisation = Organisation::with(Options::showcase(self.seed));
        #[cfg(feature = "kafka")]
        if let Some(brokers) = &self.brokers {
            return brokers::run(brokers, &organisation, context);
        }
        prepare(&self.out)?;
        let (arrivals, records) = (self.out.join("arrivals"), self.out.join("records"));
        write_folder(&organisation, &arrivals).map_err(|error| cannot_write(&arrivals, &error))?;
        // A demo that a power failure cuts short is run again.
        let options = CollateOptions { durable: false, ..CollateOptions::default() };
        files::collate(std::slice::from_ref(&arrivals), &records, options, &mut |_| {}).map_err(failure)?;
        let shown = Shown::read(&arrivals, &records).map_err(Failure::Failed)?;
        context.write(|out| shown.write(out, Paint::for_terminal(io::stdout().is_terminal())))?;
        shown.check().map_err(Failure::Failed)?;
        context.write(|out| show::write_next_steps(out, &super::program(), &self.out))
    }
}

/// An empty folder at `out`, whatever a former demo left there.
fn prepare(out: &Path) -> Result<(), Failure> {
    let replaced = match fs::read_dir(out) {
        Ok(mut entries) => {
            if entries.next().is_some() && !out.join(MARKER).is_file() {
                let out = out.display();
                return Err(Failure::Usage(format!(
                    "{out} exists and is not a former demo's: name another folder with --out, or remove it yourself"
                )));
            }
            fs::remove_dir_all(out)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    let made = replaced.and_then(|()| fs::create_dir_all(out)).and_then(|()| {
        fs::write(out.join(MARKER), "mailjournal demo wrote this folder and will replace it when run again.\n")
    });
    made.map_err(|error| cannot_write(out, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write {}: {error}; name another folder with --out", path.display()))
}

fn failure(error: FilesError) -> Failure {
    match error {
        FilesError::Usage(text) => Failure::Usage(text),
        FilesError::Failed(text) => Failure::Failed(text),
    }
}
