//! May this go to, or come from, this peer? A decision with its reason, on signed fields alone (decisions/0011).
//! Nothing here reads files or knows how a peer is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use crate::envelope::{Core, KeyUse, SealKey, StatedKeys, StatementBook};
use crate::filter::{Filter, FilterFacts, FilterFailure};
use crate::identity::{HopPath, NodeNames, PublisherName};
use crate::time::Timestamp;

mod client;
mod hand_off;
mod keys;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod withdrawal;

pub use crate::tlp::Tlp;
pub(crate) use client::share_with_client;
pub(crate) use hand_off::{ConsumerTerms, NotHandedOff, hand_off};
use keys::KeyBook;
pub(crate) use keys::KeyFault;
#[cfg(test)]
pub use keys::Standing;
pub(crate) use withdrawal::is_bare_withdrawal;

/// Events a second, with one second's burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Events a second.
    pub per_second: u32,
}

/// The contents of a peer file, as the core needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The present name.
    pub name: PublisherName,
    /// The identity key.
    pub key: VerifyingKey,
    /// The key that events for it are sealed to; if there is none, nothing can be sealed.
    pub seal: Option<SealKey>,
    /// Old names still met in paths and ids.
    pub aliases: Vec<PublisherName>,
    /// False for `addresses = []`: never dialled.
    pub dialled: bool,
    /// Its events come through others, and ours reach it through others.
    pub publisher_only: bool,
    /// No connection, cursor kept.
    pub paused: bool,
    /// Nothing that its keys sign is taken any more, even if another peer relays it; no connection.
    pub revoked: bool,
    /// `[share]`: from us to them.
    pub share: Share,
    /// `[receive]`: from them to us.
    pub receive: Receive,
}

impl Peer {
    /// Returns a peer with a file that gives only a name, a key and an address.
    pub fn new(name: PublisherName, key: VerifyingKey) -> Self {
        Self {
            name,
            key,
            seal: None,
            aliases: Vec::new(),
            dialled: true,
            publisher_only: false,
            paused: false,
            revoked: false,
            share: Share::default(),
            receive: Receive::default(),
        }
    }

    /// Is `name` its name, or one that it had?
    pub fn has_name(&self, name: &PublisherName) -> bool {
        self.name == *name || self.aliases.contains(name)
    }

    /// Is it among `names`, by whichever of its names?
    pub fn is_among(&self, names: &[PublisherName]) -> bool {
        names.iter().any(|name| self.has_name(name))
    }

    /// No connection with it may stand.
    pub fn is_cut(&self) -> bool {
        self.paused || self.revoked
    }
}

/// `[share]`: from us to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The strictest label that goes to it.
    pub tlp_max: Tlp,
    /// Only what is sealed; and what names this peer in `to` is sealed without being asked.
    pub seal: bool,
    /// `where`: events that it does not admit are withheld.
    pub filter: Option<Arc<Filter>>,
}

/// `[receive]`: from them to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// May they hand us envelopes of other publishers?
    pub relay: bool,
    /// For all that it hands us.
    pub rate: Option<Rate>,
    /// For each publisher whose events it hands us.
    pub rate_per_publisher: Option<Rate>,
    /// `where`: events that it does not admit are not taken.
    pub filter: Option<Arc<Filter>>,
}

impl Default for Share {
    fn default() -> Self {
        Self { tlp_max: Tlp::Amber, seal: false, filter: None }
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self { relay: true, rate: None, rate_per_publisher: None, filter: None }
    }
}

/// All peers and this node itself: the signatures that count, and the rights of each. Immutable; replaced at a reload.
#[derive(Clone, Debug)]
pub struct TrustList {
    own: NodeNames,
    own_key: VerifyingKey,
    peers: BTreeMap<PublisherName, Peer>,
    keys: KeyBook,
    /// The key that others seal to for this node, and that this node seals to for itself.
    own_seal: Option<SealKey>,
    /// The sealing keys of the peer files, even if statements say otherwise.
    given_seals: BTreeMap<PublisherName, SealKey>,
    /// Names that stand for several in `to` (`groups/NAME.toml`); no name of a peer is among them.
    groups: BTreeMap<PublisherName, Vec<PublisherName>>,
}

