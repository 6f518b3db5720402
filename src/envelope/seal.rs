//! Sealing and opening a body (PROTOCOL.md §2.6): COSE_Encrypt inside the signed core, so that relays
//! verify without reading. In reading order: `form` (the COSE_Encrypt as bytes), `inside` (the sealed content, padded),
//! `wrap` (the content key for each recipient). Randomness comes as an argument. This module does not know which
//! publisher has which sealing key, nor who may have an event.

pub(super) mod form;
mod inside;
mod wrap;

use std::fmt;
use std::sync::{PoisonError, RwLock};

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use bytes::Bytes;
use rand::CryptoRng;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::content::BodyIdSecret;
use super::{Body, CodecError, Core, Envelope, Extensions, OpenedBody, core_fields};
use crate::cbor;
use crate::event::BodyError;
use crate::identity::{KEY_ID_BYTES_MAX, KeyId, NodeNames};
use form::{IV_BYTES, SealRecipient, SealedBody, TAG_BYTES};

/// Every seal is bound to this, and to the fields of the core beside the body (external_aad).
const SEAL_CONTEXT: &str = "intelmesh/seal/v1";

/// Under which a body's secret makes the mark that `seal` uses as IV.
const MARK_CONTEXT: &[u8] = b"intelmesh/seal-iv/v1";

const TEXT_START: &str = "x25519:";

/// A public key that bodies are sealed to; never one of small order, with which there would be no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealKey([u8; 32]);

/// Says why a text is not a sealing key. The operator must fix it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SealKeyError {
    #[error(
        "\"{0}\" is not a sealing key: expected \"x25519:\" and 43 characters of base64url without padding"
    )]
    Form(String),
    #[error("this x25519 key is weak: whatever is sealed to it, anybody can open")]
    Weak,
}

impl SealKey {
    /// # Errors
    /// [`SealKeyError::Weak`].
    pub fn new(bytes: [u8; 32]) -> Result<Self, SealKeyError> {
        // A point of small order gives zero with every secret, this one too.
        let probe = StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(bytes));
        if probe.was_contributory() { Ok(Self(bytes)) } else { Err(SealKeyError::Weak) }
    }

    /// Returns the public key of a secret one.
    pub fn of(secret: &StaticSecret) -> Self {
        Self(PublicKey::from(secret).to_bytes())
    }

    /// Reads `x25519:` and base64url without padding.
    ///
    /// # Errors
    /// [`SealKeyError`].
    pub fn parse(text: &str) -> Result<Self, SealKeyError> {
        let fault = || SealKeyError::Form(text.chars().take(80).collect());
        let encoded = text.strip_prefix(TEXT_START).ok_or_else(fault)?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| fault())?;
        Self::new(bytes.try_into().map_err(|_| fault())?)
    }

    /// Returns the 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `kid` of its recipients.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_public(&self.0)
    }
}

impl fmt::Display for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TEXT_START}{}", data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says why a core cannot be sealed. The caller's fault, except for the bound on the size.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum SealError {
    /// The body is sealed already.
    #[error("the body is sealed already")]
    Twice,
    /// The number of keys is not the number of recipients, or both are 0.
    #[error("{named} recipients and {keys} sealing keys")]
    Keys { named: usize, keys: usize },
    /// A key has a low order: everybody could read what is sealed to it.
    #[error("a sealing key is weak")]
    WeakKey,
    /// The sealed envelope would exceed its bound.
    #[error("{0} bytes are too many to be sealed")]
    TooLarge(usize),
}

/// Seals the body of `core`, and parent, links and ext with it, to `keys`: those of the names in `to`, in
/// that order. `secret` gives the mark by which this node, and nobody else, knows again what it sealed.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    mut core: Core,
    keys: &[SealKey],
    secret: &BodyIdSecret,
    chance: &mut impl CryptoRng,
) -> Result<Core, SealError> {
    if keys.len() != core.to.len() {
        return Err(SealError::Keys { named: core.to.len(), keys: keys.len() });
    }
    let payload = match &core.body {
        Body::Plain(payload) => payload.clone(),
        Body::Sealed(_) => return Err(SealError::Twice),
    };
    let opened = OpenedBody {
        payload,
        ext: core.ext.take(),
        links: std::mem::take(&mut core.links),
        parent: core.parent.take(),
        // Those of the core stand outside: every node passes them on.
        extensions: Extensions::default(),
    };
    let mut text = inside::encode(&opened)?;
    // The content key is fresh, so any IV will do; one that depends on what is sealed lets the publisher, who
    // cannot open it, tell a line that is submitted again from another under the same id.
    let mark = secret.mac(&[MARK_CONTEXT, core.id.uuid.as_bytes(), &text]);
    let mut iv = [0; IV_BYTES];
    iv.copy_from_slice(&mark[..IV_BYTES]);
    let mut content_key = Zeroizing::new([0u8; 32]);
    chance.fill_bytes(content_key.as_mut_slice());
    let recipients = keys
        .iter()
        .map(|key| wrap::wrap(&content_key, key, chance))
        .collect::<Option<Vec<_>>>()
        .ok_or(SealError::WeakKey)?;
    let cipher = Aes256Gcm::new(&(*content_key).into());
    let tag = cipher
        .encrypt_inout_detached(&Nonce::from(iv), &content_aad(&core), text.as_mut_slice().into())
        .map_err(|_| SealError::TooLarge(text.len()))?;
    text.extend_from_slice(&tag);
    core.body = Body::Sealed(form::encode(&iv, &text, &recipients).into());
    Ok(core)
}

