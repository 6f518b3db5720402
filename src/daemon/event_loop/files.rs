//! The files that are read again while the node runs: peers, groups and lists act at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::EventLoop;
use crate::clock;
use crate::config::{ConfigProblem, FileLists, FilesFingerprint, NodeConfig, PeerFile, PeerFiles};
use crate::daemon::changes;
use crate::daemon::event_log::EventLog;
use crate::daemon::rules_log::RulesLog;
use crate::envelope::{SealKey, SealOpener, Signer};
use crate::filter::Filter;
use crate::identity::PublisherName;
use crate::policy::TrustList;
use crate::protocol::Node;
use crate::protocol::io::OperatorInput;
use crate::protocol::view::NodeView;
use crate::status;
use crate::transport::PeerAddresses;

/// The peer files in force.
pub(crate) struct WatchedFiles {
    pub config: NodeConfig,
    pub own_key: ed25519_dalek::VerifyingKey,
    pub own_seal: SealKey,
    pub peers: PeerFiles,
    pub trust: Arc<ArcSwap<TrustList>>,
    /// By which rules older events were decided.
    pub rules: RulesLog,
    pub signer: Arc<Signer>,
    pub opener: Arc<SealOpener>,
    pub fingerprint: FilesFingerprint,
    /// `keys/` as it was looked at last.
    pub keys: FilesFingerprint,
    /// `intelmesh.toml`, which is read again only to say what is wrong with it: it acts at a reload, or the next start.
    pub node_file: NodeFile,
}

/// The present problems of `intelmesh.toml`.
#[derive(Debug, Default)]
pub(crate) struct NodeFile {
    pub fingerprint: FilesFingerprint,
    pub problems: Vec<ConfigProblem>,
}

/// The lists of doors' filters.
#[derive(Debug, Default)]
pub(super) struct DoorLists {
    /// As the filters were compiled with them last; nothing before the first time.
    files: FilesFingerprint,
    /// Lists that cannot be used: the doors keep their old ones, and no start would succeed.
    pub bad: Vec<status::ShownProblem>,
}

/// Values that others hold as well, and that a change of the files replaces.
pub(crate) struct InForce {
    pub trust: Arc<ArcSwap<TrustList>>,
    pub signer: Arc<Signer>,
    pub opener: Arc<SealOpener>,
    /// Of `peers/` and the like before they were read: a file that changes later is read again.
    pub fingerprint: FilesFingerprint,
}

impl WatchedFiles {
    /// As they are read at start.
    pub(crate) fn at_start(
        config: NodeConfig,
        peers: PeerFiles,
        (own_key, own_seal): (ed25519_dalek::VerifyingKey, SealKey),
        in_force: InForce,
        rules: RulesLog,
    ) -> Self {
        let InForce { trust, signer, opener, fingerprint } = in_force;
        let (keys, node_file) = (FilesFingerprint::of_keys(&config.paths), NodeFile::of(&config.dir));
        Self { config, own_key, own_seal, peers, trust, rules, signer, opener, fingerprint, keys, node_file }
    }

    /// Were files put into `keys/` since this was asked last?
    pub(crate) fn keys_changed(&mut self) -> bool {
        let fingerprint = FilesFingerprint::of_keys(&self.config.paths);
        std::mem::replace(&mut self.keys, fingerprint.clone()) != fingerprint
    }
}

impl NodeFile {
    /// As it is at start, when all of it was good.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { fingerprint: FilesFingerprint::of_node_file(dir), problems: Vec::new() }
    }

    pub(super) fn look(&mut self, dir: &Path) {
        let fingerprint = FilesFingerprint::of_node_file(dir);
        if fingerprint != self.fingerprint {
            self.fingerprint = fingerprint;
            self.problems = NodeConfig::load(dir).err().map(|errors| errors.0).unwrap_or_default();
            self.problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        }
    }
}

impl EventLoop {
    pub(super) fn reload_if_changed(&mut self) {
        self.files.node_file.look(&self.files.config.dir);
        let fingerprint = FilesFingerprint::of_agreements(&self.files.config.paths);
        if fingerprint != self.files.fingerprint {
            self.reload();
        }
    }

