//! Counts events that were rejected because their publishers are not trusted here: by publisher, and by
//! the peer that offered them, since the start. The operator decides which publishers to trust.

use std::collections::BTreeMap;

use crate::config::PeerFiles;
use crate::identity::PublisherName;
use crate::status::UnknownPublisher;
use crate::time::Timestamp;

/// Publishers that are remembered.
const PUBLISHERS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct UnknownPublishers {
    known: BTreeMap<PublisherName, KnownStrangers>,
}

#[derive(Clone, Debug)]
struct KnownStrangers {
    first: Timestamp,
    last: Timestamp,
    /// By the peer that offered them: how many, and the last place of its journal that was counted. A feed that is
    /// read again counts nothing twice.
    through: BTreeMap<PublisherName, (u64, u64)>,
}

impl UnknownPublishers {
    /// An entry of `peer`'s feed was rejected because its publisher is not trusted.
    pub(crate) fn met(&mut self, publisher: PublisherName, peer: PublisherName, seq: u64, now: Timestamp) {
        if self.known.len() >= PUBLISHERS_MAX && !self.known.contains_key(&publisher) {
            return;
        }
        let fresh = || KnownStrangers { first: now, last: now, through: BTreeMap::new() };
        let known = self.known.entry(publisher).or_insert_with(fresh);
        let (count, counted_to) = known.through.entry(peer).or_default();
        if seq > *counted_to {
            (*count, *counted_to) = (*count + 1, seq);
            known.last = now;
        }
    }

    /// Returns the publishers that are still not trusted. If an event came through several peers, each of them counted
    /// it, so the largest count is shown.
    pub(crate) fn shown(&self, files: &PeerFiles) -> Vec<UnknownPublisher> {
        let trusted = |name: &PublisherName| {
            files.trusted().any(|file| file.peer.name == *name || file.peer.aliases.contains(name))
        };
        let peer = |name: &PublisherName| files.peer(name).is_some();
        let still = self.known.iter().filter(|(name, _)| !trusted(name));
        let shown = still.filter_map(|(name, known)| {
            let through: Vec<&PublisherName> = known.through.keys().filter(|through| peer(through)).collect();
            let events =
                through.iter().filter_map(|peer| known.through.get(*peer)).map(|(count, _)| *count).max()?;
            Some(UnknownPublisher {
                name: name.clone(),
                events,
                ignored: files.ignores(name),
                through: through.into_iter().cloned().collect(),
                first: known.first,
                last: known.last,
            })
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::PeerFile;
    use crate::identity::public_key_text;

    fn name(text: &str) -> PublisherName {
        PublisherName::parse(text).unwrap()
    }

    fn files(named: &[(&str, u8, &str)]) -> PeerFiles {
        let file = |(name, seed, rest): &(&str, u8, &str)| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[*seed; 32]).verifying_key();
            let text = format!("key = \"{}\"\n{rest}", public_key_text(&key));
            PeerFile::parse(Path::new(&format!("peers/{name}.toml")), &text).unwrap()
        };
        PeerFiles { peers: named.iter().map(file).collect(), ..PeerFiles::default() }
    }

    #[test]
    fn an_event_through_two_peers_and_a_feed_read_again_count_once() {
        let mut unknown = UnknownPublishers::default();
        for (peer, seq) in [("cert-at", 3), ("cert-at", 4), ("cert-pl", 9), ("cert-at", 3)] {
            unknown.met(name("cert-ee"), name(peer), seq, Timestamp(1));
        }
        let shown = unknown.shown(&files(&[("cert-at", 1, ""), ("cert-pl", 2, "")]));
        assert_eq!((shown[0].events, shown[0].through.len(), shown[0].ignored), (2, 2, false));
    }

    #[test]
    fn who_is_trusted_since_is_unknown_no_more_and_who_is_ignored_is_counted() {
        let mut unknown = UnknownPublishers::default();
        unknown.met(name("cert-ee"), name("cert-at"), 3, Timestamp(1));
        unknown.met(name("cert-xx"), name("cert-at"), 4, Timestamp(1));
        let ignoring = "[receive]\nignore = [\"cert-xx\"]";
        let shown = unknown.shown(&files(&[("cert-at", 1, ignoring), ("cert-ee", 2, "")]));
        assert_eq!(shown.len(), 1);
        assert_eq!((shown[0].name.as_str(), shown[0].ignored), ("cert-xx", true));
        assert!(unknown.shown(&files(&[])).is_empty(), "through whom nothing comes any more");
    }
}
