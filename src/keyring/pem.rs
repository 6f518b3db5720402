//! Private keys as PKCS#8 in PEM, with a passphrase (PBES2) or without. OpenSSL reads and writes this form.

use std::path::Path;

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef,
    SecretDocument,
};
use zeroize::Zeroizing;

use super::{KeyringError, passphrase, random, read_private, write_private};

/// RFC 8410.
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const LABEL: &str = "PRIVATE KEY";
const LABEL_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Rounds of PBKDF2 in what is written here: fifty times those of `openssl pkcs8 -topk8`, and a dozen keys are
/// still read in a second.
const PASSPHRASE_ROUNDS: u32 = 100_000;
const SALT_BYTES: usize = 16;

/// RFC 8410: the private key is an octet string inside the octet string of PKCS#8. Never over another file.
pub(super) fn write_pem(
    file: &Path,
    algorithm: ObjectIdentifier,
    secret: &[u8; 32],
    passphrase: Option<&[u8]>,
) -> Result<(), KeyringError> {
    let encode = || -> pkcs8::Result<Zeroizing<String>> {
        let inner = Zeroizing::new(OctetStringRef::new(secret)?.to_der()?);
        let algorithm = AlgorithmIdentifierRef { oid: algorithm, parameters: None };
        let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&inner)?);
        let pem = match passphrase {
            None => SecretDocument::encode_msg(&info)?.to_pem(LABEL, LineEnding::LF)?,
            Some(passphrase) => info
                .encrypt_with_params(derivation()?, passphrase)?
                .to_pem(LABEL_ENCRYPTED, LineEnding::LF)?,
        };
        Ok(pem)
    };
    let pem = encode().map_err(|_| KeyringError::Form { file: file.to_owned(), wanted: "a key" })?;
    write_private(file, pem.as_bytes())
}

/// PBKDF2 with HMAC-SHA-256 and AES-256-CBC, as OpenSSL does by default; salt and IV are fresh.
fn derivation() -> pkcs8::Result<Parameters> {
    let (salt, mut iv) = (random(), [0; 16]);
    iv.copy_from_slice(&random()[..16]);
    Ok(Parameters::generate_pbkdf2_sha256_aes256cbc(PASSPHRASE_ROUNDS, &salt[..SALT_BYTES], iv)?)
}

pub(super) fn read_pem(
    file: &Path,
    algorithm: ObjectIdentifier,
) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let bytes = read_private(file)?;
    let document = opened(file, &bytes)?;
    let secret = || -> Option<Zeroizing<[u8; 32]>> {
        let document = document.as_ref()?;
        let info = PrivateKeyInfoRef::from_der(document.as_bytes()).ok()?;
        if info.algorithm.oid != algorithm {
            return None;
        }
        let inner = <&OctetStringRef>::from_der(info.private_key.as_bytes()).ok()?;
        inner.as_bytes().try_into().ok().map(Zeroizing::new)
    };
    let wanted = if algorithm == ED25519 {
        "an Ed25519 private key in PKCS#8 PEM"
    } else {
        "an X25519 private key in PKCS#8 PEM"
    };
    secret().ok_or_else(|| KeyringError::Form { file: file.to_owned(), wanted })
}

/// Returns the passphrase of the key in `file`; `None` if it has none.
///
/// # Errors
/// [`KeyringError`]: the file cannot be read, or its passphrase is not available.
pub(super) fn passphrase_of(file: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
    match parsed(&read_private(file)?) {
        Some((LABEL_ENCRYPTED, _)) => passphrase::read(file).map(Some),
        _ => Ok(None),
    }
}

fn parsed(pem: &[u8]) -> Option<(&str, SecretDocument)> {
    std::str::from_utf8(pem).ok().and_then(|text| SecretDocument::from_pem(text).ok())
}

/// Returns the PKCS#8 in a PEM, decrypted if it has a passphrase; `None` if it is not a PEM of a private key.
fn opened(file: &Path, pem: &[u8]) -> Result<Option<SecretDocument>, KeyringError> {
    let Some((label, document)) = parsed(pem) else { return Ok(None) };
    match label {
        LABEL => Ok(Some(document)),
        LABEL_ENCRYPTED => {
            let passphrase = passphrase::read(file)?;
            let Ok(info) = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()) else { return Ok(None) };
            let wrong = |_| KeyringError::Passphrase {
                file: file.to_owned(),
                why: "the one that is given does not open it",
            };
            info.decrypt(passphrase.as_slice()).map(Some).map_err(wrong)
        }
        _ => Ok(None),
    }
}
