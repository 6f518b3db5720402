//! Key statements (PROTOCOL.md §8): a publisher's identity key names its other keys, in a COSE_Sign1 of
//! its own context. One statement names all of a publisher's keys. The one with the highest serial is the publisher's
//! state, and a revocation is final. A [`StatementBook`] keeps the statements; `policy` decides what they mean for
//! keys.

mod book;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use super::CodecError;
use super::codec::{self, EnvelopeParts, UNPROTECTED_EMPTY};
use super::sign::{SignatureError, to_be_signed};
use crate::cbor::{self, CborError, CborReader};
use crate::identity::{IdentityKey, KeyId, PublisherName, is_good_key};
use crate::limits::{KEY_STATEMENT_BYTES_MAX, STATED_KEYS_MAX};
use crate::time::Timestamp;

pub(crate) use book::{StatedKeys, StatementBook};

/// The context that every signature over a statement is bound to (external_aad).
pub(crate) const STATEMENT_CONTEXT: &[u8] = b"intelmesh/key/v1";

/// The version of statements that this node writes and reads.
const VERSION: u64 = 1;

/// The use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyUse {
    /// Ed25519: signs envelopes.
    Sign,
    /// X25519: bodies for the publisher are sealed to it.
    Seal,
    /// A use of a later version: kept and shown with its statement, and not used here.
    Other(u64),
}

impl KeyUse {
    /// Returns the use as texts name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Seal => "seal",
            Self::Other(_) => "other",
        }
    }

    fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Sign,
            1 => Self::Seal,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Sign => 0,
            Self::Seal => 1,
            Self::Other(other) => other,
        }
    }
}

/// A key that a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedKey {
    /// Its purpose.
    pub usage: KeyUse,
    /// The public key.
    pub key: [u8; 32],
    /// It is good for what was created from this time on …
    pub not_before: Timestamp,
    /// … and up to this one; `None` while it is in use.
    pub not_after: Option<Timestamp>,
    /// Somebody else may have it: nothing new that it signs is accepted, at any date.
    pub compromised: bool,
}

impl StatedKey {
    /// The Ed25519 key of a signing key; `None` for another use. A statement holds no weak ones.
    pub fn verifying_key(&self) -> Option<VerifyingKey> {
        match self.usage {
            KeyUse::Sign => VerifyingKey::from_bytes(&self.key).ok(),
            KeyUse::Seal | KeyUse::Other(_) => None,
        }
    }
}

/// The content of a statement by a publisher's identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The node whose keys these are.
    pub publisher: PublisherName,
    /// Rises with each statement, and with time.
    pub serial: u64,
    /// At most [`STATED_KEYS_MAX`], in the order of their making.
    pub keys: Vec<StatedKey>,
    /// The identity key itself is revoked: nothing of this publisher counts any more.
    pub revoked: bool,
}

impl Statement {
    /// The key that signs at the moment, or seals.
    pub fn current(&self, usage: KeyUse) -> Option<&StatedKey> {
        let mut usable = self.keys.iter().filter(|key| key.usage == usage && key.not_after.is_none());
        usable.rfind(|key| !key.compromised)
    }
}

/// Says why bytes are not a statement, or not this publisher's. The sender is to blame; nothing is changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StatementError {
    #[error("a key statement of {0} bytes, more than {KEY_STATEMENT_BYTES_MAX}")]
    TooLarge(usize),
    #[error(transparent)]
    Sign1(#[from] CodecError),
    #[error("not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    #[error("version {0} of key statements is not known here")]
    Version(u64),
    #[error("{field}: {why}")]
    Field { field: &'static str, why: &'static str },
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A statement with a signature that was checked with its signer's identity key. Two makers: `sign` and `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStatement {
    statement: Statement,
    /// The key that the signature was checked with. The signed header has an id of it, which proves nothing.
    signer: IdentityKey,
    bytes: Bytes,
}

