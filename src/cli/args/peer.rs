//! The words of `intelmesh peer`. What they do is `cli::peer`'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{label, whole};
use crate::control::{EventRef, TRIAL_LAST_DEFAULT, TRIAL_LAST_MAX};
use crate::identity::PublisherName;
use crate::policy::Tlp;

#[derive(Debug, Subcommand)]
pub(crate) enum PeerVerb {
    /// Add a peer from its invitation, after showing its fingerprint.
    #[command(after_help = "Examples:
  intelmesh peer add intelmesh1qqs…
  intelmesh peer add mail.txt                  wrapped, quoted or signed: it is found
  intelmesh peer add - --yes --tlp-max GREEN < cert-ee.invitation

Compare the fingerprint's words with the peer by another way (phone, signed mail).")]
    Add(PeerAddArgs),
    /// List the peers and what they may get.
    #[command(after_help = "Examples:
  intelmesh peer list -C /srv/mesh")]
    List,
    /// Show one peer: its keys, its addresses, what it may get, and the state of its feed.
    #[command(after_help = "Examples:
  intelmesh peer show cert-ee")]
    Show {
        /// The peer: the name of its file in peers/
        name: PublisherName,
    },
    /// Remove a peer: it is cut off at once; events already accepted from it are kept.
    #[command(after_help = "Examples:
  intelmesh peer remove cert-ee")]
    Remove {
        /// The peer: the name of its file in peers/
        name: PublisherName,
    },
    /// Give a peer another name: its file is renamed, and the old name becomes an alias.
    #[command(after_help = "Examples:
  intelmesh peer rename cert-estonia cert-ee")]
    Rename {
        /// The peer: the name of its file in peers/
        old: PublisherName,
        /// Its new name
        new: PublisherName,
    },
    /// Show the settings in which two peers, two files, or a peer and the defaults differ.
    #[command(after_help = "Examples:
  intelmesh peer diff cert-ee                  what was changed from the defaults
  intelmesh peer diff cert-ee cert-lv
  intelmesh peer diff cert-ee peers/removed/cert-ee.toml-20261120T100000123Z

Exits 1 if they differ. For their effect on real events: intelmesh peer check --dry-run FILE")]
    Diff {
        /// A peer, or a file like one
        #[arg(value_name = "NAME|FILE")]
        left: String,
        /// Another one [default: the defaults]
        #[arg(value_name = "NAME|FILE")]
        right: Option<String>,
    },
    /// Stop exchanging events with a peer at once; its read position is kept.
    #[command(after_help = "Examples:
  intelmesh peer pause cert-ee")]
    Pause {
        /// The peer: the name of its file in peers/
        name: PublisherName,
    },
    /// Resume a paused peer from its read position.
    #[command(after_help = "Examples:
  intelmesh peer resume cert-ee")]
    Resume {
        /// The peer: the name of its file in peers/
        name: PublisherName,
    },
    /// Dial a peer (or all) at each of its addresses, and report the result.
    #[command(after_help = "Examples:
  intelmesh peer check cert-ee
  intelmesh peer check                         all peers; exits 1 if one does not answer
  intelmesh peer check --dry-run new/cert-ee.toml --last 5000

With --dry-run nothing is dialled. It shows what a changed peer file would share or hold back of the
last events in the running node's journal, and what the file in force does.")]
    Check(PeerCheckArgs),
    /// Show whether a peer got an event: the rule that decides, and what would have to change.
    #[command(after_help = "Examples:
  intelmesh peer explain cert-ee 72ddb00c")]
    Explain {
        /// The peer: the name of its file in peers/
        name: PublisherName,
        /// A full name, or 8 or more characters of its UUID
        id: EventRef,
    },
    /// Compare a peer's fingerprint and ours with its operator, word by word, and record that it was done.
    #[command(after_help = "Examples:
  intelmesh peer verify cert-ee")]
    Verify {
        /// The peer: the name of its file in peers/
        name: PublisherName,
        /// Do not ask: the words were compared
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PeerCheckArgs {
    /// The peer: the name of its file in peers/ [default: all peers]
    pub name: Option<PublisherName>,
    /// Dial nothing: compare this file with the peer file in force; it is named like that one: cert-ee.toml
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub dry_run: Option<PathBuf>,
    /// How many events to look at, 1 to 20000
    #[arg(long, value_name = "N", requires = "dry_run", default_value_t = TRIAL_LAST_DEFAULT,
        value_parser = |text: &str| whole(text, 1..=TRIAL_LAST_MAX))]
    pub last: u64,
}

#[derive(Debug, Args)]
pub(crate) struct PeerAddArgs {
    /// The peer's invitation, as a mail delivered it: the text, a file that has it, or - for stdin
    #[arg(required = true, num_args = 1..)]
    pub invitation: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The strictest label that goes to this peer [default: AMBER]
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub tlp_max: Option<Tlp>,
    /// Take only what this peer publishes itself
    #[arg(long)]
    pub no_relay: bool,
    /// Never dial it: it connects to us, and status warns if it does not
    #[arg(long)]
    pub no_connect: bool,
    /// Trust its events, which arrive through other peers: never dial it, and do not warn if it is absent
    #[arg(long, conflicts_with = "no_connect")]
    pub publisher_only: bool,
    /// Record it without trusting it; it is trusted after `peer verify`
    #[arg(long, conflicts_with = "yes")]
    pub pending: bool,
}
