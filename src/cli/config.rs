//! `config`: what the settings are, and whether they are right.

use clap::{Args, Subcommand};

use super::{Context, Failure};

/// Shows or checks the settings.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  mailjournal config show
  mailjournal --config mailjournal.toml config check
  MAILJOURNAL_CORRELATE_QUIET=2m mailjournal config show";

#[derive(Subcommand)]
enum Action {
    /// Prints every effective value as a settings file, each with where it came from; secrets as ***.
    #[command(after_help = EXAMPLES)]
    Show,
    /// Says OK, or everything for which `run` would refuse the settings.
    #[command(after_help = EXAMPLES)]
    Check,
}

impl Config {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (settings, effective) = context.settings_with_origins()?;
        match self.action {
            Action::Show => context.write(|out| effective.iter().try_for_each(|value| writeln!(out, "{value}"))),
            Action::Check => {
                settings.check_for_run(&effective)?;
                context.print("OK")
            }
        }
    }
}
