//! Settles the recipients of a draft, and whether it is sealed to them (decisions/0011, 0012). Names of groups become
//! their members, the line's recipients and the door's narrow each other, and a draft that needs a seal gets one or
//! is refused. The trust list in force decides. Only an addressed draft becomes a core: if it needs a seal, it cannot
//! be signed without.

use rand::CryptoRng;

use super::draft::{CoreDraft, IdInputs};
use super::refusal::{SubmitCode, SubmitError};
use super::republish::ChildEvent;
use super::siblings::{ExplodedEvent, SiblingEvents};
use crate::envelope::seal::{SealError, SealKey, seal};
use crate::envelope::{Core, IdScheme};
use crate::identity::PublisherName;
use crate::limits::RECIPIENTS_MAX;
use crate::policy::{Tlp, TrustList};

/// One draft, or several of one line, with settled recipients.
#[derive(Debug)]
pub struct Addressed<T> {
    drafts: T,
    /// The sealing keys of the recipients, in their order; `None` if it is not sealed.
    seal: Option<Vec<SealKey>>,
}

impl CoreDraft {
    /// Settles the recipients, and whether it is sealed: if the line, the door or the parent that it was made of says
    /// so, or if one of its recipients gets sealed events alone.
    ///
    /// # Errors
    /// `unknown_recipient` for a name that is not a peer's or cannot open anything, `bad_meta` for a seal without
    /// recipients or with a content id, `bad_tlp` for a label that goes to nobody unsealed, `not_deliverable` if no
    /// recipient can ever get it.
    pub fn address(mut self, trust: &TrustList) -> Result<Addressed<Self>, SubmitError> {
        let seal = self.settle(trust)?;
        Ok(Addressed { drafts: self, seal })
    }

    fn settle(&mut self, trust: &TrustList) -> Result<Option<Vec<SealKey>>, SubmitError> {
        self.expand(trust)?;
        let sealed = self.seal || self.to.iter().any(|name| sealed_alone(name, trust));
        if !sealed {
            if let Some(own) = self.to.iter().find(|name| trust.is_own(name)) {
                return Err(SubmitError::own_recipient(own));
            }
            let is_stuck = !self.to.is_empty() && !self.takes_back();
            if is_stuck && self.to.iter().all(|name| is_out_of_reach(name, trust)) {
                return Err(SubmitError::not_deliverable(&self.to));
            }
            return if self.label.tlp >= Tlp::AmberStrict {
                Err(self.label.goes_to_nobody())
            } else {
                Ok(None)
            };
        }
        if self.to.is_empty() {
            return Err(SubmitError::sealed_to_nobody());
        }
        if self.to.iter().all(|name| trust.is_own(name)) {
            return Err(SubmitError::own_recipient(trust.own_name()));
        }
        if self.ids == IdScheme::Content {
            return Err(SubmitError::bad_meta(
                "a content id would let relays confirm a guess of what is sealed",
            )
            .hint("say ids = \"body\" or \"random\""));
        }
        let mut keys: Vec<SealKey> = Vec::with_capacity(self.to.len());
        for name in &self.to {
            let key = trust.seal_key(name).ok_or_else(|| SubmitError::no_seal_key(name))?;
            if let Some(at) = keys.iter().position(|known| *known == key) {
                return Err(SubmitError::one_seal_key(&self.to[at], name));
            }
            keys.push(key);
        }
        Ok(Some(keys))
    }

    /// Returns true if it withdraws or replaces: then it goes to the target's recipients, even to removed peers.
    fn takes_back(&self) -> bool {
        self.meta.links.iter().any(|link| link.relation.takes_back())
    }

    /// Names of peers in place of names of groups, of the line as far as the door has them too.
    pub(super) fn expand(&mut self, trust: &TrustList) -> Result<(), SubmitError> {
        let takes_back = self.takes_back();
        let line = expanded(&self.to, trust, takes_back)?;
        let door = expanded(&self.door_to, trust, takes_back)?;
        self.to = narrowed(line, door)?;
        Ok(())
    }
}

impl ExplodedEvent {
    /// Does the same as [`CoreDraft::address`], for all of them.
    ///
    /// # Errors
    /// The same as [`CoreDraft::address`].
    pub fn address(mut self, trust: &TrustList) -> Result<Addressed<Self>, SubmitError> {
        let mut seal = None;
        for draft in self.all_drafts() {
            seal = draft.settle(trust)?;
        }
        Ok(Addressed { drafts: self, seal })
    }
}

impl Addressed<CoreDraft> {
    /// Returns the recipients; empty if it goes to all that policy allows.
    #[cfg(test)]
    pub fn to(&self) -> &[PublisherName] {
        &self.drafts.to
    }

    #[cfg(test)]
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// Returns the core to be signed, its body sealed if it is to be.
    ///
    /// # Errors
    /// `bad_id` if the id given is not the one that `ids` makes, `bad_number` if none can be made, `bad_meta` for an
    /// `expires` that has passed.
    pub fn into_core(self, made: &IdInputs<'_>, chance: &mut impl CryptoRng) -> Result<Core, SubmitError> {
        sealed(self.drafts.into_core(made)?, self.seal.as_deref(), made, chance)
    }
}

