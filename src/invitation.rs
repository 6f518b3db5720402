//! An invitation: two organisations send each other one, once, as `intelmesh1…` (bech32m). Each can then write the
//! other's peer file: name, federation, keys, addresses, expiry, signed by that very key (PROTOCOL.md §7). It proves
//! that its maker holds the key, but not who they are: for that there are the words of the fingerprint. It never has a
//! secret.

mod extract;

use std::fmt;

use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use ciborium::Value;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::identity::{ProjectName, PublisherName};
use crate::limits::{ADDRESSES_MAX, CBOR_DEPTH_MAX, INVITATION_ADDRESS_BYTES_MAX, INVITATION_CHARS_MAX};
use crate::time::Timestamp;

/// The signature is bound to this (external_aad).
pub(crate) const INVITATION_CONTEXT: &[u8] = b"intelmesh/invitation/v1";
/// An invitation is good for this long, in ms: 7 days.
pub const INVITATION_VALID_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The part before the `1`.
const HUMAN_READABLE: &str = "intelmesh";

/// bech32m with a longer code: beyond 1,023 characters it no longer promises to find every four errors, but
/// the signature finds them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LongBech32m {}

impl Checksum for LongBech32m {
    type MidstateRepr = <Bech32m as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32m as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32m::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32m::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = INVITATION_CHARS_MAX;
    const CHECKSUM_LENGTH: usize = Bech32m::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32m::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32m::TARGET_RESIDUE;
}

/// The content of an invitation. Made by [`Invitation::parse`], its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub name: PublisherName,
    pub federation: ProjectName,
    pub key: VerifyingKey,
    pub seal: [u8; 32],
    pub addresses: Vec<String>,
    pub expires: Timestamp,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvitationError {
    #[error("there is no invitation in this text: one begins with \"intelmesh1\"")]
    NotOne,
    #[error("there are two different invitations in this text")]
    Several,
    #[error("the invitation is damaged: {0}")]
    Damaged(&'static str),
    #[error("the invitation was not signed by the key that it names")]
    Signature,
    #[error("the invitation expired at {0}")]
    Expired(Timestamp),
    #[error("the invitation is of version {0}, newer than this program")]
    Version(u64),
    #[error("the invitation would be too long: at most 16 addresses of 255 bytes")]
    TooLong,
}

impl InvitationError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotOne => {
                "give the line that intelmesh invite printed, or the name of a file that holds it"
            }
            Self::Damaged(_) | Self::Signature => "copy all of what intelmesh invite printed",
            Self::Several => "give the one that you mean alone",
            Self::Expired(_) => "ask for a new one: intelmesh invite",
            Self::Version(_) => "install a newer intelmesh",
            Self::TooLong => "name fewer addresses in advertise",
        }
    }
}

