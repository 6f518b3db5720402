//! The rules for the JSON of an envelope, and the ids that are made of a body (PROTOCOL.md §2.4, §3.3). It is not
//! checked here who gave the id, or whether it was seen.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use super::canonical::InexactNumber;
use super::canonical::canonical_object;
use super::{Body, Core, IdScheme};
use crate::event::{self, BodyError};

/// Members of the payload that differ between two nodes which took in the same feed.
const NOT_CONTENT: [&str; 2] = ["raw", "time.observation"];

/// Says why the content of an envelope is refused. The publisher's fault, and final.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum ContentError {
    /// The payload is not one line of JSON, or is out of bounds.
    #[error("body: {0}")]
    Body(#[source] BodyError),
    /// The meta information is not one line of JSON, or is out of bounds.
    #[error("ext: {0}")]
    Ext(#[source] BodyError),
    /// The id says that it is computed from the content, and differs from the computed one.
    #[error("the id is {found}, the content's is {expected}")]
    IdMismatch { expected: Uuid, found: Uuid },
    /// A number of the content has no exact form, so that no id can be computed from it.
    #[error("a content id over {0}")]
    Number(#[from] InexactNumber),
}

/// Checks the JSON of a core, and its UUID if that is made of the content. A sealed body is not checked.
///
/// # Errors
/// [`ContentError`]: `bad_body`, or `content_id_mismatch` for the last two.
pub fn check_content(core: &Core) -> Result<(), ContentError> {
    if let Some(ext) = &core.ext {
        event::check_body(ext).map_err(ContentError::Ext)?;
    }
    let Body::Plain(bytes) = &core.body else {
        return Ok(());
    };
    event::check_body(bytes).map_err(ContentError::Body)?;
    if core.ids == IdScheme::Content {
        let expected = content_uuid(std::str::from_utf8(bytes).unwrap_or_default())?;
        if expected != core.id.uuid {
            return Err(ContentError::IdMismatch { expected, found: core.id.uuid });
        }
    }
    Ok(())
}

/// UUIDv8 of SHA-256 over the canonical payload (RFC 8785) without `raw` and `time.observation`. `body`
/// has passed [`event::check_body`].
///
/// # Errors
/// [`InexactNumber`].
pub(crate) fn content_uuid(body: &str) -> Result<Uuid, InexactNumber> {
    canonical_object(body, &NOT_CONTENT).map(|canonical| uuid_v8(&Sha256::digest(&canonical)))
}

/// Returns whether two plain bodies with one content id, which passed [`check_content`], have the same canonical
/// payload. Only 122 bits of an id come from the hash, so a publisher can find two payloads for one id (PROTOCOL.md
/// §9).
#[cfg(any(feature = "node", feature = "sim"))]
pub(crate) fn is_same_content(one: &Body, other: &Body) -> bool {
    let canonical = |body: &Body| match body {
        Body::Plain(bytes) => canonical_object(std::str::from_utf8(bytes).ok()?, &NOT_CONTENT).ok(),
        Body::Sealed(_) => None,
    };
    one == other || canonical(one).is_some_and(|one| canonical(other).is_some_and(|other| one == other))
}

/// A secret of this node, from `keys/`. Without it, others could confirm a guess about sealed content.
#[derive(Clone)]
pub struct BodyIdSecret(Zeroizing<[u8; 32]>);

impl BodyIdSecret {
    /// Returns the secret with these bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// Returns the secret for what one client posts: the same body of another client is another event, which may be
    /// meant for others.
    pub fn of_client(&self, client: &str) -> Self {
        Self::new(self.mac(&[b"intelmesh/client/", client.as_bytes()]))
    }

    /// UUIDv8 of HMAC-SHA-256 over the body: the same bytes at the same node have the same id.
    pub fn uuid_of(&self, body: &[u8]) -> Uuid {
        uuid_v8(&self.mac(&[body]))
    }

    /// HMAC-SHA-256 over the pieces, one after the other.
    pub(super) fn mac(&self, pieces: &[&[u8]]) -> [u8; 32] {
        // HMAC pads a key with zeros to the block of its hash (RFC 2104 §2).
        let mut block = Zeroizing::new([0u8; 64]);
        block[..32].copy_from_slice(&*self.0);
        let mut mac = <Hmac<Sha256>>::new(&(*block).into());
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for BodyIdSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodyIdSecret")
    }
}

/// The first 16 bytes of a hash, with version 8 and the variant of RFC 9562.
fn uuid_v8(hash: &[u8]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests;