impl TrustList {
    /// Returns the list of this node and its peers.
    ///
    /// ```
    /// use ed25519_dalek::SigningKey;
    /// use intelmesh::{Peer, PublisherName, TrustList};
    /// let [own, theirs] = [[1; 32], [2; 32]].map(|secret| SigningKey::from_bytes(&secret).verifying_key());
    /// let [at, ee] = ["cert-at", "cert-ee"].map(|name| PublisherName::parse(name).expect("a name"));
    /// let trust = TrustList::new(at, own, [Peer::new(ee.clone(), theirs)]);
    /// assert_eq!(trust.identity_key(&ee), Some(&theirs));
    /// ```
    pub fn new(
        own: impl Into<NodeNames>,
        own_key: VerifyingKey,
        peers: impl IntoIterator<Item = Peer>,
    ) -> Self {
        let peers: BTreeMap<_, _> = peers.into_iter().map(|peer| (peer.name.clone(), peer)).collect();
        let given = peers.values().filter_map(|peer| Some((peer.name.clone(), peer.seal?)));
        let bare = Self {
            own: own.into(),
            own_key,
            given_seals: given.collect(),
            peers,
            keys: KeyBook::default(),
            own_seal: None,
            groups: BTreeMap::new(),
        };
        bare.with_statements(&StatementBook::default())
    }

    /// Adds this node's own sealing key: it may be a recipient of what it seals.
    pub fn with_own_seal(self, key: SealKey) -> Self {
        Self { own_seal: Some(key), ..self }
    }

    /// Adds the names that stand for several in `to`.
    pub fn with_groups(self, groups: BTreeMap<PublisherName, Vec<PublisherName>>) -> Self {
        Self { groups, ..self }
    }

    /// Applies key statements to this list. They are matched by identity key, not by name. If another key said
    /// something under the same name, it is passed over.
    #[must_use]
    pub fn with_statements(mut self, known: &StatementBook) -> Self {
        let mut keys = KeyBook::default();
        let own = known.of(&self.own_key);
        self.own_seal = own.and_then(stated_seal).or(self.own_seal);
        let mut owners: BTreeMap<SealKey, &PublisherName> =
            self.given_seals.iter().map(|(name, key)| (*key, name)).collect();
        owners.extend(self.own_seal.map(|key| (key, self.own.name())));
        for peer in self.peers.values_mut() {
            let stated = known.of(&peer.key);
            peer.revoked |= stated.is_some_and(|stated| stated.latest().statement().revoked);
            // A key that came with another's invitation, or is ours, is not theirs to state.
            let theirs = |key: &SealKey| owners.get(key).is_none_or(|owner| **owner == peer.name);
            let given = self.given_seals.get(&peer.name).copied();
            peer.seal = stated.and_then(stated_seal).filter(theirs).or(given);
            keys.add(&peer.name, &peer.key, stated, peer.revoked);
        }
        keys.add(self.own.name(), &self.own_key, own, false);
        self.keys = keys;
        self
    }

    /// The identity key of a publisher that this node trusts, itself included, by its name or an alias.
    pub fn identity_key(&self, name: &PublisherName) -> Option<&VerifyingKey> {
        if self.is_own(name) { Some(&self.own_key) } else { self.known_as(name).map(|peer| &peer.key) }
    }

    /// Has `name`, or who went by it before, been revoked?
    pub fn is_revoked(&self, name: &PublisherName) -> bool {
        self.known_as(name).is_some_and(|peer| peer.revoked)
    }

    /// Is `name` this node's name, or one that it had?
    pub fn is_own(&self, name: &PublisherName) -> bool {
        self.own.has(name)
    }

    /// Returns the present name of this node or peer, if `name` is one that it had; else `name`.
    pub fn present_name<'a>(&'a self, name: &'a PublisherName) -> &'a PublisherName {
        if self.is_own(name) { self.own.name() } else { self.known_as(name).map_or(name, |peer| &peer.name) }
    }

