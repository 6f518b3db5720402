//! Secrets of doors, each the text of a file of its own, so that none stands in the configuration. Read at each
//! connection: a changed file counts.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::limits::KEY_FILE_BYTES_MAX;

/// Returns the text of the file, without the end of its line.
pub(crate) fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    if std::fs::metadata(file)?.len() > KEY_FILE_BYTES_MAX as u64 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let text = std::fs::read_to_string(file).map(Zeroizing::new)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}
