//! Names and identities: checked when made, so that no code behind a door has to check them again. Also the hop path,
//! which is a list of names. Nothing here reads keys on disk or peers' files.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::limits::{NAME_BYTES_MAX, PATH_HOPS_MAX};

mod keys;

#[cfg(test)]
pub use keys::colliding;
pub(crate) use keys::{KEY_ID_BYTES_MAX, is_good_key};
pub use keys::{KeyId, parse_public_key, public_key_text};

/// Why a text is not a name or a key. The fault of its writer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// A name has other characters, or is empty or too long.
    #[error("\"{0}\" is not a valid name: use 1 to 32 of a-z, 0-9 and \"-\", and do not start with \"-\"")]
    Name(String),
    /// A UUID has another form.
    #[error("\"{0}\" is not a UUID")]
    Uuid(String),
    /// An id does not have three parts.
    #[error("\"{0}\" is not the full name of an event (publisher:project:UUID)")]
    EventId(String),
    /// A key has another form.
    #[error("\"{0}\" is not a key: expected \"ed25519:\" and 43 characters of base64url without padding")]
    Key(String),
    /// The key has a low order.
    #[error("this ed25519 key is weak: signatures under it prove nothing")]
    WeakKey,
    /// A hop path has another form.
    #[error("\"{0}\" is not a hop path (`!cert-at!cert-ee`)")]
    Path(String),
}

/// `[a-z0-9][a-z0-9-]{0,31}`; `_` reads as `-` in what comes from outside.
fn checked_name(text: &str) -> Result<Arc<str>, IdentityError> {
    let name = text.replace('_', "-");
    let fits = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(name.into()) } else { Err(IdentityError::Name(text.chars().take(80).collect())) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name; see the type for what one is.
            ///
            /// # Errors
            /// [`IdentityError::Name`] if it is not one.
            pub fn parse(text: &str) -> Result<Self, IdentityError> {
                checked_name(text).map(Self)
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;
            fn from_str(text: &str) -> Result<Self, IdentityError> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type! {
    /// The name of a node, which is the name of its organisation as publisher, peer, hop and recipient:
    /// `[a-z0-9][a-z0-9-]{0,31}`.
    PublisherName
}
/// Every name of one node: its present one, and old ones that paths, ids and recipients may still have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames {
    name: PublisherName,
    aliases: Vec<PublisherName>,
}

impl NodeNames {
    /// Returns the present name with the old ones.
    pub fn new(name: PublisherName, aliases: Vec<PublisherName>) -> Self {
        Self { name, aliases }
    }

    /// The present name.
    pub fn name(&self) -> &PublisherName {
        &self.name
    }

    /// Returns whether the node is or was called so.
    pub fn has(&self, name: &PublisherName) -> bool {
        self.name == *name || self.aliases.contains(name)
    }

    /// Returns the present name, then the old ones.
    pub fn all(&self) -> impl Iterator<Item = &PublisherName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

impl From<PublisherName> for NodeNames {
    fn from(name: PublisherName) -> Self {
        Self::new(name, Vec::new())
    }
}

name_type! {
    /// The middle part of an event's full name: the project of the publisher that made it (`intelmq`). The same form.
    ProjectName
}

/// An event's full name in CyCat form: `publisher:project:UUID`.
///
/// ```
/// let id: intelmesh::EventId = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse()?;
/// assert_eq!(id.publisher.as_str(), "cert-at");
/// # Ok::<(), intelmesh::IdentityError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The node that signed it.
    pub publisher: PublisherName,
    /// The source within the publisher.
    pub project: ProjectName,
    /// Unique within both.
    pub uuid: Uuid,
}

impl EventId {
    /// The identity as seen set, journal and HAVE carry it: SHA-256 of the full name, truncated (PROTOCOL.md §3).
    pub fn key(&self) -> EventKey {
        let mut hash = Sha256::new();
        hash.update(self.publisher.as_str());
        hash.update(b":");
        hash.update(self.project.as_str());
        hash.update(b":");
        let mut text = [0u8; uuid::fmt::Hyphenated::LENGTH];
        hash.update(self.uuid.as_hyphenated().encode_lower(&mut text).as_bytes());
        let mut key = [0u8; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        EventKey(key)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.publisher, self.project, self.uuid.as_hyphenated())
    }
}

impl FromStr for EventId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let fault = || IdentityError::EventId(text.chars().take(120).collect());
        let mut parts = text.splitn(3, ':');
        let (Some(publisher), Some(project), Some(uuid)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault());
        };
        Ok(Self {
            publisher: PublisherName::parse(publisher)?,
            project: ProjectName::parse(project)?,
            uuid: parse_uuid(uuid)?,
        })
    }
}

/// A bare UUID in its 36-character form. Other spellings (braces, URN, 32 digits) are no UUID here, so
/// that one event has one name.
///
/// # Errors
/// [`IdentityError::Uuid`].
pub(crate) fn parse_uuid(text: &str) -> Result<Uuid, IdentityError> {
    let fault = || IdentityError::Uuid(text.chars().take(80).collect());
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(fault());
    }
    Uuid::try_parse(text).map_err(|_| fault())
}

