//! `keys/`: the only place with private keys. PKCS#8 (version 1, which OpenSSL reads) in PEM, 0600, refused if others
//! could read them. Does not decide which keys to trust, and never prints or serialises a secret.

mod operational;
mod passphrase;
mod pem;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use rand::Rng as _;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::envelope::content::BodyIdSecret;
use crate::envelope::statement::StatementError;
use crate::envelope::{SealKey, SealOpener, SignedStatement, Signer};
use crate::files;
use crate::identity::{NodeNames, PublisherName};
use crate::limits::KEY_FILE_BYTES_MAX;
use operational::Operational;
use pem::{ED25519, X25519, read_pem, write_pem};

pub(crate) use operational::{Rotation, STATEMENT_FILE};

/// The node's key: it signs, and proves who we are to peers.
pub(crate) const NODE_KEY_FILE: &str = "node.pem";
/// The file of the key to which others seal bodies for us.
pub(crate) const SEAL_KEY_FILE: &str = "seal.pem";
/// Makes the ids of `ids = "body"`.
pub(crate) const BODY_ID_FILE: &str = "body-id.secret";

/// The faults of keys. The operator has to fix them all; nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum KeyringError {
    #[error("{}: {error}", .file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("{}: no such file", .0.display())]
    Missing(PathBuf),
    #[error("{}: others may read or write it (mode {mode:04o})", .file.display())]
    Loose { file: PathBuf, mode: u32 },
    #[error("{}: not {wanted}", .file.display())]
    Form { file: PathBuf, wanted: &'static str },
    #[error("{}: a key is there already", .0.display())]
    Exists(PathBuf),
    #[error("{}: {error}", .file.display())]
    Statement { file: PathBuf, error: StatementError },
    #[error("{}: this node's key is revoked", .0.display())]
    Revoked(PathBuf),
    #[error("{}: this node has said more of its keys since (statement {serial}): they are not the ones in use", .file.display())]
    Older { file: PathBuf, serial: u64 },
    #[error("{}: it has a passphrase, and {}", .file.display(), .why)]
    Passphrase { file: PathBuf, why: &'static str },
    #[error("{}: it has a passphrase, and the file that holds it is not there: {}", .key.display(), .file.display())]
    NoPassphraseFile { key: PathBuf, file: PathBuf },
}

impl KeyringError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Loose { file, .. } => Some(format!("chmod 600 {}", file.display())),
            Self::Missing(file) if file.ends_with(NODE_KEY_FILE) => {
                Some("put it back from your backup: it is what peers know this node by".into())
            }
            Self::Missing(file) if file.ends_with(SEAL_KEY_FILE) => Some(
                "put it back from your backup: without it nothing that was sealed for this node opens".into(),
            ),
            Self::Form { .. } | Self::Statement { .. } | Self::Missing(_) => {
                Some("put it back from your backup".into())
            }
            Self::Revoked(_) => Some("make a new node, and pair anew: intelmesh init".into()),
            Self::Older { .. } => Some(
                "put keys/ back whole from your newest backup, or make new keys: intelmesh key rotate".into(),
            ),
            Self::Passphrase { .. } | Self::NoPassphraseFile { .. } => Some(passphrase::HINT.into()),
            Self::Io { error, .. } => crate::files::hint_of(error).map(str::to_owned),
            Self::Exists(_) => None,
        }
    }
}

/// The node's keys, in memory. Wiped when dropped.
pub(crate) struct Keyring {
    node: SigningKey,
    seal: StaticSecret,
    body_id: Zeroizing<[u8; 32]>,
    operational: Operational,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", crate::identity::public_key_text(&self.public_key()))
    }
}

