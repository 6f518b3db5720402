//! The keys that the identity key names: `sign-HEX.pem`, `seal-HEX.pem`, and the statement that says so
//! (design §5.6). The identity key stays what it is; nothing here changes it.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};

use super::pem::passphrase_of;
use super::{
    ED25519, KeyringError, NODE_KEY_FILE, X25519, random, read_bounded, read_pem, replace, write_pem,
};
use crate::envelope::{KeyUse, SignedStatement, StatedKey, Statement};
use crate::identity::PublisherName;
use crate::limits::{KEY_STATEMENT_BYTES_MAX, STATED_KEYS_MAX};
use crate::time::Timestamp;

/// What this node last said of its keys: a COSE_Sign1, public.
pub const STATEMENT_FILE: &str = "statement.cose";

/// A key that goes out of use is good for this much longer, in ms: what is being signed while the keys change, and
/// clocks that differ a little.
pub const ROTATION_OVERLAP_MS: u64 = 10 * 60 * 1_000;

/// The keys in use beside the identity key. Wiped when dropped.
pub(super) struct Operational {
    pub statement: Option<SignedStatement>,
    /// `None`: the identity key signs.
    pub sign: Option<SigningKey>,
    /// In use first, then older ones: what was sealed for them is still on its way.
    pub seals: Vec<StaticSecret>,
}

impl Operational {
    /// # Errors
    /// [`KeyringError`]: a statement that this identity key did not sign, or a key that it names and no file has.
    pub fn load(keys_dir: &Path, identity: &SigningKey) -> Result<Self, KeyringError> {
        let file = keys_dir.join(STATEMENT_FILE);
        let bytes = match read_bounded(&file, KEY_STATEMENT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(KeyringError::Missing(_)) => {
                return Ok(Self { statement: None, sign: None, seals: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let signed = SignedStatement::verify(&bytes, &identity.verifying_key())
            .map_err(|error| KeyringError::Statement { file, error })?;
        let sign = match signed.statement().current(KeyUse::Sign) {
            Some(stated) if stated.key != identity.verifying_key().to_bytes() => {
                let secret = find(keys_dir, KeyUse::Sign, stated)?;
                Some(SigningKey::from_bytes(&secret))
            }
            _ => None,
        };
        let mut seals = Vec::new();
        for stated in signed.statement().keys.iter().rev().filter(|stated| stated.usage == KeyUse::Seal) {
            match find(keys_dir, KeyUse::Seal, stated) {
                Ok(secret) => seals.push(StaticSecret::from(*secret)),
                // The one of `init` is in a file of its own; one that is gone opens nothing any more.
                Err(KeyringError::Missing(_)) if stated.not_after.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { statement: Some(signed), sign, seals })
    }
}

fn public_of(usage: KeyUse, secret: &[u8; 32]) -> [u8; 32] {
    match usage {
        KeyUse::Sign => SigningKey::from_bytes(secret).verifying_key().to_bytes(),
        KeyUse::Seal => PublicKey::from(&StaticSecret::from(*secret)).to_bytes(),
    }
}

/// Named by the beginning of its public half, in hex.
fn file_of(keys_dir: &Path, usage: KeyUse, public: &[u8; 32]) -> PathBuf {
    let beginning = data_encoding::HEXLOWER.encode(&public[..8]);
    keys_dir.join(format!("{}-{beginning}.pem", usage.as_str()))
}

/// The private half of a stated key, from the file that has it.
fn find(
    keys_dir: &Path,
    usage: KeyUse,
    stated: &StatedKey,
) -> Result<zeroize::Zeroizing<[u8; 32]>, KeyringError> {
    let file = file_of(keys_dir, usage, &stated.key);
    let algorithm = if usage == KeyUse::Sign { ED25519 } else { X25519 };
    let secret = read_pem(&file, algorithm)?;
    if public_of(usage, &secret) == stated.key {
        Ok(secret)
    } else {
        Err(KeyringError::Form { file, wanted: "the key that statement.cose names" })
    }
}

/// What becomes of the keys that go out of use.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// They are named for so long after that, in ms.
    pub keep_ms: u64,
    /// Somebody else may have them: nothing that they signed and a peer does not hold yet is taken unasked.
    pub compromised: bool,
}

/// Makes a new signing and a new sealing key, and the statement that names them and retires those before. Keys that
/// were retired over `ending.keep_ms` ago are named no more.
///
/// # Errors
/// [`KeyringError`]; the statement is the last that is written, so that nothing has changed before.
pub(super) fn rotate(
    keys_dir: &Path,
    identity: &SigningKey,
    first_seal: [u8; 32],
    publisher: &PublisherName,
    now: Timestamp,
    ending: Ending,
) -> Result<SignedStatement, KeyringError> {
    let known = Operational::load(keys_dir, identity)?.statement;
    let known = known.as_ref().map(SignedStatement::statement);
    let statement_file = keys_dir.join(STATEMENT_FILE);
    if known.is_some_and(|known| known.revoked) {
        return Err(KeyringError::Revoked(statement_file));
    }
    let serial = known.map_or(now.0, |known| now.0.max(known.serial + 1));
    let of_init =
        |usage, key| StatedKey { usage, key, not_before: Timestamp(0), not_after: None, compromised: false };
    let mut keys = known.map_or_else(
        || {
            let sign = identity.verifying_key().to_bytes();
            vec![of_init(KeyUse::Sign, sign), of_init(KeyUse::Seal, first_seal)]
        },
        |known| known.keys.clone(),
    );
    let end = now.plus_ms(ROTATION_OVERLAP_MS);
    for key in keys.iter_mut().filter(|key| key.not_after.is_none()) {
        key.not_after = Some(end);
        // What was sealed to it is opened as before: that somebody else can open it, too, is past mending.
        key.compromised = ending.compromised && key.usage == KeyUse::Sign;
    }
    keys.retain(|key| key.not_after.is_none_or(|end| end.plus_ms(ending.keep_ms) > now));
    if keys.len() + 2 > STATED_KEYS_MAX {
        return Err(KeyringError::TooOften(statement_file));
    }
    let passphrase = passphrase_of(&keys_dir.join(NODE_KEY_FILE))?;
    let passphrase = passphrase.as_ref().map(|text| text.as_slice());
    for (usage, algorithm) in [(KeyUse::Sign, ED25519), (KeyUse::Seal, X25519)] {
        let secret = random();
        let key = public_of(usage, &secret);
        write_pem(&file_of(keys_dir, usage, &key), algorithm, &secret, passphrase)?;
        keys.push(StatedKey { usage, key, not_before: now, not_after: None, compromised: false });
    }
    let statement = Statement { publisher: publisher.clone(), serial, keys, revoked: false };
    let signed = SignedStatement::sign(statement, identity)
        .map_err(|error| KeyringError::Statement { file: statement_file.clone(), error })?;
    replace(&statement_file, signed.bytes())?;
    Ok(signed)
}

/// The statement that revokes the identity key, for the safe. Whoever has it can end this node's life with its
/// peers, and nothing else.
///
/// # Errors
/// [`KeyringError::Statement`].
pub(super) fn revocation(
    identity: &SigningKey,
    publisher: &PublisherName,
) -> Result<SignedStatement, KeyringError> {
    let statement = Statement {
        publisher: publisher.clone(),
        // The last word has the last number.
        serial: u64::MAX,
        keys: Vec::new(),
        revoked: true,
    };
    SignedStatement::sign(statement, identity)
        .map_err(|error| KeyringError::Statement { file: PathBuf::from(STATEMENT_FILE), error })
}
