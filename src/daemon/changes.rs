//! Describes in words how `peers/` changed between two readings, for `audit.jsonl`. It judges no change: anybody with
//! write access to these files may change them.

use crate::audit::{self, AuditDecision, AuditedAction};
use crate::config::{PeerFile, PeerFiles};
use crate::identity::{PublisherName, public_key_text};
use crate::time::Timestamp;

/// Returns each peer with a file that was added, changed or removed, and describes the change.
pub(crate) fn between(before: &PeerFiles, after: &PeerFiles) -> Vec<(PublisherName, String)> {
    let mut changes = Vec::new();
    for file in &after.peers {
        match before.peer(&file.peer.name) {
            None => changes.push((file.peer.name.clone(), format!("new: {}", terms(file)))),
            Some(known) if known != file => {
                changes.push((file.peer.name.clone(), format!("was: {}; is: {}", terms(known), terms(file))));
            }
            Some(_) => {}
        }
    }
    let gone = before.peers.iter().filter(|file| after.peer(&file.peer.name).is_none());
    changes.extend(gone.map(|file| (file.peer.name.clone(), format!("gone; was: {}", terms(file)))));
    changes
}

fn terms(file: &PeerFile) -> String {
    let peer = &file.peer;
    let mut terms = vec![
        public_key_text(&peer.key),
        format!("tlp_max {}", peer.share.tlp_max.as_str()),
        peer.seal.map_or_else(|| "no sealing key".to_owned(), |key| format!("sealing key {key}")),
        format!("relay {}", peer.receive.relay),
        format!("addresses [{}]", file.addresses.join(", ")),
    ];
    let flags = [
        ("paused", peer.paused),
        ("revoked", peer.revoked),
        ("sealed alone", peer.share.seal),
        ("pending", file.pairing.pending),
        ("verified", file.pairing.verified),
    ];
    terms.extend(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name.to_owned()));
    terms.extend(file.filters().map(|(section, filter)| format!("{section} where {filter}")));
    terms.join(", ")
}

/// Writes them down, away from the loop: a slow disk must not hold it up.
pub(crate) fn write_down(state: std::path::PathBuf, changes: Vec<(PublisherName, String)>, at: Timestamp) {
    tokio::task::spawn_blocking(move || {
        for (peer, how) in &changes {
            let decision = AuditDecision {
                at,
                what: AuditedAction::PeerFileChanged,
                who: "node".to_owned(),
                peer: Some(peer),
                how,
            };
            if let Err(error) = audit::append(&state, &decision) {
                tracing::warn!(%peer, %error, "audit.jsonl cannot be written");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(name: &str, rest: &str) -> PeerFile {
        let key = public_key_text(&crate::fixture::key(7).verifying_key());
        let text = format!("key = \"{key}\"\n{rest}");
        PeerFile::parse(Path::new(&format!("peers/{name}.toml")), &text).unwrap()
    }

    #[test]
    fn each_change_is_told_with_what_was_and_what_is() {
        let files = |peers: Vec<PeerFile>| PeerFiles { peers, ..PeerFiles::default() };
        let before = files(vec![file("a", ""), file("b", ""), file("c", "")]);
        let after =
            files(vec![file("a", ""), file("b", "[share]\ntlp_max = \"RED\""), file("d", "paused = true")]);
        let told: Vec<String> =
            between(&before, &after).into_iter().map(|(name, how)| format!("{name}: {how}")).collect();
        assert!(told[0].starts_with("b: was: ed25519:") && told[0].contains("; is: "), "{told:?}");
        assert!(told[0].contains("tlp_max AMBER") && told[0].contains("tlp_max RED"));
        assert!(told[1].starts_with("d: new: ") && told[1].ends_with(", paused"), "{told:?}");
        assert!(told[2].starts_with("c: gone; was: "));
        assert_eq!(told.len(), 3);
    }
}