    /// All names of this node or peer, of which `name` is one.
    pub fn names_of<'a>(
        &'a self,
        name: &'a PublisherName,
    ) -> Box<dyn Iterator<Item = &'a PublisherName> + 'a> {
        match self.known_as(name) {
            _ if self.is_own(name) => Box::new(self.own.all()),
            Some(peer) => Box::new(std::iter::once(&peer.name).chain(&peer.aliases)),
            None => Box::new(std::iter::once(name)),
        }
    }

    /// The peer that goes by `name`, or went by it before.
    pub fn known_as(&self, name: &PublisherName) -> Option<&Peer> {
        self.peer(name).or_else(|| self.peers.values().find(|peer| peer.has_name(name)))
    }

    /// Returns the present name of this node.
    pub fn own_name(&self) -> &PublisherName {
        self.own.name()
    }

    /// Returns all names of this node.
    pub fn own_names(&self) -> &NodeNames {
        &self.own
    }

    /// Returns the identity key of this node.
    pub fn own_key(&self) -> &VerifyingKey {
        &self.own_key
    }

    /// Returns the peers in the order of their names.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Returns the peer whose present name this is.
    pub fn peer(&self, name: &PublisherName) -> Option<&Peer> {
        self.peers.get(name)
    }

    /// The members of a group.
    pub fn group(&self, name: &PublisherName) -> Option<&[PublisherName]> {
        self.groups.get(name).map(Vec::as_slice)
    }

    /// Is there a peer that gets sealed events alone?
    pub fn seals_unasked(&self) -> bool {
        self.peers.values().any(|peer| peer.share.seal)
    }

    /// Returns the key that events for `name` are sealed to.
    pub fn seal_key(&self, name: &PublisherName) -> Option<SealKey> {
        if self.is_own(name) { self.own_seal } else { self.known_as(name)?.seal }
    }

    /// Is `name` a publisher that this node trusts (itself included), by that name or an alias?
    pub fn publisher(&self, name: &PublisherName) -> bool {
        self.is_own(name) || self.known_as(name).is_some()
    }

    /// Returns a digest of everything that can turn a rejection into an acceptance: names, keys, aliases, `relay` and
    /// receive filters, and the version of this node's rules. A feed compares it at every SUBSCRIBE (PROTOCOL.md §5.5).
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"intelmesh/trust/1");
        for name in self.own.all() {
            hash.update(name.as_str());
            hash.update(b"\0");
        }
        for peer in self.peers.values() {
            for name in std::iter::once(&peer.name).chain(&peer.aliases) {
                hash.update(name.as_str());
                hash.update(b"\0");
            }
            hash.update(peer.key.as_bytes());
            hash.update([u8::from(peer.receive.relay), u8::from(peer.revoked)]);
            if let Some(filter) = &peer.receive.filter {
                hash.update(b"where");
                hash.update(filter.digest());
            }
        }
        self.keys.hash_into(&mut hash);
        hash.finalize().into()
    }
}

/// The sealing key in use that a statement names: newer than the one of a peer file, which came with an invitation.
fn stated_seal(stated: &StatedKeys) -> Option<SealKey> {
    SealKey::new(stated.latest().statement().current(KeyUse::Seal)?.key).ok()
}

/// Why an envelope is held back from a peer. Counted as `withheld`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithheldReason {
    /// Stricter than the peer's `tlp_max`.
    TlpMax,
    /// AMBER travels one hop, from its publisher; AMBER+STRICT and RED only sealed.
    TlpHop,
    /// `to` names others.
    NotNamed,
    /// It is not sealed, and the peer gets sealed events alone.
    NotSealed,
    /// `max_hops` or the longest path is used up.
    Hops,
    /// Its `expires` has passed.
    Expired,
    /// `where` does not admit it.
    Filter,
    /// `where` has no answer for it.
    FilterFailed,
}

impl WithheldReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlpMax => "tlp_max",
            Self::TlpHop => "tlp_hop",
            Self::NotNamed => "not_named",
            Self::NotSealed => "not_sealed",
            Self::Hops => "hops",
            Self::Expired => "expired",
            Self::Filter => "filter",
            Self::FilterFailed => "filter_failed",
        }
    }
}

/// May this node send the envelope of `core` to `peer`? To its own publisher always (PROTOCOL.md §5.7): it held
/// it once, and a restored node gets back what it lost.
///
/// # Errors
/// The first reason against it.
pub fn share(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    peer: &Peer,
    now: Option<Timestamp>,
) -> Result<(), WithheldReason> {
    if peer.has_name(&core.id.publisher) {
        return Ok(());
    }
    shared(core, path, own, (&peer.share, peer.is_among(&core.to)), now)
}