impl Keyring {
    /// Makes new keys in `keys_dir` (0700), for `init`.
    ///
    /// # Errors
    /// [`KeyringError::Exists`] if there is one: nothing is ever overwritten. [`KeyringError::Io`].
    pub(crate) fn create(keys_dir: &Path) -> Result<Self, KeyringError> {
        for name in [NODE_KEY_FILE, SEAL_KEY_FILE] {
            let file = keys_dir.join(name);
            if file.exists() {
                return Err(KeyringError::Exists(file));
            }
        }
        private_dir(keys_dir).map_err(|error| KeyringError::Io { file: keys_dir.to_owned(), error })?;
        let node = SigningKey::from_bytes(&random());
        let seal = StaticSecret::from(*random());
        write_pem(&keys_dir.join(SEAL_KEY_FILE), X25519, seal.as_bytes(), None)?;
        let body_id = body_id_secret(keys_dir)?;
        write_pem(&keys_dir.join(NODE_KEY_FILE), ED25519, node.as_bytes(), None)?;
        let operational = Operational::default();
        Ok(Self { node, seal, body_id, operational })
    }

    /// Reads the keys of `keys_dir`. A missing secret for body ids is made: an older node had none.
    ///
    /// # Errors
    /// [`KeyringError`], with the file and the remedy.
    pub(crate) fn load(keys_dir: &Path) -> Result<Self, KeyringError> {
        let node = SigningKey::from_bytes(&*read_pem(&keys_dir.join(NODE_KEY_FILE), ED25519)?);
        let seal = read_pem(&keys_dir.join(SEAL_KEY_FILE), X25519)?;
        let seal = StaticSecret::from(*seal);
        let body_id = body_id_secret(keys_dir)?;
        let operational = Operational::load(keys_dir, &node)?;
        Ok(Self { node, seal, body_id, operational })
    }

    /// Makes new keys for signing and sealing, and says so with the identity key, and what becomes of those before.
    ///
    /// # Errors
    /// [`KeyringError`]; nothing acts before the statement is written.
    pub(crate) fn rotate(
        &self,
        keys_dir: &Path,
        publisher: &PublisherName,
        rotation: Rotation<'_>,
    ) -> Result<SignedStatement, KeyringError> {
        let first_seal = PublicKey::from(&self.seal).to_bytes();
        operational::rotate(keys_dir, &self.node, first_seal, publisher, rotation)
    }

    /// The last statement about this node's keys, for the safe.
    ///
    /// # Errors
    /// [`KeyringError::Statement`].
    pub(crate) fn revocation(&self, publisher: &PublisherName) -> Result<SignedStatement, KeyringError> {
        operational::revocation(&self.node, publisher)
    }

    /// Puts a statement into `keys_dir` as this node's own.
    ///
    /// # Errors
    /// [`KeyringError::Io`].
    pub(crate) fn put_statement(keys_dir: &Path, statement: &SignedStatement) -> Result<(), KeyringError> {
        replace(&keys_dir.join(STATEMENT_FILE), statement.bytes())
    }

    /// # Errors
    /// [`KeyringError::Revoked`]: no peer takes anything from this node any more.
    pub(crate) fn check_not_revoked(&self, keys_dir: &Path) -> Result<(), KeyringError> {
        match self.statement().is_some_and(|known| known.statement().revoked) {
            true => Err(KeyringError::Revoked(keys_dir.join(STATEMENT_FILE))),
            false => Ok(()),
        }
    }

    /// Refuses keys that were put back from an older backup: no peer would accept their signatures. `known` is the last
    /// known statement of this node.
    ///
    /// # Errors
    /// [`KeyringError::Older`], [`KeyringError::Revoked`].
    pub(crate) fn check_newest(
        &self,
        keys_dir: &Path,
        known: Option<&SignedStatement>,
    ) -> Result<(), KeyringError> {
        let Some(known) = known.filter(|known| known.replaces(self.statement())) else { return Ok(()) };
        let (file, stated) = (keys_dir.join(STATEMENT_FILE), known.statement());
        match stated.revoked {
            true => Err(KeyringError::Revoked(file)),
            false => Err(KeyringError::Older { file, serial: stated.serial }),
        }
    }

