//! The words of `intelmesh event`. What they do is `cli::event`'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::whole;
use crate::control::{EventRef, LIST_LAST_DEFAULT, LIST_LAST_MAX};
use crate::identity::PublisherName;

#[derive(Debug, Subcommand)]
pub(crate) enum EventVerb {
    /// List the newest events of the journal, also ours, each in a few words.
    #[command(after_help = "Examples:
  intelmesh event list --last 50
  intelmesh event list --publisher cert-ee --filter 'classified(event, \"phishing\")'
  intelmesh event list --json | jq -r '.events[].id'")]
    List(EventListArgs),
    /// Show one event, decoded: its publisher, its path, its content, and who got it.
    #[command(after_help = "Examples:
  intelmesh event show 72ddb00c
  intelmesh event show cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b --json")]
    Show {
        /// A full name, or 8 or more characters of its UUID
        id: EventRef,
    },
    /// Show the events that an event is linked to, as a tree: ancestors, descendants and related ones.
    #[command(after_help = "Examples:
  intelmesh event trace 72ddb00c
  intelmesh event trace 72ddb00c --dot | dot -Tsvg > event.svg
  intelmesh event trace --alternate 'CESNET-RT#2235' --json")]
    Trace(TraceArgs),
    /// Write an envelope to a file as it was received: the bytes of a COSE_Sign1.
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
    /// Withdraw an event of ours: publishes a withdrawal for everybody who got it.
    #[command(after_help = "Examples:
  intelmesh event withdraw 72ddb00c --reason 'The address was reassigned.'")]
    Withdraw {
        /// An event that this node published
        id: EventRef,
        /// The reason, for people; it becomes event_description.text
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Replace an event of ours by a better one: publishes it for everybody who got the first.
    #[command(after_help = "Examples:
  intelmesh event replace 72ddb00c better.json
  echo '{\"source.ip\":\"192.0.2.9\"}' | intelmesh event replace 72ddb00c -")]
    Replace {
        /// An event that this node published
        id: EventRef,
        /// The new event alone, in the format of the first; - is stdin
        file: PathBuf,
    },
    /// List the events that wait for `release` or `drop`, because a revoked key signed them.
    #[command(after_help = "Examples:
  intelmesh event waiting")]
    Waiting,
    /// Accept an event held back because a revoked key signed it (or all such events of a publisher).
    #[command(after_help = "Examples:
  intelmesh event release cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b
  intelmesh event release cert-at")]
    Release {
        /// An event, or a publisher: all of its waiting events
        #[arg(value_name = "ID|PUBLISHER")]
        what: String,
    },
    /// Drop an event held back because a revoked key signed it (or all such events of a publisher).
    #[command(after_help = "Examples:
  intelmesh event drop cert-at")]
    Drop {
        /// An event, or a publisher: all of its waiting events
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

`intelmesh event show ID` opens events of the journal.")]
    Open {
        /// A file that `event export` wrote
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EventListArgs {
    /// How many events, 1 to 2000
    #[arg(long, value_name = "N", default_value_t = LIST_LAST_DEFAULT,
        value_parser = |text: &str| whole(text, 1..=LIST_LAST_MAX))]
    pub last: u64,
    /// Only events of this publisher
    #[arg(long, value_name = "NAME")]
    pub publisher: Option<PublisherName>,
    /// Only events that this CEL expression admits (docs/FILTERS.md)
    #[arg(long, value_name = "CEL")]
    pub filter: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A full name, or 8 or more characters of its UUID
    #[arg(required_unless_present = "alternate", conflicts_with = "alternate")]
    pub id: Option<EventRef>,
    /// Instead of ID: begin with every event that has this id in another system, written as in the link
    #[arg(long, value_name = "TEXT")]
    pub alternate: Option<String>,
    /// Links to follow from there, at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = |text: &str| whole(text, 1..=64_u8))]
    pub depth: u8,
    /// Full names instead of the first 8 characters of their UUIDs
    #[arg(long)]
    pub full: bool,
    /// Print a graph for Graphviz
    #[arg(long, conflicts_with = "ntriples")]
    pub dot: bool,
    /// Print RDF as N-Triples (docs/LINKS.md)
    #[arg(long)]
    pub ntriples: bool,
}
