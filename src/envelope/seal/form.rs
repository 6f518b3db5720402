//! A COSE_Encrypt (RFC 9052 §5.1) as bytes, in the one form that PROTOCOL.md §2.6 allows: everybody who carries it
//! checks that, and reads nothing else of it. Nothing is decrypted here.

use crate::cbor::{self, CborReader, MajorType};
use crate::envelope::CodecError;
use crate::identity::KeyId;
use crate::limits::{RECIPIENTS_MAX, SEALED_BYTES_MAX, SEALED_BYTES_MIN};

pub(in crate::envelope) const TAG_ENCRYPT: u64 = 96;

/// `{1: 3}`: A256GCM.
pub(super) const CONTENT_PROTECTED: [u8; 3] = [0xa1, 0x01, 0x03];
/// `{1: -31}`: ECDH-ES + A256KW.
pub(super) const RECIPIENT_PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x1e];

pub(super) const IV_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;
/// A content key of 32 bytes, wrapped (RFC 3394).
pub(super) const WRAPPED_BYTES: usize = 40;
const KEY_BYTES: usize = 32;

/// Labels of headers (RFC 9052 §3.1, RFC 9053 §6.3.1) and of a COSE_Key (RFC 9053 §7.2).
mod label {
    pub(crate) const KID: i64 = 4;
    pub(crate) const IV: i64 = 5;
    pub(crate) const EPHEMERAL_KEY: i64 = -1;
    pub(crate) const KTY: i64 = 1;
    pub(crate) const CRV: i64 = -1;
    pub(crate) const X: i64 = -2;
}
const KTY_OKP: i64 = 1;
const CRV_X25519: i64 = 4;

/// A sealed body taken apart.
pub(in crate::envelope) struct SealedBody<'a> {
    pub iv: &'a [u8; IV_BYTES],
    /// With its tag.
    pub ciphertext: &'a [u8],
    /// At most [`RECIPIENTS_MAX`].
    pub recipients: Vec<SealRecipient<'a>>,
}

/// The content key, wrapped for one recipient.
pub(in crate::envelope) struct SealRecipient<'a> {
    pub key_id: KeyId,
    pub ephemeral: &'a [u8; KEY_BYTES],
    pub wrapped: &'a [u8; WRAPPED_BYTES],
}

fn wrong(why: &'static str) -> CodecError {
    CodecError::SealedForm(why)
}

impl<'a> SealedBody<'a> {
    /// Reads one item, tag included.
    ///
    /// # Errors
    /// [`CodecError`]; nothing is allocated beyond [`RECIPIENTS_MAX`] recipients.
    pub(crate) fn read(item: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = CborReader::of_one_item(item)?;
        if reader.peek()? != MajorType::Tag || reader.tag()? != TAG_ENCRYPT || reader.array() != Ok(4) {
            return Err(wrong("no COSE_Encrypt: tag 96 and an array of four"));
        }
        if reader.bytes() != Ok(&CONTENT_PROTECTED) {
            return Err(wrong("its protected header is not {1: 3}, A256GCM"));
        }
        let header = "its unprotected header is not {5: IV of 12 bytes}";
        if reader.map() != Ok(1) || reader.integer() != Ok(label::IV) {
            return Err(wrong(header));
        }
        let iv = fixed(&mut reader, header)?;
        let ciphertext = reader.bytes().map_err(|_| wrong("its ciphertext is no byte string"))?;
        if !is_padded(ciphertext.len()) {
            return Err(wrong("its ciphertext is not as long as padding makes it"));
        }
        let count = reader.array().map_err(|_| wrong("its recipients are no list"))?;
        if !(1..=RECIPIENTS_MAX as u64).contains(&count) {
            return Err(wrong("its recipients are not 1 to 256"));
        }
        let recipients =
            (0..count).map(|_| SealRecipient::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { iv, ciphertext, recipients })
    }
}

