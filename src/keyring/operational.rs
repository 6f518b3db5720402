//! The keys that the identity key names: `sign-HEX.pem`, `seal-HEX.pem`, and the statement that says so
//! (decisions/0015). The identity key stays what it is; nothing here changes it.

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

/// This node's last statement of its keys: a COSE_Sign1, public.
pub(crate) const STATEMENT_FILE: &str = "statement.cose";

/// A key that goes out of use is good for this much longer, in ms: for signatures made while the keys change, and for
/// clocks that differ a little.
pub(crate) const ROTATION_OVERLAP_MS: u64 = 10 * 60 * 1_000;

/// The keys in use beside the identity key. Wiped when dropped.
#[derive(Default)]
pub(super) struct Operational {
    pub statement: Option<SignedStatement>,
    /// `None`: the identity key signs.
    pub sign: Option<SigningKey>,
    /// In use first, then older ones: bodies sealed for them are still on their way.
    pub seals: Vec<StaticSecret>,
    /// Those that no statement names any more, or that a revocation silenced: they open bodies sealed before.
    pub older_seals: Vec<StaticSecret>,
}

impl Operational {
    /// # Errors
    /// [`KeyringError`]: a statement that this identity key did not sign, or a key that it names and no file has.
    pub(crate) fn load(keys_dir: &Path, identity: &SigningKey) -> Result<Self, KeyringError> {
        let file = keys_dir.join(STATEMENT_FILE);
        let bytes = match read_bounded(&file, KEY_STATEMENT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(KeyringError::Missing(_)) => {
                return Ok(Self { older_seals: unnamed_seals(keys_dir, &[]), ..Self::default() });
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
        let older_seals = unnamed_seals(keys_dir, &signed.statement().keys);
        Ok(Self { statement: Some(signed), sign, seals, older_seals })
    }
}

/// The sealing keys that lie there and that `named` does not name. One that cannot be read opens nothing.
fn unnamed_seals(keys_dir: &Path, named: &[StatedKey]) -> Vec<StaticSecret> {
    let files = std::fs::read_dir(keys_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_seal = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("seal-") && name.ends_with(".pem")
    };
    let named: Vec<_> = named.iter().filter(|stated| stated.usage == KeyUse::Seal).collect();
    // Those are read already, and a passphrase makes each reading expensive.
    let is_named = |file: &PathBuf| {
        named
            .iter()
            .any(|stated| file_of(keys_dir, KeyUse::Seal, &stated.key).file_name() == file.file_name())
    };
    let mut files: Vec<_> = files.filter(is_seal).filter(|file| !is_named(file)).collect();
    files.sort();
    let secrets = files.iter().filter_map(|file| read_pem(file, X25519).ok());
    secrets.map(|secret| StaticSecret::from(*secret)).collect()
}

fn public_of(usage: KeyUse, secret: &[u8; 32]) -> [u8; 32] {
    match usage {
        KeyUse::Sign => SigningKey::from_bytes(secret).verifying_key().to_bytes(),
        _ => PublicKey::from(&StaticSecret::from(*secret)).to_bytes(),
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

/// A change of keys, and what becomes of those that go out of use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation<'a> {
    pub now: Timestamp,
    /// Somebody else may have them: nothing that they signed and a peer does not hold yet is taken unasked.
    pub compromised: bool,
    /// This node's last known statement, if `keys/` may be older: those keys are named and retired, too.
    pub known: Option<&'a SignedStatement>,
}

/// Makes a new signing and a new sealing key, and the statement that names them and retires those before.
///
/// # Errors
/// [`KeyringError`]; the statement is the last that is written, so that nothing has changed before.
pub(super) fn rotate(
    keys_dir: &Path,
    identity: &SigningKey,
    first_seal: [u8; 32],
    publisher: &PublisherName,
    rotation: Rotation<'_>,
) -> Result<SignedStatement, KeyringError> {
    let now = rotation.now;
    let here = Operational::load(keys_dir, identity)?.statement;
    let newer = rotation.known.filter(|known| known.replaces(here.as_ref()));
    let known = newer.or(here.as_ref()).map(SignedStatement::statement);
    let statement_file = keys_dir.join(STATEMENT_FILE);
    if known.is_some_and(|known| known.revoked) {
        return Err(KeyringError::Revoked(statement_file));
    }
    let serial = known.map_or(now.0, |known| now.0.max(known.serial.saturating_add(1)));
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
        // A clock that went back must not keep anybody from new keys.
        key.not_after = Some(end.max(key.not_before));
        // Bodies sealed to it are opened as before: that somebody else can open them, too, cannot be undone.
        key.compromised = rotation.compromised && key.usage == KeyUse::Sign;
    }
    make_room(&mut keys);
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

/// Removes retired keys only when there is no room, however short our own retention: others may keep events of theirs
/// for longer. Sealing keys go first: peers seal to the one in use alone, and the files in `keys/` open older bodies.
/// Among signing keys the oldest goes, compromised or not: a key that is no longer named is good for nothing.
fn make_room(keys: &mut Vec<StatedKey>) {
    while keys.len() + 2 > STATED_KEYS_MAX {
        let oldest = |usage| keys.iter().position(|key| key.usage == usage && key.not_after.is_some());
        let Some(at) = oldest(KeyUse::Seal).or_else(|| oldest(KeyUse::Sign)) else { return };
        keys.remove(at);
    }
}

/// Signs the statement that revokes the identity key, for the safe. Its holder can end this node's life with its peers,
/// and nothing else.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::StatementBook;
    use crate::identity::KeyId;
    use crate::keyring::Keyring;
    use crate::policy::{KeyFault, TrustList};

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    const START: Timestamp = Timestamp(1_800_000_000_000);

    fn name() -> PublisherName {
        PublisherName::parse("cert-at").unwrap()
    }

    fn rotated(keys: &Path, day: u64, compromised: bool, known: Option<&SignedStatement>) -> SignedStatement {
        let rotation = Rotation { now: START.plus_ms(day * DAY_MS), compromised, known };
        Keyring::load(keys).unwrap().rotate(keys, &name(), rotation).unwrap()
    }

    fn signs(statement: &SignedStatement) -> KeyId {
        let stated = statement.statement().current(KeyUse::Sign).unwrap();
        KeyId::of(&stated.verifying_key().unwrap())
    }

    /// The statement of its keys, as everybody who received `last` has it.
    fn heard(keys: &Path, last: &SignedStatement) -> TrustList {
        let mut book = StatementBook::default();
        book.take(last.clone());
        let identity = Keyring::load(keys).unwrap().public_key();
        TrustList::new(name(), identity, []).with_statements(&book)
    }

    #[test]
    fn an_event_of_a_year_ago_verifies_after_rotations() {
        let dir = tempfile::tempdir().unwrap();
        Keyring::create(dir.path()).unwrap();
        let first = signs(&rotated(dir.path(), 0, false, None));
        let signed = START.plus_ms(DAY_MS);
        let mut last = rotated(dir.path(), 7, false, None);
        for month in 1..=13 {
            last = rotated(dir.path(), month * 30, false, None);
        }
        let trust = heard(dir.path(), &last);
        assert!(trust.keys_of(&name(), first, signed).is_ok());
        let later = trust.keys_of(&name(), first, START.plus_ms(8 * DAY_MS));
        assert_eq!(later, Err(KeyFault::OutOfTime), "only what was signed while it was in use");
    }

    #[test]
    fn a_key_that_there_is_no_room_for_any_more_is_good_for_nothing_also_if_it_was_compromised() {
        let dir = tempfile::tempdir().unwrap();
        let identity = KeyId::of(&Keyring::create(dir.path()).unwrap().public_key());
        let first = signs(&rotated(dir.path(), 0, true, None));
        let mut last = rotated(dir.path(), 1, true, None);
        for day in 2..60 {
            last = rotated(dir.path(), day, false, None);
        }
        assert_eq!(last.statement().keys.len(), STATED_KEYS_MAX);
        let sealing = last.statement().keys.iter().filter(|key| key.usage == KeyUse::Seal).count();
        assert_eq!(sealing, 1, "sealing keys go first: the files in keys/ open what was sealed to them");
        let trust = heard(dir.path(), &last);
        for gone in [identity, first] {
            let standing = trust.keys_of(&name(), gone, START);
            assert!(matches!(standing, Err(KeyFault::OutOfTime | KeyFault::OtherKey)), "{standing:?}");
        }
        assert_eq!(Keyring::load(dir.path()).unwrap().opens_with().count(), 61);
    }

    #[test]
    fn what_was_sealed_to_a_rotated_key_opens_after_our_own_revocation() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keyring::create(dir.path()).unwrap().seal_public();
        rotated(dir.path(), 0, false, None);
        let keyring = Keyring::load(dir.path()).unwrap();
        let sealed_to = keyring.seal_public();
        assert_ne!(sealed_to, first);
        Keyring::put_statement(dir.path(), &keyring.revocation(&name()).unwrap()).unwrap();
        let after = Keyring::load(dir.path()).unwrap();
        let opens: Vec<_> = after.opens_with().map(|secret| PublicKey::from(secret).to_bytes()).collect();
        assert!(opens.contains(&first) && opens.contains(&sealed_to));
    }

    #[test]
    fn older_keys_are_no_longer_in_use_and_a_rotation_goes_on_from_what_was_said_last() {
        let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Keyring::create(dir.path()).unwrap();
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap().path();
            std::fs::copy(&file, backup.path().join(file.file_name().unwrap())).unwrap();
        }
        let last = rotated(dir.path(), 5, false, None);
        assert!(Keyring::load(dir.path()).unwrap().check_newest(dir.path(), Some(&last)).is_ok());
        let older = Keyring::load(backup.path()).unwrap();
        let refused = older.check_newest(backup.path(), Some(&last)).unwrap_err();
        assert!(matches!(refused, KeyringError::Older { serial, .. } if serial == last.statement().serial));
        assert!(refused.hint().unwrap().contains("intelmesh key rotate"));

        // Also by a clock that went back.
        let next = rotated(backup.path(), 2, false, Some(&last));
        assert!(next.replaces(Some(&last)));
        let lost = last.statement().current(KeyUse::Sign).unwrap().key;
        assert!(
            next.statement().keys.iter().any(|key| key.key == lost),
            "what was lost is named, and retired"
        );
        assert!(Keyring::load(backup.path()).unwrap().check_newest(backup.path(), Some(&last)).is_ok());
        let gone = older.revocation(&name()).unwrap();
        assert!(matches!(older.check_newest(backup.path(), Some(&gone)), Err(KeyringError::Revoked(_))));
    }
}