    /// Reads `peers/` and puts it in force at once: the gate first, then the core, then the doors.
    pub(super) fn reload(&mut self) {
        self.files.fingerprint = FilesFingerprint::of_agreements(&self.files.config.paths);
        let peers = self.files.peers.reload(&self.files.config, &self.files.own_key);
        for problem in &peers.problems {
            if !self.files.peers.problems.contains(problem) {
                tracing::warn!("{problem}");
            }
        }
        self.parts.web.clients.replace(&peers.clients);
        let changes = changes::between(&self.files.peers, &peers);
        if !changes.is_empty() {
            changes::write_down(self.files.config.paths.state.clone(), changes, clock::now().wall);
        }
        let view = self.node.view();
        // How far a feed that does not run has come is known once it goes on.
        let decided = |name: &PublisherName| {
            let peer = view.peers.iter().find(|peer| peer.status.name == *name);
            peer.and_then(|peer| peer.looked_at).unwrap_or(view.ends.last.seq)
        };
        self.files.rules.changed(&peers.peers, clock::now().wall, decided);
        self.renew_door_filters();
        if peers.peers == self.files.peers.peers && peers.groups == self.files.peers.groups {
            self.files.peers = peers;
            return;
        }
        tracing::info!(peers = peers.peers.len(), "peer files read");
        let trust = peers.trust_list(self.files.config.names(), self.files.own_key);
        let trust = Arc::new(trust.with_own_seal(self.files.own_seal));
        self.node.handle_input(OperatorInput::Trust(trust), clock::now());
        // The last frames to peers that are cut off now go out before the gate closes.
        self.obey();
        self.parts.transport.set_peers(reachable(&peers, &self.node));
        self.files.trust.store(self.node.trust());
        self.tell_addresses(&peers);
        self.look_for_undeliverable(&view);
        self.files.peers = peers;
    }
}

impl EventLoop {
    /// Looks for events with recipients that have all gone, now or while the node was stopped: they reach nobody if
    /// unread. `view` is of before the peers went.
    pub(super) fn look_for_undeliverable(&self, view: &NodeView) {
        let (found, trust) = (&self.watches.undeliverable, self.node.trust());
        let Some(unread) = found.gone(view, &trust) else { return };
        let (store, own) = (Arc::clone(&self.parts.store), self.identity.name.clone());
        found.unreachable(unread, store, trust, own, clock::now().wall);
    }

    /// Reopens each door with a filter that names a changed list. If a list cannot be used, the door keeps its filter.
    /// Filters are compiled only if a list is another file: that takes time.
    fn renew_door_filters(&mut self) {
        let files = self.files.fingerprint.within(&self.files.config.paths.lists);
        if std::mem::replace(&mut self.watches.lists.files, files.clone()) == files {
            return;
        }
        let lists = FileLists::new(&self.files.config.paths.lists);
        let mut merged = self.files.config.clone();
        let mut same = BTreeSet::new();
        same.extend(merged.doors.submits.iter().map(|door| door.name.to_string()));
        let (mut changed, mut bad) = (Vec::new(), Vec::new());
        for door in &mut merged.doors.consumers {
            let renewed =
                door.filter.as_ref().and_then(|held| match Filter::compile(held.source(), &lists) {
                    Ok(new) => (new.digest() != held.digest()).then_some(new),
                    Err(fault) => {
                        bad.push(list_bad(&door.name, &fault));
                        None
                    }
                });
            match renewed {
                Some(new) => {
                    door.filter = Some(Arc::new(new));
                    changed.push(door.name.to_string());
                }
                None => {
                    same.insert(door.name.to_string());
                }
            }
        }
        for problem in bad.iter().filter(|new| !self.watches.lists.bad.iter().any(|old| old.what == new.what))
        {
            tracing::warn!("{}", problem.what);
        }
        self.watches.lists.bad = bad;
        if changed.is_empty() {
            return;
        }
        let opening = self.parts.doors.reload(merged.door_defaults(), merged.doors.clone(), same);
        self.files.config = merged;
        tokio::spawn(async move {
            let failed = opening.await;
            let failed: Vec<String> =
                failed.iter().map(|(name, why)| format!("door {name}: {why}")).collect();
            tracing::info!(
                doors = changed.join(" "),
                failed = failed.join("; "),
                "lists of filters read again"
            );
        });
    }

    /// Has a peer with new addresses dialled at once, even if the core was waiting to dial the old ones again.
    fn tell_addresses(&mut self, new: &PeerFiles) {
        let changed = |file: &&PeerFile| {
            self.files.peers.peer(&file.peer.name).is_some_and(|old| old.addresses != file.addresses)
        };
        let moved: Vec<PublisherName> =
            new.trusted().filter(changed).map(|file| file.peer.name.clone()).collect();
        for peer in moved {
            self.node.handle_input(OperatorInput::AddressesChanged { peer }, clock::now());
        }
    }
}

fn list_bad(door: &impl Display, fault: &impl Display) -> status::ShownProblem {
    let what = format!("door {door}: its filter keeps its lists as they were: {fault}");
    let hint = "correct the file in lists/: with it the node would not start";
    EventLog::lasting(clock::now().wall, what, Some(hint.to_owned()))
}

/// Returns how the transport reaches each peer. It does not reach a peer if its key is revoked.
pub(crate) fn reachable(peers: &PeerFiles, node: &Node) -> Vec<PeerAddresses> {
    let revoked: Vec<&PublisherName> = node.revoked().collect();
    let peers = peers.trusted();
    let address = |file: &PeerFile| PeerAddresses {
        name: file.peer.name.clone(),
        key: file.peer.key,
        addresses: if file.peer.publisher_only { Vec::new() } else { file.addresses.clone() },
        paused: file.peer.is_cut() || revoked.contains(&&file.peer.name),
    };
    peers.map(address).collect()
}