impl Invitation {
    /// Returns the text of this invitation, signed with `key`.
    ///
    /// # Errors
    /// [`InvitationError::TooLong`], and [`InvitationError::Signature`] if `key` is not the one named.
    pub fn make(&self, key: &SigningKey) -> Result<String, InvitationError> {
        if key.verifying_key() != self.key {
            return Err(InvitationError::Signature);
        }
        let long = |address: &String| address.len() > INVITATION_ADDRESS_BYTES_MAX;
        if self.addresses.len() > ADDRESSES_MAX || self.addresses.iter().any(long) {
            return Err(InvitationError::TooLong);
        }
        let sign1 = CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(iana::Algorithm::Ed25519).build())
            .payload(self.payload().to_vec().map_err(|_| InvitationError::TooLong)?)
            .create_signature(INVITATION_CONTEXT, |bytes| key.sign(bytes).to_bytes().to_vec())
            .build();
        let bytes = sign1.to_tagged_vec().map_err(|_| InvitationError::TooLong)?;
        let hrp = Hrp::parse(HUMAN_READABLE).map_err(|_| InvitationError::NotOne)?;
        bech32::encode_lower::<LongBech32m>(hrp, &bytes).map_err(|_| InvitationError::TooLong)
    }

    /// Reads the invitation in `text`, in either case, even if a mail program changed it or put text around it.
    ///
    /// # Errors
    /// [`InvitationError`]: nothing of it may be believed then.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, InvitationError> {
        let text = extract::extract(text)?;
        let checked = CheckedHrpstring::new::<LongBech32m>(&text)
            .map_err(|_| InvitationError::Damaged("its checksum does not fit"))?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let sign1 = CoseSign1::from_tagged_slice(&bytes)
            .map_err(|_| InvitationError::Damaged("its content is no signed map"))?;
        let payload = sign1.payload.as_deref().unwrap_or_default();
        let invitation = Self::from_payload(payload)?;
        invitation.check_signature(&sign1, &bytes)?;
        if invitation.expires <= now {
            return Err(InvitationError::Expired(invitation.expires));
        }
        Ok(invitation)
    }

    fn check_signature(&self, sign1: &CoseSign1, bytes: &[u8]) -> Result<(), InvitationError> {
        let expected = HeaderBuilder::new().algorithm(iana::Algorithm::Ed25519).build();
        let canonical = sign1.clone().to_tagged_vec().is_ok_and(|again| again == bytes);
        if sign1.protected.header != expected || !sign1.unprotected.is_empty() || !canonical {
            return Err(InvitationError::Damaged("its form is not the one that is signed"));
        }
        let signature = Signature::from_slice(&sign1.signature).map_err(|_| InvitationError::Signature)?;
        let signed = sign1.tbs_data(INVITATION_CONTEXT);
        self.key.verify_strict(&signed, &signature).map_err(|_| InvitationError::Signature)
    }

    /// {1: version, 2: name, 3: federation, 4: key, 5: sealing key, 6: addresses, 7: expiry in ms}.
    fn payload(&self) -> Value {
        let addresses = self.addresses.iter().map(|address| Value::from(address.as_str())).collect();
        let values = [
            Value::from(1),
            Value::from(self.name.as_str()),
            Value::from(self.federation.as_str()),
            Value::Bytes(self.key.as_bytes().to_vec()),
            Value::Bytes(self.seal.to_vec()),
            Value::Array(addresses),
            Value::from(self.expires.0),
        ];
        Value::Map((1..).map(Value::from).zip(values).collect())
    }

    fn from_payload(payload: &[u8]) -> Result<Self, InvitationError> {
        const FORM: InvitationError = InvitationError::Damaged("its content is not of the form");
        let value: Value =
            ciborium::de::from_reader_with_recursion_limit(payload, CBOR_DEPTH_MAX).map_err(|_| FORM)?;
        let map = value.into_map().map_err(|_| FORM)?;
        let field = |number: u64| {
            let found = map.iter().find(|(key, _)| *key == Value::from(number));
            found.map(|(_, value)| value).ok_or(FORM)
        };
        let version = field(1)?.as_integer().and_then(|number| u64::try_from(number).ok()).ok_or(FORM)?;
        if version != 1 {
            return Err(InvitationError::Version(version));
        }
        let text = |number| field(number)?.as_text().ok_or(FORM);
        let bytes = |number| -> Result<[u8; 32], InvitationError> {
            field(number)?.as_bytes().and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or(FORM)
        };
        let key = VerifyingKey::from_bytes(&bytes(4)?).map_err(|_| FORM)?;
        if key.is_weak() {
            return Err(InvitationError::Damaged("its key is weak"));
        }
        let listed = field(6)?.as_array().filter(|listed| listed.len() <= ADDRESSES_MAX).ok_or(FORM)?;
        let address = |value: &Value| {
            let fits = value.as_text().filter(|address| address.len() <= INVITATION_ADDRESS_BYTES_MAX);
            fits.map(str::to_owned).ok_or(FORM)
        };
        let expires = field(7)?.as_integer().and_then(|number| u64::try_from(number).ok()).ok_or(FORM)?;
        let invitation = Self {
            name: PublisherName::parse(text(2)?).map_err(|_| FORM)?,
            federation: ProjectName::parse(text(3)?).map_err(|_| FORM)?,
            key,
            seal: bytes(5)?,
            addresses: listed.iter().map(address).collect::<Result<_, _>>()?,
            expires: Timestamp(expires),
        };
        // One encoding for one content, so signed bytes can't be read in two ways.
        if invitation.payload().to_vec().map_err(|_| FORM)? != payload {
            return Err(FORM);
        }
        Ok(invitation)
    }

    /// The words that both sides read to each other.
    pub fn words(&self) -> FingerprintWords {
        words(&self.key)
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.words())
    }
}

/// How many words a fingerprint has, of 11 bits each.
const WORDS: usize = 10;

/// A key as ten words, to be compared over the phone: 110 bits of SHA-256 of its 32 bytes, in words of BIP-39's
/// English list, which differ in their first four letters. A key with the words of one of 1,000 given keys takes
/// 2^100 tries, also if they are prepared long before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerprintWords([&'static str; WORDS]);

impl FingerprintWords {
    /// The words behind `label` as people read them to each other: two lines of five, one under the other.
    pub fn behind(&self, label: &str) -> [String; 2] {
        let (first, second) = self.0.split_at(WORDS / 2);
        let indent = label.chars().count();
        [format!("{label}{}", first.join(" ")), format!("{:indent$}{}", "", second.join(" "))]
    }
}