impl Addressed<ExplodedEvent> {
    /// Returns the cores to be signed, each with the common parent and `same-report` links to all the others.
    ///
    /// # Errors
    /// The same as [`Addressed::into_core`], for all of them.
    pub fn into_cores(
        self,
        made: &IdInputs<'_>,
        chance: &mut impl CryptoRng,
    ) -> Result<SiblingEvents, SubmitError> {
        let SiblingEvents { parent, cores } = self.drafts.into_cores(made)?;
        let cores = cores.into_iter().map(|core| sealed(core, self.seal.as_deref(), made, chance));
        Ok(SiblingEvents { parent, cores: cores.collect::<Result<_, _>>()? })
    }
}

fn sealed(
    core: Core,
    to: Option<&[SealKey]>,
    made: &IdInputs<'_>,
    chance: &mut impl CryptoRng,
) -> Result<Core, SubmitError> {
    match to {
        None => Ok(core),
        Some(keys) => seal(core, keys, made.secret, chance).map_err(|fault| {
            let code = match &fault {
                SealError::TooLarge(_) => SubmitCode::TooLarge,
                _ => SubmitCode::BadMeta,
            };
            SubmitError::new(code, fault.to_string())
        }),
    }
}

impl ChildEvent {
    /// Replaces names of groups by names of peers, before its parent's recipients narrow it; as a draft it is addressed
    /// once more.
    ///
    /// # Errors
    /// The same as [`CoreDraft::address`], but for those that depend on the parent.
    pub fn expand(&mut self, trust: &TrustList) -> Result<(), SubmitError> {
        self.draft_mut().expand(trust)
    }
}

fn sealed_alone(name: &PublisherName, trust: &TrustList) -> bool {
    trust.peer(name).is_some_and(|peer| peer.share.seal)
}

/// Returns true if nothing unsealed ever reaches this peer from here. A peer that is only down or paused is not meant.
fn is_out_of_reach(name: &PublisherName, trust: &TrustList) -> bool {
    trust.peer(name).is_some_and(|peer| peer.publisher_only || peer.revoked)
}

/// Expands groups. With `takes_back` it also keeps names that are not peers': they are checked with the target.
fn expanded(
    names: &[PublisherName],
    trust: &TrustList,
    takes_back: bool,
) -> Result<Vec<PublisherName>, SubmitError> {
    let mut peers: Vec<PublisherName> = Vec::with_capacity(names.len());
    for name in names {
        let members = trust.group(name).unwrap_or(std::slice::from_ref(name));
        for member in members {
            if !trust.publisher(member) && !takes_back {
                return Err(SubmitError::unknown_recipient(member));
            }
            // A signed event has present names: a relay may not know the old one.
            let member = trust.present_name(member);
            if !peers.contains(member) {
                peers.push(member.clone());
            }
        }
        if peers.len() > RECIPIENTS_MAX {
            return Err(SubmitError::bad_meta(format!("`to` names more than {RECIPIENTS_MAX} peers")));
        }
    }
    Ok(peers)
}

/// Returns the recipients of the line and of the door: if both name some, those that both name.
fn narrowed(line: Vec<PublisherName>, door: Vec<PublisherName>) -> Result<Vec<PublisherName>, SubmitError> {
    if line.is_empty() || door.is_empty() {
        return Ok([line, door].concat());
    }
    let both: Vec<_> = line.into_iter().filter(|name| door.contains(name)).collect();
    if both.is_empty() {
        return Err(SubmitError::bad_meta("`to` of the event and of the door have no name in common"));
    }
    Ok(both)
}

impl SubmitError {
    fn sealed_to_nobody() -> Self {
        Self::bad_meta("`seal` without recipients: there is nobody to seal it to")
            .hint("name them in `to` (--to), or in the door's `to`")
    }

    fn no_seal_key(name: &PublisherName) -> Self {
        Self::new(
            SubmitCode::UnknownRecipient,
            format!("nothing can be sealed to \"{name}\": no sealing key is known"),
        )
        .hint("ask for a new invitation (`intelmesh invite`) and add it: it brings the key")
    }

    /// Returns the refusal for a shared sealing key; which of them it belongs to cannot be told from here.
    fn one_seal_key(one: &PublisherName, other: &PublisherName) -> Self {
        Self::new(
            SubmitCode::UnknownRecipient,
            format!("\"{one}\" and \"{other}\" name the same sealing key"),
        )
        .hint("one of them states a key that is the other's: seal it to each alone, and ask both about it")
    }

    fn own_recipient(name: &PublisherName) -> Self {
        Self::new(SubmitCode::UnknownRecipient, format!("\"{name}\" in `to` is this node itself"))
            .hint("it may stand beside others in `to` of what is sealed, so that it can be read here later")
    }
}

#[cfg(test)]
mod tests;
