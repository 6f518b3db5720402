//! `audit.jsonl`: all decisions, with author and time, in their order (CONTRACT.md §4). Append-only: this program never
//! changes or removes a line. The command line writes the operator's decisions. The node writes the changes that it saw
//! in `peers/`, and the key statements that it applied. Secrets and events are never written here.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::files::lines;
use crate::identity::PublisherName;
use crate::ownership;
use crate::time::Timestamp;

/// Name of the file in the node's state directory.
pub(crate) const AUDIT_FILE: &str = "audit.jsonl";

/// The kind of a decision. A closed list, so readers of the file can rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditedAction {
    PeerAdded,
    PeerMerged,
    PeerVerified,
    PeerPaused,
    PeerResumed,
    PeerRemoved,
    PeerRenamed,
    /// A peer file came, changed or went, no matter who did it.
    PeerFileChanged,
    /// A statement named other keys of a publisher.
    KeysChanged,
    /// A publisher's key is revoked: by its own statement, or by the operator.
    KeyRevoked,
    KeyRotated,
    /// Events that a revoked key signed were accepted.
    EventReleased,
    EventDropped,
    ClockAccepted,
    FeedRewound,
    FeedRepaired,
    /// Incidents that `status` showed were seen.
    Acknowledged,
    /// `intelmesh.toml` was read again.
    Reloaded,
    ConsumerRemoved,
    ConsumerRewound,
    ClientAdded,
    ClientRemoved,
}

/// One line (`intelmesh.audit/1`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditDecision<'a> {
    #[serde(serialize_with = "crate::status::rfc3339::serialize")]
    pub at: Timestamp,
    pub what: AuditedAction,
    /// The user of this machine who did it, or `node`.
    pub who: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<&'a PublisherName>,
    /// In words, for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub how: &'a str,
}

/// Appends one line to the file in `state_dir`, durably. Makes the file (0600) if there is none. If a crash left a part
/// of another line, the new one is not damaged by it.
///
/// # Errors
/// Errors of the file system; nothing else depends on it.
pub(crate) fn append(state_dir: &Path, decision: &AuditDecision<'_>) -> io::Result<()> {
    let is_line = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
    lines::append_line(&state_dir.join(AUDIT_FILE), serde_json::to_vec(decision)?, is_line)
}

/// Checks whether lines can be appended to the file in `state_dir`, also if there is none yet.
///
/// # Errors
/// Errors of the file system.
pub(crate) fn check_writable(state_dir: &Path) -> io::Result<()> {
    match rustix::fs::access(state_dir.join(AUDIT_FILE), rustix::fs::Access::WRITE_OK) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        checked => Ok(checked?),
    }
}

/// The user who runs this program, and who became that user by sudo: `root (sudo alice)`.
pub fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = ownership::account(uid);
    let name = if name == uid.to_string() { format!("uid {uid}") } else { name };
    match std::env::var("SUDO_USER") {
        Ok(before) if uid == 0 && !before.is_empty() => {
            format!("{name} (sudo {})", before.chars().take(32).collect::<String>())
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_whole_and_the_file_is_the_owners_alone() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let peer = PublisherName::parse("cert-ee").unwrap();
        for what in [AuditedAction::PeerAdded, AuditedAction::PeerVerified] {
            let decision = AuditDecision {
                at: Timestamp(1_700_000_000_123),
                what,
                who: "alice".into(),
                peer: Some(&peer),
                how: "",
            };
            append(dir.path(), &decision).unwrap();
        }
        let file = dir.path().join(AUDIT_FILE);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "{\"at\":\"2023-11-14T22:13:20.123Z\",\"what\":\"peer_added\",\"who\":\"alice\",\"peer\":\"cert-ee\"}\n\
             {\"at\":\"2023-11-14T22:13:20.123Z\",\"what\":\"peer_verified\",\"who\":\"alice\",\"peer\":\"cert-ee\"}\n"
        );
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(!who().is_empty());
    }

    /// The power went while a line was written. Its end is not there, and the next line must not become its end.
    #[test]
    fn torn_line_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(AUDIT_FILE);
        let whole = "{\"at\":\"2026-11-29T18:00:00.000Z\",\"what\":\"peer_added\",\"who\":\"alice\"}\n";
        std::fs::write(&file, format!("{whole}{}", &whole[..40])).unwrap();
        let decision = AuditDecision {
            at: Timestamp(1),
            what: AuditedAction::KeyRevoked,
            who: "alice".into(),
            peer: None,
            how: "",
        };
        append(dir.path(), &decision).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines.iter().map(|line| line["what"].as_str().unwrap()).collect::<Vec<_>>(),
            ["peer_added", "key_revoked"]
        );
    }
}
