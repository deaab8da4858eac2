//! `mailjournal topics create|check`.

use super::{Context, Failure};
use crate::{
    kafka::topics::{self, Finding},
    limits,
};

/// Creates the topics, or says what is wrong with them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mailjournal topics create
  mailjournal topics create --partitions 12
  mailjournal topics check

`create` makes what is missing, with the settings' partitions and replication; `check` ends with exit code 1 if \
`mailjournal run` would refuse to start.")]
pub struct Topics {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Creates what is missing; topics that are there stay as they are.
    #[command(after_help = "Examples:\n  mailjournal topics create\n  mailjournal topics create --partitions 12")]
    Create {
        /// Partitions of each topic, instead of topics.partitions.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=limits::PARTITIONS_MAX as i64))]
        partitions: Option<i32>,
    },
    /// Says what is wrong with the topics, and what to do.
    #[command(
        after_help = "Examples:\n  mailjournal topics check\n  MAILJOURNAL_KAFKA_BROKERS=kafka:9092 mailjournal topics check"
    )]
    Check,
}

impl Topics {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let settings = context.settings()?;
        match self.what {
            What::Create { partitions } => {
                for line in topics::create(&settings, partitions).map_err(Failure::Failed)? {
                    context.print(line)?;
                }
                Ok(())
            }
            What::Check => {
                let inspection = topics::inspect(&settings, limits::REACH_MAX);
                let findings = inspection.map_err(|trouble| Failure::Failed(trouble.why))?.findings();
                let mut wrong = 0;
                for finding in &findings {
                    match finding {
                        Finding::Wrong(text) => {
                            wrong += 1;
                            context.print(format_args!("wrong: {text}"))?;
                        }
                        Finding::Note(text) => context.print(format_args!("note: {text}"))?,
                    }
                }
                match wrong {
                    0 => context.print("the topics are fit for `mailjournal run`"),
                    wrong => Err(Failure::Failed(format!("{wrong} thing(s) wrong with the topics"))),
                }
            }
        }
    }
}