impl SignedStatement {
    /// # Errors
    /// [`StatementError`] if the statement breaks a bound.
    pub fn sign(statement: Statement, identity: &SigningKey) -> Result<Self, StatementError> {
        let payload = encode(&statement);
        let protected = codec::protected_header(KeyId::of(&identity.verifying_key()));
        let signature = identity.sign(&to_be_signed(STATEMENT_CONTEXT, &protected, &payload)).to_bytes();
        let bytes = codec::encode_sign1(&protected, UNPROTECTED_EMPTY, &payload, &signature);
        Self::verify(&bytes, &identity.verifying_key())
    }

    /// Reads `bytes`, and checks that `identity` signed them.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn verify(bytes: &[u8], identity: &VerifyingKey) -> Result<Self, StatementError> {
        let (statement, parts) = read(bytes)?;
        if !parts.key_id.fits(identity) {
            let expected = KeyId::of(identity);
            return Err(SignatureError::OtherKey { expected, found: parts.key_id }.into());
        }
        let message = to_be_signed(STATEMENT_CONTEXT, parts.protected, parts.payload);
        identity
            .verify_strict(&message, &Signature::from_bytes(&parts.signature))
            .map_err(|_| SignatureError::Invalid)?;
        Ok(Self { statement, signer: IdentityKey::of(identity), bytes: Bytes::copy_from_slice(bytes) })
    }

    /// Returns a statement of `signer` that was verified before it was written into our own journal.
    ///
    /// # Errors
    /// [`StatementError`] if it is not a statement.
    pub fn stored(signer: IdentityKey, bytes: &[u8]) -> Result<Self, StatementError> {
        let (statement, _) = read(bytes)?;
        Ok(Self { statement, signer, bytes: Bytes::copy_from_slice(bytes) })
    }

    /// Reads another statement, and returns it if the same key signed it.
    pub fn by_the_same_key(&self, bytes: &[u8]) -> Option<Self> {
        let identity = VerifyingKey::from_bytes(&self.signer.0).ok()?;
        Self::verify(bytes, &identity).ok()
    }

    /// The identity key that signed it.
    pub fn signer(&self) -> IdentityKey {
        self.signer
    }

    /// Returns the signed statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The COSE_Sign1, tag included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns whether it replaces `known`, of the same signer. A revocation is never replaced, and a lower serial
    /// never counts.
    pub fn replaces(&self, known: Option<&Self>) -> bool {
        let Some(known) = known.map(Self::statement) else { return true };
        match (known.revoked, self.statement.revoked) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => self.statement.serial > known.serial,
        }
    }
}

/// Returns the publisher that the statement in `bytes` claims to come from. Only the form is checked.
///
/// # Errors
/// [`StatementError`].
pub(crate) fn claimed_publisher(bytes: &[u8]) -> Result<PublisherName, StatementError> {
    read(bytes).map(|(statement, _)| statement.publisher)
}

fn read(bytes: &[u8]) -> Result<(Statement, EnvelopeParts<'_>), StatementError> {
    if bytes.len() > KEY_STATEMENT_BYTES_MAX {
        return Err(StatementError::TooLarge(bytes.len()));
    }
    let parts = EnvelopeParts::read(bytes)?;
    if parts.unprotected != UNPROTECTED_EMPTY {
        return Err(StatementError::Sign1(CodecError::UnprotectedHeader));
    }
    let statement = decode(parts.payload)?;
    if encode(&statement) != parts.payload {
        return Err(StatementError::Sign1(CodecError::NotCanonical));
    }
    Ok((statement, parts))
}

