//! The place up to which a Warden server was read, in `cursors/NAME`. It is replaced whole and synced once the messages
//! before it are settled: after a crash some come again, and none is left out.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::door::ServerUrl;
use crate::files;

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// The ids of another server mean nothing here.
    url: String,
    id: u64,
}

pub(super) struct CursorFile(pub PathBuf);

impl CursorFile {
    /// Returns the cursor on this server; `None` if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged: to begin anew would leave messages out.
    pub(crate) fn read(&self, url: &ServerUrl) -> io::Result<Option<u64>> {
        let bytes = match fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let cursor: Cursor = serde_json::from_slice(&bytes)?;
        Ok((cursor.url == url.to_string()).then_some(cursor.id))
    }

    pub(crate) fn write(&self, url: &ServerUrl, id: u64) -> io::Result<()> {
        files::make_dir(files::dir_of(&self.0), 0o700)?;
        let mut text = serde_json::to_vec(&Cursor { url: url.to_string(), id })?;
        text.push(b'\n');
        files::replace(&self.0, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To begin anew would leave out all that the server had before its last messages.
    #[test]
    fn damaged_cursor_is_an_error_and_no_beginning() {
        let home = tempfile::tempdir().unwrap();
        let file = CursorFile(home.path().join("cursors/soc"));
        let url = ServerUrl::parse("https://warden.example/warden3").unwrap();
        assert_eq!(file.read(&url).unwrap(), None);
        file.write(&url, 7).unwrap();
        assert_eq!(file.read(&url).unwrap(), Some(7));
        fs::write(&file.0, "{\"url\":").unwrap();
        assert!(file.read(&url).is_err());
    }
}
