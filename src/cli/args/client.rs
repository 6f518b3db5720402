//! The words of `intelmesh client`. What they do is `cli::client`'s.

use clap::{Args, Subcommand};

use super::values::label;
use crate::identity::PublisherName;
use crate::policy::Tlp;

#[derive(Debug, Subcommand)]
pub(crate) enum ClientVerb {
    /// Add a client of the HTTP door, and print its token: it is shown once; needs no running node.
    #[command(after_help = "Examples:
  intelmesh client add soc > soc.token
  intelmesh client add dashboard --tlp-max GREEN --read-only

The client sends it with each request: Authorization: Bearer TOKEN")]
    Add(ClientAddArgs),
    /// List the clients with what they may get; needs no running node.
    #[command(after_help = "Examples:
  intelmesh client list")]
    List,
    /// Remove a client: its token is worth nothing from then on; needs no running node.
    #[command(after_help = "Examples:
  intelmesh client remove soc

Its file is kept in clients/removed/.")]
    Remove {
        /// As its file in clients/ is called
        name: PublisherName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClientAddArgs {
    /// A short name: a-z, 0-9 and "-", at most 32
    pub name: PublisherName,
    /// The strictest label that it may get [default: AMBER]
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub tlp_max: Option<Tlp>,
    /// It may not post events
    #[arg(long)]
    pub read_only: bool,
}
