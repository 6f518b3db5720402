//! The operator's files, checked: `intelmesh.toml` and `peers/*.toml` become types, or problems with file, line and
//! remedy, all of them at once. In reading order: `problem`, `reading` (TOML with places), `address`, `node`
//! (`intelmesh.toml`), `doors` (its `[[submit]]` and `[[consumer]]`), `peer_file` (one peer), `groups` (names for
//! several peers), `client_file` (one client of the HTTP door), `peers` (all, and reloads), `write` (for `init` and `peer add`, in the command line alone).
//!
//! Loading has no effects. Nothing here touches private keys, sockets or the journal.

pub(crate) mod address;
mod client_file;
mod doors;
pub(crate) mod filters;
pub(crate) mod groups;
pub(crate) mod log_level;
pub(crate) mod node;
mod node_text;
pub(crate) mod peer_file;
pub(crate) mod peers;
pub(crate) mod problem;
mod reading;
pub(crate) mod web;
pub(crate) mod write;

use std::path::{Path, PathBuf};

pub(crate) use client_file::{ClientFile, TokenHash};
pub(crate) use filters::FileLists;
pub(crate) use node::{JournalSettings, NodeConfig, NodePaths};
pub use peer_file::PeerFile;
pub(crate) use peer_file::{PeerPairing, span};
pub(crate) use peers::{FilesFingerprint, PeerFiles};
pub(crate) use problem::{ConfigErrors, ConfigFault, ConfigProblem};
pub(crate) use web::WebSettings;

/// The file that makes a directory a node.
pub(crate) const NODE_FILE: &str = "intelmesh.toml";

/// Returns the text that `init` writes, for the manual.
pub(crate) fn sample_node() -> String {
    node_text::sample()
}

/// Returns the node's directory for the value of `-C`: the directory itself, or its `intelmesh.toml`.
pub(crate) fn node_dir(given: &Path) -> PathBuf {
    match (given.file_name(), given.parent()) {
        (Some(name), Some(parent)) if name == NODE_FILE && given.is_file() => {
            if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
        }
        _ => given.to_owned(),
    }
}