/// `[version, publisher, serial, revoked, [[use, key, not_before, not_after / null, compromised]]]`.
fn encode(statement: &Statement) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 64 * statement.keys.len());
    cbor::put_array(&mut out, 5);
    cbor::put_unsigned(&mut out, VERSION);
    cbor::put_text(&mut out, statement.publisher.as_str());
    cbor::put_unsigned(&mut out, statement.serial);
    cbor::put_boolean(&mut out, statement.revoked);
    cbor::put_array(&mut out, statement.keys.len());
    for key in &statement.keys {
        cbor::put_array(&mut out, 5);
        cbor::put_unsigned(&mut out, key.usage.number());
        cbor::put_bytes(&mut out, &key.key);
        cbor::put_unsigned(&mut out, key.not_before.0);
        match key.not_after {
            Some(at) => cbor::put_unsigned(&mut out, at.0),
            None => cbor::put_null(&mut out),
        }
        cbor::put_boolean(&mut out, key.compromised);
    }
    out
}

fn decode(payload: &[u8]) -> Result<Statement, StatementError> {
    let field = |field, why| StatementError::Field { field, why };
    let mut reader = CborReader::of_one_item(payload)?;
    let count = reader.array()?;
    let version = reader.unsigned()?;
    if version != VERSION {
        return Err(StatementError::Version(version));
    }
    if count != 5 {
        return Err(field("statement", "not five fields"));
    }
    let publisher =
        PublisherName::parse(reader.text()?).map_err(|_| field("publisher", "no name of a publisher"))?;
    let serial = reader.unsigned()?;
    let revoked = reader.boolean()?;
    let keys = reader.array()?;
    if keys > STATED_KEYS_MAX as u64 {
        return Err(field("keys", "too many"));
    }
    let keys = (0..keys).map(|_| decode_key(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    Ok(Statement { publisher, serial, keys, revoked })
}

fn decode_key(reader: &mut CborReader<'_>) -> Result<StatedKey, StatementError> {
    let field = |field, why| StatementError::Field { field, why };
    if reader.array()? != 5 {
        return Err(field("key", "not five fields"));
    }
    let usage = KeyUse::from_number(reader.unsigned()?);
    let key: [u8; 32] = reader.bytes()?.try_into().map_err(|_| field("key", "not 32 bytes"))?;
    if usage == KeyUse::Sign && !is_good_key(&key) {
        return Err(field("key", "no Ed25519 key, or a weak one"));
    }
    let not_before = Timestamp(reader.unsigned()?);
    let not_after = if reader.null() { None } else { Some(Timestamp(reader.unsigned()?)) };
    if not_after.is_some_and(|end| end < not_before) {
        return Err(field("not_after", "before not_before"));
    }
    Ok(StatedKey { usage, key, not_before, not_after, compromised: reader.boolean()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> SigningKey {
        crate::fixture::key(7)
    }

    fn statement(serial: u64, revoked: bool) -> Statement {
        let sign = crate::fixture::key(8).verifying_key().to_bytes();
        let key = |usage, key, not_after| StatedKey {
            usage,
            key,
            not_before: Timestamp(5),
            not_after,
            compromised: false,
        };
        Statement {
            publisher: PublisherName::parse("cert-at").unwrap(),
            serial,
            keys: vec![
                key(KeyUse::Sign, identity().verifying_key().to_bytes(), Some(Timestamp(9))),
                key(KeyUse::Sign, sign, None),
                key(KeyUse::Seal, [9; 32], None),
            ],
            revoked,
        }
    }

    #[test]
    fn a_statement_reads_back_and_only_under_its_own_key_and_bytes() {
        let signed = SignedStatement::sign(statement(17, false), &identity()).unwrap();
        let read = SignedStatement::verify(signed.bytes(), &identity().verifying_key()).unwrap();
        assert_eq!(read, signed);
        assert_eq!(claimed_publisher(signed.bytes()).unwrap().as_str(), "cert-at");
        let other = crate::fixture::key(8).verifying_key();
        let fault = SignedStatement::verify(signed.bytes(), &other).unwrap_err();
        assert!(matches!(fault, StatementError::Signature(SignatureError::OtherKey { .. })));
        for at in 0..signed.bytes().len() {
            let mut bytes = signed.bytes().to_vec();
            bytes[at] ^= 1;
            assert!(SignedStatement::verify(&bytes, &identity().verifying_key()).is_err(), "byte {at}");
        }
        for cut in 0..signed.bytes().len() {
            assert!(SignedStatement::stored(signed.signer(), &signed.bytes()[..cut]).is_err());
        }
    }

    #[test]
    fn an_envelope_is_no_statement_and_a_statement_no_envelope() {
        let signed = SignedStatement::sign(statement(17, false), &identity()).unwrap();
        assert!(super::super::UnverifiedEnvelope::decode(signed.bytes().clone()).is_err());
        let parts = EnvelopeParts::read(signed.bytes()).unwrap();
        let message = to_be_signed(super::super::sign::ENVELOPE_CONTEXT, parts.protected, parts.payload);
        let signature = identity().sign(&message).to_bytes();
        let forged = codec::encode_sign1(parts.protected, UNPROTECTED_EMPTY, parts.payload, &signature);
        let fault = SignedStatement::verify(&forged, &identity().verifying_key()).unwrap_err();
        assert_eq!(fault, StatementError::Signature(SignatureError::Invalid));
    }

    #[test]
    fn a_lower_serial_never_counts_and_a_revocation_is_the_last_word() {
        let signed =
            |serial, revoked| SignedStatement::sign(statement(serial, revoked), &identity()).unwrap();
        assert!(signed(1, false).replaces(None));
        assert!(signed(2, false).replaces(Some(&signed(1, false))));
        assert!(!signed(1, false).replaces(Some(&signed(1, false))));
        assert!(!signed(1, false).replaces(Some(&signed(2, false))));
        assert!(signed(1, true).replaces(Some(&signed(2, false))), "whatever its serial");
        assert!(!signed(9, false).replaces(Some(&signed(1, true))));
        assert!(!signed(9, true).replaces(Some(&signed(1, true))));
    }

    #[test]
    fn a_key_of_an_unknown_use_stays_in_its_statement() {
        let mut stated = statement(1, false);
        let later = StatedKey { usage: KeyUse::Other(u64::MAX), key: [0; 32], ..stated.keys[1].clone() };
        assert_eq!(later.verifying_key(), None);
        stated.keys.push(later);
        let signed = SignedStatement::sign(stated.clone(), &identity()).unwrap();
        let read = SignedStatement::verify(signed.bytes(), &identity().verifying_key()).unwrap();
        assert_eq!(*read.statement(), stated);
        assert_eq!(stated.current(KeyUse::Sign).unwrap().key, stated.keys[1].key, "it is no key for signing");
    }

    #[test]
    fn the_key_in_use_is_the_newest_good_one() {
        let mut stated = statement(1, false);
        let current = stated.current(KeyUse::Sign).unwrap().clone();
        assert_eq!(current.key, stated.keys[1].key);
        stated.keys[1].compromised = true;
        assert_eq!(stated.current(KeyUse::Sign), None);
        assert_eq!(stated.current(KeyUse::Seal).unwrap().key, [9; 32]);
    }

    #[test]
    fn faults_are_named_and_nothing_claimed_is_allocated() {
        let good = statement(1, false);
        let weak = StatedKey { key: [0; 32], ..good.keys[0].clone() };
        for (stated, want) in [
            (Statement { keys: vec![weak], ..good.clone() }, "key: no Ed25519 key, or a weak one"),
            (
                Statement { keys: vec![good.keys[0].clone(); STATED_KEYS_MAX + 1], ..good.clone() },
                "keys: too many",
            ),
            (
                Statement {
                    keys: vec![StatedKey { not_after: Some(Timestamp(1)), ..good.keys[1].clone() }],
                    ..good.clone()
                },
                "not_after: before not_before",
            ),
        ] {
            assert_eq!(SignedStatement::sign(stated, &identity()).unwrap_err().to_string(), want);
        }
        let fault =
            SignedStatement::stored(IdentityKey([1; 32]), &[0; KEY_STATEMENT_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(fault, StatementError::TooLarge(KEY_STATEMENT_BYTES_MAX + 1));
    }
}
