//! The words of `intelmesh consumer`. What they do is `cli::consumer`'s.

use clap::Subcommand;

use crate::control::ConsumerPlace;
use crate::protocol::io::StartPosition;

#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerVerb {
    /// List the consumers that have a position in the journal; needs no running node.
    #[command(after_help = "Examples:
  intelmesh consumer list")]
    List,
    /// Show one consumer: its position, what it has still to read, and what it missed.
    #[command(after_help = "Examples:
  intelmesh consumer show soc")]
    Show {
        /// The consumer's name
        name: String,
    },
    /// Remove a consumer at once: its position is deleted, and status no longer warns about it.
    #[command(after_help = "Examples:
  intelmesh consumer remove soc

To remove a door, delete it in intelmesh.toml. A reader that connects again is a new consumer.")]
    Remove {
        /// The consumer's name
        name: String,
    },
    /// Move the position of a consumer at once: it gets everything from there again.
    #[command(after_help = "Examples:
  intelmesh consumer rewind soc                               everything that is held
  intelmesh consumer rewind soc --to now                      nothing of what is held
  intelmesh consumer rewind soc --to 2026-11-20T10:00:00Z")]
    Rewind {
        /// The consumer's name
        name: String,
        /// Where it continues: earliest, now, a seq, or an RFC 3339 time
        #[arg(long, value_name = "PLACE", default_value = "earliest", value_parser = place)]
        to: ConsumerPlace,
    },
}

fn place(text: &str) -> Result<ConsumerPlace, String> {
    match StartPosition::parse(text) {
        Some(StartPosition::Earliest) => Ok(ConsumerPlace::Earliest),
        Some(StartPosition::Now) => Ok(ConsumerPlace::Now),
        Some(StartPosition::Seq(seq)) => Ok(ConsumerPlace::Seq(seq)),
        Some(StartPosition::Time(time)) => Ok(ConsumerPlace::Time(time)),
        None => Err("expected earliest, now, a seq or an RFC 3339 time".to_owned()),
    }
}
