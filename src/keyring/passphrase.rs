//! The passphrase of private keys that have one (PKCS#8 with PBES2, as OpenSSL writes it), and the directory that
//! systemd puts credentials into. Never asked for on a terminal: a node starts unattended.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyringError;
use crate::limits::KEY_FILE_BYTES_MAX;

/// Names the file that holds the passphrase of the keys.
pub const PASSPHRASE_FILE_ENV: &str = "INTELMESH_PASSPHRASE_FILE";

/// The credential that systemd may hand over instead (`LoadCredential=` or `LoadCredentialEncrypted=`).
const CREDENTIAL: &str = "intelmesh-passphrase";

pub(super) const HINT: &str = "name the file that holds it with INTELMESH_PASSPHRASE_FILE=FILE; in a systemd unit: LoadCredentialEncrypted=intelmesh-passphrase:…";

/// Where a key file is read: a credential of its name wins over the file in `keys/`.
pub(super) fn place_of(file: &Path) -> (PathBuf, bool) {
    let credential = credentials().zip(file.file_name()).map(|(dir, name)| dir.join(name));
    match credential.filter(|path| path.is_file()) {
        // systemd guards that directory, with modes of its own.
        Some(path) => (path, true),
        None => (file.to_owned(), false),
    }
}

/// The passphrase, without the line end behind it.
///
/// # Errors
/// [`KeyringError::Passphrase`] where none is to be had for `key`.
pub(super) fn read(key: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let none = |why| KeyringError::Passphrase { file: key.to_owned(), why };
    let text = match std::env::var_os(PASSPHRASE_FILE_ENV).map(PathBuf::from) {
        Some(file) => super::read_private(&file)?,
        None => {
            let credential = credentials().map(|dir| dir.join(CREDENTIAL)).filter(|path| path.is_file());
            let path = credential.ok_or_else(|| none("none is given"))?;
            Zeroizing::new(super::read_bounded(&path, KEY_FILE_BYTES_MAX)?)
        }
    };
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if end == 0 {
        Err(none("the one that is given is empty"))
    } else {
        Ok(Zeroizing::new(text[..end].to_vec()))
    }
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}