/// All of them in one line.
impl fmt::Display for FingerprintWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// The fingerprint of `key`.
pub(crate) fn words(key: &VerifyingKey) -> FingerprintWords {
    let digest = Sha256::digest(key.as_bytes());
    let mut first = [0u8; 16];
    first.copy_from_slice(&digest[..16]);
    let bits = u128::from_be_bytes(first);
    let list = bip0039::English::words();
    FingerprintWords(std::array::from_fn(|nth| list[(bits >> (128 - 11 * (nth + 1)) & 0x7ff) as usize]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

    pub fn key(seed: u8) -> SigningKey {
        crate::fixture::key(seed)
    }

    pub fn invitation(addresses: usize) -> Invitation {
        Invitation {
            name: PublisherName::parse("cert-at").unwrap(),
            federation: ProjectName::parse("intelmesh").unwrap(),
            key: key(7).verifying_key(),
            seal: [9; 32],
            addresses: (0..addresses)
                .map(|n| format!("/dns4/{}{n:02}.example.org/tcp/4801", "m".repeat(220)))
                .collect(),
            expires: NOW.plus_ms(INVITATION_VALID_MS),
        }
    }

    #[test]
    fn an_invitation_reads_back_in_either_case_and_with_the_most_addresses() {
        for addresses in [0, 1, ADDRESSES_MAX] {
            let given = invitation(addresses);
            let text = given.make(&key(7)).unwrap();
            assert!(text.starts_with("intelmesh1"));
            assert_eq!(Invitation::parse(&format!(" {text}\n"), NOW).unwrap(), given);
            assert_eq!(Invitation::parse(&text.to_uppercase(), NOW).unwrap(), given);
        }
    }

    #[test]
    fn a_change_of_any_character_is_found() {
        let text = invitation(1).make(&key(7)).unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'q' { b'p' } else { b'q' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Invitation::parse(&changed, NOW).is_err(), "{at}");
            assert!(Invitation::parse(&text[..at], NOW).is_err(), "{at}");
        }
    }

    #[test]
    fn what_another_key_signed_has_run_out_or_is_something_else_is_named() {
        let given = invitation(1);
        let text = given.make(&key(7)).unwrap();
        let late = Invitation::parse(&text, given.expires).unwrap_err();
        assert_eq!(late, InvitationError::Expired(given.expires));
        assert_eq!(Invitation::parse("hello", NOW).unwrap_err(), InvitationError::NotOne);
        assert_eq!(given.make(&key(8)).unwrap_err(), InvitationError::Signature);
        let forged = CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(iana::Algorithm::Ed25519).build())
            .payload(given.payload().to_vec().unwrap())
            .create_signature(INVITATION_CONTEXT, |bytes| key(8).sign(bytes).to_bytes().to_vec())
            .build();
        let hrp = Hrp::parse(HUMAN_READABLE).unwrap();
        let text = bech32::encode_lower::<LongBech32m>(hrp, &forged.to_tagged_vec().unwrap()).unwrap();
        assert_eq!(Invitation::parse(&text, NOW).unwrap_err(), InvitationError::Signature);
    }

    #[test]
    fn random_text_is_never_an_invitation_and_never_a_panic() {
        for length in 0..200usize {
            let tail: String = (0..length).map(|n| char::from(b'a' + (n * length % 26) as u8)).collect();
            assert!(Invitation::parse(&format!("intelmesh1{tail}"), NOW).is_err());
        }
        assert!(Invitation::parse("intelmesh\u{1F600}", NOW).is_err());
    }

    /// PROTOCOL.md §7 has these: other programs must show the same words for one key.
    #[test]
    fn words_are_ten_and_the_same_for_the_same_key() {
        let all = words(&key(7).verifying_key());
        assert_eq!(all.to_string(), "write annual again trap regular infant ramp replace onion box");
        assert_eq!(
            all.behind("words: "),
            ["words: write annual again trap regular", "       infant ramp replace onion box"]
        );
        assert_ne!(all, words(&key(8).verifying_key()));
    }

    /// Five words were 55 bits: a state makes a key with the words of a victim's.
    #[test]
    fn words_show_110_bits_of_the_hash() {
        let list = bip0039::English::words();
        let shown = words(&key(7).verifying_key());
        let index = |word: &str| list.iter().position(|known| *known == word).unwrap();
        let bits: String = shown.0.iter().map(|word| format!("{:011b}", index(word))).collect();
        let digest = Sha256::digest(key(7).verifying_key().as_bytes());
        let expected: String = digest.iter().map(|byte| format!("{byte:08b}")).collect();
        assert_eq!(bits, expected[..110]);
    }
}