    /// Returns this node's last statement of its keys; `None` if the identity key serves all uses.
    pub(crate) fn statement(&self) -> Option<&SignedStatement> {
        self.operational.statement.as_ref()
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.node
    }

    pub(crate) fn public_key(&self) -> VerifyingKey {
        self.node.verifying_key()
    }

    /// Returns the key that signs envelopes: the identity key, until a rotation makes another.
    pub(crate) fn signing_key_in_use(&self) -> &SigningKey {
        self.operational.sign.as_ref().unwrap_or(&self.node)
    }

    /// Returns the signer of envelopes.
    pub(crate) fn signer(&self) -> Signer {
        Signer::new(self.signing_key_in_use().clone())
    }

    /// Returns the key that peers seal to now.
    pub(crate) fn seal_key(&self) -> SealKey {
        SealKey::of(self.operational.seals.first().unwrap_or(&self.seal))
    }

    /// Returns the opener of bodies sealed for this node, which has `names`. It has the key in use and older ones.
    pub(crate) fn opener(&self, names: impl Into<NodeNames>) -> SealOpener {
        SealOpener::new(names, self.opens_with().cloned())
    }

    pub(crate) fn seal_public(&self) -> [u8; 32] {
        *self.seal_key().as_bytes()
    }

    /// Returns all keys that may open bodies sealed for this node, the one in use first.
    pub(crate) fn opens_with(&self) -> impl Iterator<Item = &StaticSecret> {
        let Operational { seals, older_seals, .. } = &self.operational;
        seals.iter().chain(std::iter::once(&self.seal)).chain(older_seals)
    }

    /// `x25519:…`, the form of peer files and invitations.
    pub(crate) fn seal_public_text(&self) -> String {
        seal_key_text(&self.seal_public())
    }

    /// The secret of ids that are made from bodies (decisions/0007).
    pub(crate) fn body_id_secret(&self) -> BodyIdSecret {
        BodyIdSecret::new(*self.body_id)
    }
}

/// `x25519:` and base64url without padding.
pub(crate) fn seal_key_text(key: &[u8; 32]) -> String {
    format!("x25519:{}", data_encoding::BASE64URL_NOPAD.encode(key))
}

/// Makes a directory with mode 0700. Its parents stay open, so that a `socket_group` can reach `run/`.
fn private_dir(dir: &Path) -> io::Result<()> {
    files::make_dir(files::dir_of(dir), 0o777)?;
    files::make_dir(dir, 0o700)
}

fn random() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(bytes.as_mut_slice());
    bytes
}