/// Says why a sealed body was not opened here. This node is never at fault, except for [`OpenError::OtherKey`] if its
/// own key changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum OpenError {
    /// The body is plain.
    #[error("the body is not sealed")]
    NotSealed,
    /// `to` does not name this node.
    #[error("not sealed to this node")]
    NotRecipient,
    /// It was sealed to a key of this node that is gone.
    #[error("sealed to key {0}, which is not in keys/")]
    OtherKey(KeyId),
    /// The publisher wrapped the content key for another one.
    #[error("the content key cannot be unwrapped: it was not sealed to this node's key")]
    Key,
    /// The publisher, or somebody on the way, changed the envelope around the seal.
    #[error("what is sealed does not belong to this envelope, or was changed")]
    Content,
    /// The publisher sealed something else than content.
    #[error("what is sealed is not in the form of PROTOCOL.md §2.6: {0}")]
    Inside(String),
    /// The publisher sealed JSON that no node takes.
    #[error("the sealed {part}: {}", fault.without_content())]
    Json { part: &'static str, fault: BodyError },
}

impl OpenError {
    /// A short name for logs and for what is set aside.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotSealed => "not_sealed",
            Self::NotRecipient => "not_recipient",
            Self::OtherKey(_) => "other_key",
            Self::Key => "bad_key",
            Self::Content => "bad_content",
            Self::Inside(_) => "bad_inside",
            Self::Json { .. } => "bad_body",
        }
    }
}

impl From<CodecError> for OpenError {
    fn from(fault: CodecError) -> Self {
        Self::Inside(fault.to_string())
    }
}

/// Holds this node's sealing keys and opens bodies that are sealed to it.
pub struct SealOpener {
    names: NodeNames,
    /// Each with the hash of its public key, which key ids begin.
    keys: RwLock<Vec<([u8; KEY_ID_BYTES_MAX], StaticSecret)>>,
}

fn named(keys: impl IntoIterator<Item = StaticSecret>) -> Vec<([u8; KEY_ID_BYTES_MAX], StaticSecret)> {
    keys.into_iter().map(|key| (KeyId::hash(SealKey::of(&key).as_bytes()), key)).collect()
}

impl fmt::Debug for SealOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.names.name())
    }
}

impl SealOpener {
    /// `names` are those that stand in `to` for this node; `keys` are the present one and those before it.
    pub fn new(names: impl Into<NodeNames>, keys: impl IntoIterator<Item = StaticSecret>) -> Self {
        Self { names: names.into(), keys: RwLock::new(named(keys)) }
    }

    /// Replaces the keys: from now on these open bodies that are sealed for this node.
    pub fn replace(&self, keys: impl IntoIterator<Item = StaticSecret>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = named(keys);
    }

    /// Returns whether `core` is sealed to this node.
    pub fn is_recipient(&self, core: &Core) -> bool {
        core.body.is_sealed() && core.to.iter().any(|name| self.names.has(name))
    }

    /// Opens the body of a verified envelope, and checks it as a door checks submitted events.
    ///
    /// # Errors
    /// [`OpenError`]; the envelope is as good as before to everybody else.
    pub fn open(&self, envelope: &Envelope) -> Result<OpenedBody, OpenError> {
        let core = envelope.core();
        let Body::Sealed(item) = &core.body else { return Err(OpenError::NotSealed) };
        let sealed = SealedBody::read(item)?;
        let named = core.to.iter().zip(&sealed.recipients);
        let ours: Vec<_> = named.filter(|(name, _)| self.names.has(name)).map(|(_, ours)| ours).collect();
        let first = ours.first().ok_or(OpenError::NotRecipient)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let fitting = |recipient: &SealRecipient<'_>| {
            let key_id = recipient.key_id;
            keys.iter().filter(move |(hash, _)| hash.starts_with(key_id.as_bytes()))
        };
        if ours.iter().all(|recipient| fitting(recipient).next().is_none()) {
            return Err(OpenError::OtherKey(first.key_id));
        }
        let opened = |recipient: &&SealRecipient<'_>| {
            fitting(recipient).find_map(|(_, secret)| wrap::unwrap(recipient, secret))
        };
        let content_key = ours.iter().find_map(opened).ok_or(OpenError::Key)?;
        let (text, tag) = sealed.ciphertext.split_at(sealed.ciphertext.len() - TAG_BYTES);
        let mut text = text.to_vec();
        let tag: [u8; TAG_BYTES] = tag.try_into().map_err(|_| OpenError::Content)?;
        Aes256Gcm::new(&(*content_key).into())
            .decrypt_inout_detached(
                &Nonce::from(*sealed.iv),
                &content_aad(core),
                text.as_mut_slice().into(),
                &tag.into(),
            )
            .map_err(|_| OpenError::Content)?;
        inside::decode(&Bytes::from(text))
    }
}

/// Returns whether two sealed bodies of this node under one id have the same content. Their IVs are marks of it.
pub(super) fn same_mark(one: &[u8], other: &[u8]) -> bool {
    match (SealedBody::read(one), SealedBody::read(other)) {
        (Ok(one), Ok(other)) => one.iv == other.iv && one.ciphertext.len() == other.ciphertext.len(),
        _ => false,
    }
}

/// `Enc_structure` of RFC 9052 §5.3, with every field of the core but the body as external_aad.
fn content_aad(core: &Core) -> Vec<u8> {
    let mut external = Vec::with_capacity(512);
    cbor::put_array(&mut external, 2);
    cbor::put_text(&mut external, SEAL_CONTEXT);
    core_fields::put_map_beside_body(&mut external, core);
    let mut out = Vec::with_capacity(external.len() + 32);
    cbor::put_array(&mut out, 3);
    cbor::put_text(&mut out, "Encrypt");
    cbor::put_bytes(&mut out, &form::CONTENT_PROTECTED);
    cbor::put_bytes(&mut out, &external);
    out
}

#[cfg(test)]
mod tests;
