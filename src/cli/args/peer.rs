//! The words of `intelmesh peer`. What they do is `cli::peer`'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{label, whole};
use crate::control::{EventRef, TRIAL_LAST_DEFAULT, TRIAL_LAST_MAX};
use crate::identity::PublisherName;
use crate::policy::Tlp;

#[derive(Debug, Subcommand)]
pub enum PeerVerb {
    /// Add the node of an invitation, after showing who it is.
    #[command(after_help = "Examples:
  intelmesh peer add intelmesh1qqs…
  intelmesh peer add mail.txt                  wrapped, quoted or signed: it is found
  intelmesh peer add - --yes --tlp-max GREEN < cert-ee.invitation

Compare the fingerprint's words with the peer by another way (phone, signed mail).")]
    Add(PeerAddArgs),
    /// List the peers and what they may have.
    #[command(after_help = "Examples:
  intelmesh peer list -C /srv/mesh")]
    List,
    /// Show one peer: its key, its addresses, what it may have, and how its feed stands.
    #[command(after_help = "Examples:
  intelmesh peer show cert-ee")]
    Show {
        /// As its file in peers/ is called
        name: PublisherName,
    },
    /// Remove a peer: it is cut off at once; what was accepted from it stays.
    #[command(after_help = "Examples:
  intelmesh peer remove cert-ee")]
    Remove {
        /// As its file in peers/ is called
        name: PublisherName,
    },
    /// Stop exchanging with a peer at once; its place is kept.
    #[command(after_help = "Examples:
  intelmesh peer pause cert-ee")]
    Pause {
        /// As its file in peers/ is called
        name: PublisherName,
    },
    /// Go on exchanging with a paused peer, from where it was.
    #[command(after_help = "Examples:
  intelmesh peer resume cert-ee")]
    Resume {
        /// As its file in peers/ is called
        name: PublisherName,
    },
    /// Dial a peer (or all) at each of its addresses, and say what happened.
    #[command(after_help = "Examples:
  intelmesh peer check cert-ee
  intelmesh peer check                         all peers; exits 1 where one does not answer
  intelmesh peer check --dry-run new/cert-ee.toml --last 5000

With --dry-run nothing is dialled. It shows what a changed peer file would share or hold back of the
last events in the running node's journal, and what the file in force does.")]
    Check(PeerCheckArgs),
    /// Say whether a peer got an event, and why not: the rule that decides, and what would have to change.
    #[command(after_help = "Examples:
  intelmesh peer explain cert-ee 72ddb00c")]
    Explain {
        /// As its file in peers/ is called
        name: PublisherName,
        /// A full name, or 8 or more characters of its UUID
        id: EventRef,
    },
    /// Compare a peer's fingerprint and ours with its operator, word by word, and write down that it was done.
    #[command(after_help = "Examples:
  intelmesh peer verify cert-ee")]
    Verify {
        /// As its file in peers/ is called
        name: PublisherName,
        /// Do not ask: the words were compared
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct PeerCheckArgs {
    /// As its file in peers/ is called [default: all peers]
    pub name: Option<PublisherName>,
    /// Compare this peer file with the one in force instead; its name is the peer's: cert-ee.toml
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub dry_run: Option<PathBuf>,
    /// How many events to look at, 1 to 20000
    #[arg(long, value_name = "N", requires = "dry_run", default_value_t = TRIAL_LAST_DEFAULT,
        value_parser = |text: &str| whole(text, 1..=TRIAL_LAST_MAX))]
    pub last: u64,
}

#[derive(Debug, Args)]
pub struct PeerAddArgs {
    /// What `intelmesh invite` printed at the peer, as mail delivered it: the text, a file with it, or - for stdin
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
    /// Do not connect to it: it connects to us, and is missed if it does not
    #[arg(long)]
    pub no_connect: bool,
    /// Trust what it publishes, which comes through others: never connect to it, and do not miss it
    #[arg(long, conflicts_with = "no_connect")]
    pub publisher_only: bool,
    /// Only write it down: it is trusted once its words were compared with `peer verify`
    #[arg(long, conflicts_with = "yes")]
    pub pending: bool,
}