/// Decides by the `[share]` of a reader that is not the publisher, and whether the event names it.
fn shared(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    (share, is_named): (&Share, bool),
    now: Option<Timestamp>,
) -> Result<(), WithheldReason> {
    if let (Some(expires), Some(now)) = (core.expires, now)
        && expires <= now
    {
        return Err(WithheldReason::Expired);
    }
    let is_own = own.has(&core.id.publisher);
    let sealed = core.body.is_sealed();
    if share.seal && !sealed {
        return Err(WithheldReason::NotSealed);
    }
    // Asked before the label: to loosen what the peer may have does not help if others are named.
    let narrowed = !sealed || core.tlp >= Tlp::AmberStrict;
    if narrowed && !core.to.is_empty() && !is_named {
        return Err(WithheldReason::NotNamed);
    }
    if core.tlp > share.tlp_max && !(sealed && is_named) {
        return Err(WithheldReason::TlpMax);
    }
    let travels = match core.tlp {
        Tlp::Clear | Tlp::Green => true,
        Tlp::Amber => sealed || is_own,
        Tlp::AmberStrict => sealed,
        Tlp::Red => sealed && is_own,
    };
    if !travels {
        return Err(WithheldReason::TlpHop);
    }
    if path.len() >= usize::from(core.max_hops) || path.with(own.name()).is_none() {
        return Err(WithheldReason::Hops);
    }
    if is_bare_withdrawal(core) {
        return Ok(());
    }
    match admitted(share.filter.as_deref(), core, path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(WithheldReason::Filter),
        Err(_) => Err(WithheldReason::FilterFailed),
    }
}

/// Applies a filter. It is asked last, because nothing else is as expensive. The hop path that it sees can narrow what
/// goes out, but lets nothing through that the signed fields forbid.
fn admitted(filter: Option<&Filter>, core: &Core, path: &HopPath) -> Result<bool, FilterFailure> {
    filter.map_or(Ok(true), |filter| filter.admits(&FilterFacts::new(core, path)))
}

/// Applies the filter of a reader of this node.
fn admitted_to_reader(filter: Option<&Filter>, core: &Core, path: &HopPath) -> Result<bool, FilterFailure> {
    filter.map_or(Ok(true), |filter| filter.admits(&FilterFacts::new(core, path).for_reader()))
}

/// Returns why the filter of a peer had no answer, so that the caller can count it.
pub(crate) fn failure(filter: Option<&Arc<Filter>>, core: &Core, path: &HopPath) -> Option<FilterFailure> {
    admitted(filter.map(|filter| &**filter), core, path).err()
}

/// Why an envelope of a trusted publisher is not taken from a peer. A change of the peer file can cure it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReceived {
    /// `relay = false`, and it is not the peer's own.
    Relay,
    /// The label does not allow that this peer had it to give.
    Tlp,
    /// `where` does not admit it.
    Filter,
    /// `where` has no answer for it.
    FilterFailed(FilterFailure),
}

/// Checks whether `source` may hand this node envelopes of `publisher`. Everybody may bring this node's own events.
///
/// # Errors
/// [`NotReceived::Relay`].
pub(crate) fn receive_offer(
    publisher: &PublisherName,
    own: &NodeNames,
    source: &Peer,
) -> Result<(), NotReceived> {
    let is_home = own.has(publisher) || source.has_name(publisher);
    if is_home || source.receive.relay { Ok(()) } else { Err(NotReceived::Relay) }
}

/// Checks whether this node may take the envelope of `core` from `source`, which handed it over with `path`. This
/// node's own events may come back from any peer.
///
/// # Errors
/// The first reason against it.
pub fn receive(core: &Core, path: &HopPath, own: &NodeNames, source: &Peer) -> Result<(), NotReceived> {
    let publisher = &core.id.publisher;
    receive_offer(publisher, own, source)?;
    if own.has(publisher) {
        return Ok(());
    }
    let may_have = match core.tlp {
        Tlp::Clear | Tlp::Green => true,
        Tlp::Amber | Tlp::AmberStrict => core.body.is_sealed(),
        Tlp::Red => false,
    };
    if !may_have && !source.has_name(publisher) {
        return Err(NotReceived::Tlp);
    }
    match admitted(source.receive.filter.as_deref(), core, path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotReceived::Filter),
        Err(failure) => Err(NotReceived::FilterFailed(failure)),
    }
}