fn body_id_secret(keys_dir: &Path) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let file = keys_dir.join(BODY_ID_FILE);
    match read_private(&file) {
        Ok(bytes) => {
            let fits: Result<[u8; 32], _> = bytes.as_slice().try_into();
            fits.map(Zeroizing::new).map_err(|_| KeyringError::Form { file, wanted: "32 bytes" })
        }
        Err(KeyringError::Missing(_)) => {
            let secret = random();
            write_private(&file, secret.as_slice())?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

/// Reads a key file, or the credential that stands for it.
fn read_private(file: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    match passphrase::credential_of(file) {
        Some(credential) => read_closed(&credential),
        None => read_closed(file),
    }
}

/// Reads a file, but refuses it if anyone but its owner may read or write it. The mode is that of the opened file, not
/// of a name.
fn read_closed(file: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::Missing(file.to_owned()),
        _ => KeyringError::Io { file: file.to_owned(), error },
    };
    let opened = File::open(file).map_err(failed)?;
    let mode = opened.metadata().map_err(failed)?.mode() & 0o7777;
    // Of a credential the bits of the group are the mask of systemd's access list, and those of others never set.
    let closed_to = if passphrase::is_credential(file) { 0o007 } else { 0o077 };
    if mode & closed_to != 0 {
        return Err(KeyringError::Loose { file: file.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    opened.take(KEY_FILE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads a file that anybody may read.
fn read_bounded(file: &Path, bytes_max: usize) -> Result<Vec<u8>, KeyringError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::Missing(file.to_owned()),
        _ => KeyringError::Io { file: file.to_owned(), error },
    };
    let mut bytes = Vec::new();
    File::open(file).map_err(failed)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, over one that is there. 0600 from its first moment.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    files::replace(file, bytes, 0o600).map_err(|error| KeyringError::Io { file: file.to_owned(), error })
}

/// Writes a new file whole; never over another. 0600 from its first moment.
fn write_private(file: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    files::create_new(file, bytes, 0o600).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyringError::Exists(file.to_owned()),
        _ => KeyringError::Io { file: file.to_owned(), error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    #[test]
    fn keys_read_back_as_they_were_made_and_are_nobodys_business() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let made = Keyring::create(&keys).unwrap();
        let read = Keyring::load(&keys).unwrap();
        assert_eq!(made.public_key(), read.public_key());
        assert_eq!(made.seal_public(), read.seal_public());
        assert_eq!(made.body_id_secret().uuid_of(b"{}"), read.body_id_secret().uuid_of(b"{}"));
        for name in [NODE_KEY_FILE, SEAL_KEY_FILE, BODY_ID_FILE] {
            assert_eq!(std::fs::metadata(keys.join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
        }
        assert_eq!(std::fs::metadata(&keys).unwrap().mode() & 0o777, 0o700);
        assert!(!format!("{read:?}").contains("SigningKey"));
    }

    #[test]
    fn keys_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let made = Keyring::create(dir.path()).unwrap();
        assert!(matches!(Keyring::create(dir.path()), Err(KeyringError::Exists(_))));
        assert_eq!(Keyring::load(dir.path()).unwrap().public_key(), made.public_key());
    }

    #[test]
    fn loose_permissions_are_refused_with_the_command_that_mends_them() {
        for (name, mode) in [(NODE_KEY_FILE, 0o640), (SEAL_KEY_FILE, 0o604), (BODY_ID_FILE, 0o620)] {
            let dir = tempfile::tempdir().unwrap();
            Keyring::create(dir.path()).unwrap();
            let file = dir.path().join(name);
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let error = Keyring::load(dir.path()).unwrap_err();
            assert!(matches!(error, KeyringError::Loose { .. }), "{name}");
            assert_eq!(error.hint().unwrap(), format!("chmod 600 {}", file.display()));
        }
    }

    #[test]
    fn what_is_no_key_or_another_kind_of_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Keyring::create(dir.path()).unwrap();
        let node = dir.path().join(NODE_KEY_FILE);
        std::fs::copy(dir.path().join(SEAL_KEY_FILE), &node).unwrap();
        assert!(Keyring::load(dir.path()).unwrap_err().to_string().contains("not an Ed25519 private key"));
        std::fs::write(&node, "nonsense").unwrap();
        assert!(matches!(Keyring::load(dir.path()), Err(KeyringError::Form { .. })));
        std::fs::remove_file(&node).unwrap();
        assert!(matches!(Keyring::load(dir.path()), Err(KeyringError::Missing(_))));
    }

    #[test]
    fn openssl_reads_both_keys_and_agrees_on_the_public_halves() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(dir.path()).unwrap();
        let public = [keyring.public_key().to_bytes(), keyring.seal_public()];
        for (name, public) in [NODE_KEY_FILE, SEAL_KEY_FILE].into_iter().zip(public) {
            let file = dir.path().join(name);
            let run = Command::new("openssl")
                .args(["pkey", "-pubout", "-outform", "DER", "-in"])
                .arg(&file)
                .output();
            let Ok(output) = run else {
                eprintln!("no openssl here: not compared");
                return;
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.ends_with(&public), "{name}");
        }
    }
}
