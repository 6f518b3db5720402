//! The verbs of `aside`.

use clap::Subcommand;

use super::values::whole;

#[derive(Debug, Subcommand)]
pub(crate) enum AsideVerb {
    /// List the events that doors set aside, and why; needs no running node.
    #[command(after_help = "Examples:
  intelmesh aside list
  intelmesh aside list pipeline --json | jq -r .code | sort | uniq -c")]
    List {
        /// One door only, by its name in `status`
        door: Option<String>,
        /// Only the last N of each door
        #[arg(long, value_name = "N", value_parser = |text: &str| whole(text, 1..=usize::MAX))]
        last: Option<usize>,
    },
    /// Send everything that a door set aside through it again; events refused again are set aside again.
    #[command(after_help = "Examples:
  intelmesh aside retry pipeline")]
    Retry {
        /// The door, by its name in `status`
        door: String,
    },
}
