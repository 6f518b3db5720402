//! The words of `intelmesh event`. What they do is `cli::event`'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::whole;
use crate::control::EventRef;

#[derive(Debug, Subcommand)]
pub enum EventVerb {
    /// Show one event, decoded: who signed it, by which way it came, what it says.
    #[command(after_help = "Examples:
  intelmesh event show 72ddb00c
  intelmesh event show cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b --json")]
    Show {
        /// A full name, or 8 or more characters of its UUID
        id: EventRef,
    },
    /// Show what an event is linked to: ancestors, descendants and related events, as a tree.
    #[command(after_help = "Examples:
  intelmesh event trace 72ddb00c
  intelmesh event trace 72ddb00c --dot | dot -Tsvg > event.svg
  intelmesh event trace --alternate 'CESNET-RT#2235' --json")]
    Trace(TraceArgs),
    /// Write the envelope as it was signed: the bytes of a COSE_Sign1.
    #[command(after_help = "Examples:
  intelmesh event export 72ddb00c --cose event.cose
  intelmesh event export 72ddb00c --cose -  > event.cose")]
    Export {
        /// A full name, or 8 or more characters of its UUID
        id: EventRef,
        /// Where to write it, or - for stdout
        #[arg(long, value_name = "FILE")]
        cose: PathBuf,
    },
    /// Withdraw an event of ours: an event that says so goes to everybody who got it.
    #[command(after_help = "Examples:
  intelmesh event withdraw 72ddb00c --reason 'The address was reassigned.'")]
    Withdraw {
        /// An event that this node published
        id: EventRef,
        /// Why, for people; it becomes event_description.text
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List what waits for `release` or `drop`: events that a revoked key signed.
    #[command(after_help = "Examples:
  intelmesh event waiting")]
    Waiting,
    /// Accept an event held back because a revoked key signed it (or all such events of a publisher).
    #[command(after_help = "Examples:
  intelmesh event release cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b
  intelmesh event release cert-at")]
    Release {
        /// One event, or all that wait of one publisher
        #[arg(value_name = "ID|PUBLISHER")]
        what: String,
    },
    /// Drop an event held back because a revoked key signed it (or all such events of a publisher).
    #[command(after_help = "Examples:
  intelmesh event drop cert-at")]
    Drop {
        /// One event, or all that wait of one publisher
        #[arg(value_name = "ID|PUBLISHER")]
        what: String,
    },
    /// Verify the signature of an exported file, or of an event in the journal, against the keys in peers/.
    #[command(after_help = "Examples:
  intelmesh event verify event.cose            needs no running node
  intelmesh event verify 72ddb00c")]
    Verify {
        /// A file that `event export` wrote, or an event of the journal
        #[arg(value_name = "FILE|ID")]
        what: PathBuf,
    },
    /// Open an exported file that was sealed for this node, with keys/seal.pem, and print its payload.
    #[command(after_help = "Examples:
  intelmesh event open event.cose              needs no running node
  intelmesh event open event.cose --json       with links, parent and other meta information

What is in the journal is opened by `intelmesh event show ID`.")]
    Open {
        /// As `event export` wrote it
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// A full name, or 8 or more characters of its UUID
    #[arg(required_unless_present = "alternate", conflicts_with = "alternate")]
    pub id: Option<EventRef>,
    /// Instead of an ID: what has this id in another system, written as the link has it
    #[arg(long, value_name = "TEXT")]
    pub alternate: Option<String>,
    /// Links to follow from there, at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = |text: &str| whole(text, 1..=64_u8))]
    pub depth: u8,
    /// Full names instead of the first 8 characters of their UUIDs
    #[arg(long)]
    pub full: bool,
    /// A graph for Graphviz instead
    #[arg(long, conflicts_with = "ntriples")]
    pub dot: bool,
    /// RDF instead: N-Triples (docs/LINKS.md)
    #[arg(long)]
    pub ntriples: bool,
}