macro_rules! byte_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

byte_type! {
    /// An identity as 16 bytes: see [`EventId::key`].
    EventKey, 16
}
byte_type! {
    /// SHA-256 over the signed core, always all of it: a publisher can make two events that agree in a part of it.
    CoreDigest, 32
}
byte_type! {
    /// The 32 bytes of an Ed25519 public key: a publisher's identity key. Two keys are the same only if all of
    /// them agree; a [`KeyId`] only helps to find one.
    IdentityKey, 32
}
byte_type! {
    /// 16 opaque bytes that name the history of a journal up to one entry (PROTOCOL.md §5.1).
    Check, 16
}
byte_type! {
    /// Random, made anew when a journal is created or emptied.
    LogId, 16
}

impl CoreDigest {
    /// Returns the digest of the bytes of a signed core.
    pub fn of(core_bytes: &[u8]) -> Self {
        Self(Sha256::digest(core_bytes).into())
    }
}

impl Check {
    /// Before the first carrier of any journal.
    pub const START: Self = Self([0; 16]);
}

/// The secret of one journal, under which its checks are made. It stands in the header of each segment and
/// nowhere else, so that it is restored with the journal. Without a secret, a peer that holds the entries on
/// both sides of one that is withheld from it could confirm a guess of the withheld entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckSecret([u8; 32]);

impl CheckSecret {
    /// Returns the secret with these bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the check after one more carrier: the first 16 bytes of HMAC-SHA-256(secret, `before` || digest).
    pub fn check_after(&self, before: &Check, digest: &CoreDigest) -> Check {
        // HMAC pads a key with zeros to the block of its hash (RFC 2104 §2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256>>::new(&block.into());
        mac.update(&before.0);
        mac.update(&digest.0);
        let mut check = [0u8; 16];
        check.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        Check(check)
    }
}

impl fmt::Debug for CheckSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckSecret(not shown)")
    }
}

/// The nodes that handled an envelope, oldest first, written `!cert-at!cert-ee`. Advisory: it is not signed,
/// and nothing that decides who may see an event rests on it (decisions/0010).
///
/// ```
/// use intelmesh::{HopPath, PublisherName};
///
/// let [at, ee] = ["cert-at", "cert-ee"].map(|name| PublisherName::parse(name).expect("a name"));
/// let path = HopPath::default().with(&at).and_then(|path| path.with(&ee)).expect("two hops");
/// assert_eq!(path.to_string(), "!cert-at!cert-ee");
/// assert_eq!(path.last(), Some(&ee));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HopPath(Vec<PublisherName>);

impl HopPath {
    /// Returns the path of these hops, the publisher first.
    ///
    /// # Errors
    /// [`IdentityError::Path`] if there are more than 32 hops.
    pub fn new(hops: Vec<PublisherName>) -> Result<Self, IdentityError> {
        if hops.len() > PATH_HOPS_MAX {
            return Err(IdentityError::Path(format!("{} hops", hops.len())));
        }
        Ok(Self(hops))
    }

    /// Returns the hops, the publisher first.
    pub fn hops(&self) -> &[PublisherName] {
        &self.0
    }

    /// Returns the number of hops.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for what was submitted at this node.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `name` passed it on.
    pub fn contains(&self, name: &PublisherName) -> bool {
        self.0.contains(name)
    }

    /// The peer that handed it over.
    pub fn last(&self) -> Option<&PublisherName> {
        self.0.last()
    }

    /// Returns the path that the next node gets; `None` if it would be too long.
    pub fn with(&self, hop: &PublisherName) -> Option<Self> {
        if self.0.len() >= PATH_HOPS_MAX {
            return None;
        }
        let mut hops = self.0.clone();
        hops.push(hop.clone());
        Some(Self(hops))
    }
}

impl fmt::Display for HopPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|hop| write!(f, "!{hop}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_and_read_underscores_as_dashes() {
        for (text, want) in [
            ("cert-at", Some("cert-at")),
            ("cert_at", Some("cert-at")),
            ("1", Some("1")),
            ("", None),
            ("-a", None),
            ("_a", None),
            ("Cert", None),
            ("a:b", None),
            ("a.b", None),
            ("12345678901234567890123456789012", Some("12345678901234567890123456789012")),
            ("123456789012345678901234567890123", None),
        ] {
            assert_eq!(PublisherName::parse(text).ok().as_ref().map(PublisherName::as_str), want, "{text}");
        }
    }

    #[test]
    fn a_full_name_reads_back_as_it_was_written() {
        let text = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
        assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        assert!("cert-at:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse::<EventId>().is_err());
        assert!("cert-at:intelmq:72ddb00c2d0a4eeab7acae122b8e6c3b".parse::<EventId>().is_err());
    }

    #[test]
    fn the_key_of_an_event_does_not_depend_on_the_case_of_its_uuid() {
        let lower: EventId = "a:b:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().unwrap();
        let upper: EventId = "a:b:72DDB00C-2D0A-4EEA-B7AC-AE122B8E6C3B".parse().unwrap();
        assert_eq!(lower.key(), upper.key());
    }
}
