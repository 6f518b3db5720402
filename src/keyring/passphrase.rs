//! The passphrase of private keys that have one (PKCS#8 with PBES2, as OpenSSL writes it), and the directory that
//! systemd puts credentials into. Never asked for on a terminal: a node starts unattended.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyringError;

/// Names the file that holds the passphrase of the keys.
pub(crate) const PASSPHRASE_FILE_ENV: &str = "INTELMESH_PASSPHRASE_FILE";

/// The credential that systemd may hand over instead (`LoadCredential=` or `LoadCredentialEncrypted=`).
const CREDENTIAL: &str = "intelmesh-passphrase";

pub(super) const HINT: &str = "name the file that holds it with INTELMESH_PASSPHRASE_FILE=FILE; in a systemd unit: LoadCredentialEncrypted=intelmesh-passphrase:…";

/// The credential of a key file's name, which wins over the file in `keys/`.
pub(super) fn credential_of(file: &Path) -> Option<PathBuf> {
    let credential = credentials()?.join(file.file_name()?);
    credential.is_file().then_some(credential)
}

/// systemd guards that directory, with modes of its own.
pub(super) fn is_credential(file: &Path) -> bool {
    credentials().is_some_and(|dir| file.starts_with(dir))
}

/// Returns the passphrase, without the line end behind it.
///
/// # Errors
/// [`KeyringError::Passphrase`] if none is available for `key`.
pub(super) fn read(key: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let none = |why| KeyringError::Passphrase { file: key.to_owned(), why };
    let named = std::env::var_os(PASSPHRASE_FILE_ENV).map(PathBuf::from);
    let file = named.or_else(|| credential_of(Path::new(CREDENTIAL))).ok_or_else(|| none("none is given"))?;
    let text = super::read_closed(&file).map_err(|error| match error {
        KeyringError::Missing(_) => {
            KeyringError::NoPassphraseFile { key: key.to_owned(), file: file.clone() }
        }
        other => other,
    })?;
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if end == 0 {
        Err(none("the one that is given is empty"))
    } else {
        Ok(Zeroizing::new(text[..end].to_vec()))
    }
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}