impl<'a> SealRecipient<'a> {
    fn read(reader: &mut CborReader<'a>) -> Result<Self, CodecError> {
        if reader.array() != Ok(3) || reader.bytes() != Ok(&RECIPIENT_PROTECTED) {
            return Err(wrong("a recipient is not [{1: -31}, header, wrapped key]"));
        }
        let header = "a recipient's unprotected header is not {4: kid, -1: key of X25519}";
        if reader.map() != Ok(2) || reader.integer() != Ok(label::KID) {
            return Err(wrong(header));
        }
        let key_id = reader.bytes().ok().and_then(KeyId::parse).ok_or(wrong(header))?;
        let starts = [
            (reader.integer() == Ok(label::EPHEMERAL_KEY), reader.map() == Ok(3)),
            (reader.integer() == Ok(label::KTY), reader.integer() == Ok(KTY_OKP)),
            (reader.integer() == Ok(label::CRV), reader.integer() == Ok(CRV_X25519)),
        ];
        if starts != [(true, true); 3] || reader.integer() != Ok(label::X) {
            return Err(wrong(header));
        }
        let ephemeral = fixed(reader, header)?;
        let wrapped = fixed(reader, "a recipient's wrapped key is not 40 bytes")?;
        Ok(Self { key_id, ephemeral, wrapped })
    }
}

fn fixed<'a, const LEN: usize>(
    reader: &mut CborReader<'a>,
    why: &'static str,
) -> Result<&'a [u8; LEN], CodecError> {
    reader.bytes().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(wrong(why))
}

/// Returns whether padding can lead to a ciphertext of `len` bytes.
fn is_padded(len: usize) -> bool {
    len.checked_sub(TAG_BYTES)
        .is_some_and(|len| len.is_power_of_two() && (SEALED_BYTES_MIN..=SEALED_BYTES_MAX).contains(&len))
}

/// The wrapped key of one recipient, as `wrap` makes it.
pub(in crate::envelope) struct WrappedKey {
    pub key_id: KeyId,
    pub ephemeral: [u8; KEY_BYTES],
    pub wrapped: [u8; WRAPPED_BYTES],
}

/// The tagged COSE_Encrypt of its parts; `ciphertext` ends with its tag.
pub(in crate::envelope) fn encode(
    iv: &[u8; IV_BYTES],
    ciphertext: &[u8],
    recipients: &[WrappedKey],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(ciphertext.len() + 64 + 104 * recipients.len());
    cbor::put_head(&mut out, MajorType::Tag, TAG_ENCRYPT);
    cbor::put_array(&mut out, 4);
    cbor::put_bytes(&mut out, &CONTENT_PROTECTED);
    cbor::put_map(&mut out, 1);
    put_label(&mut out, label::IV);
    cbor::put_bytes(&mut out, iv);
    cbor::put_bytes(&mut out, ciphertext);
    cbor::put_array(&mut out, recipients.len());
    for recipient in recipients {
        cbor::put_array(&mut out, 3);
        cbor::put_bytes(&mut out, &RECIPIENT_PROTECTED);
        cbor::put_map(&mut out, 2);
        put_label(&mut out, label::KID);
        cbor::put_bytes(&mut out, recipient.key_id.as_bytes());
        put_label(&mut out, label::EPHEMERAL_KEY);
        cbor::put_map(&mut out, 3);
        put_label(&mut out, label::KTY);
        put_label(&mut out, KTY_OKP);
        put_label(&mut out, label::CRV);
        put_label(&mut out, CRV_X25519);
        put_label(&mut out, label::X);
        cbor::put_bytes(&mut out, &recipient.ephemeral);
        cbor::put_bytes(&mut out, &recipient.wrapped);
    }
    out
}

/// A small number of either sign.
fn put_label(out: &mut Vec<u8>, number: i64) {
    match number {
        0.. => cbor::put_unsigned(out, number.unsigned_abs()),
        _ => cbor::put_head(out, MajorType::Negative, (-1 - number).unsigned_abs()),
    }
}
