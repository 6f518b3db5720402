//! The files of `clients/`: written by `client add`, moved away by `client remove`. The token itself is never written.

use std::path::{Path, PathBuf};

use super::{DIR_MODE, FILE_MODE, WriteError, move_to_removed, text};
use crate::config::client_file::TokenHash;
use crate::files;
use crate::identity::PublisherName;
use crate::policy::Tlp;
use crate::time::Timestamp;

/// The future client, from the flags of `client add`.
#[derive(Clone, Debug)]
pub(crate) struct NewClient {
    pub name: PublisherName,
    pub token_hash: TokenHash,
    pub tlp_max: Tlp,
    /// True if it may post events.
    pub accept: bool,
    pub added: Timestamp,
    pub added_by: String,
}

/// Writes the file of a client that is not there yet, and returns its path.
///
/// # Errors
/// [`WriteError::ClientExists`] (nothing was changed), [`WriteError::Io`].
pub(crate) fn add_client(clients_dir: &Path, new: &NewClient) -> Result<PathBuf, WriteError> {
    let file = clients_dir.join(format!("{}.toml", new.name));
    let failed = |error| WriteError::Io { file: file.clone(), error };
    files::make_dir(clients_dir, DIR_MODE).map_err(failed)?;
    match files::create_new(&file, client_text(new).as_bytes(), FILE_MODE) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(WriteError::ClientExists { name: new.name.clone(), file })
        }
        written => written.map(|()| file.clone()).map_err(failed),
    }
}

/// Moves a client's file to `removed/`, with the time behind its name: its token is worth nothing from then on.
///
/// # Errors
/// [`WriteError::Io`], also if there is no such client.
pub(crate) fn remove_client(file: &Path, at: Timestamp) -> Result<PathBuf, WriteError> {
    move_to_removed(file, at)
}

fn client_text(new: &NewClient) -> String {
    format!(
        r#"# A client of the HTTP door: who may read and post here without a node of its own. Yours to edit; it acts
# within a second.
# The hash of its token. The token was shown once.
token_hash = {hash}
added = "{added}"
added_by = {added_by}

# From us to the client.
[share]
# The strictest label that it may get.
tlp_max = "{tlp_max}"
# Only events that a CEL expression admits.
# where = 'meta.publisher != "cert-pl"'

# From the client to us: what it posts is published by this node.
[receive]
accept = {accept}
# Most events a second.
# rate = "100/s"
# where = 'has(event.source_ip)'
"#,
        hash = text(&new.token_hash.to_string()),
        added = new.added,
        added_by = text(&new.added_by),
        tlp_max = new.tlp_max,
        accept = new.accept,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientFile;
    use crate::filter::NoLists;

    #[test]
    fn written_files_are_read_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let new = NewClient {
            name: PublisherName::parse("soc").unwrap(),
            token_hash: TokenHash::of("t"),
            tlp_max: Tlp::Green,
            accept: false,
            added: Timestamp(1),
            added_by: "alice".to_owned(),
        };
        let file = add_client(&dir.path().join("clients"), &new).unwrap();
        let read = std::fs::read_to_string(&file).unwrap();
        let client = ClientFile::parse(Path::new("clients/soc.toml"), &read, &NoLists).unwrap();
        assert_eq!((client.token_hash, client.accept), (new.token_hash, false));
        assert_eq!(client.share.tlp_max, Tlp::Green);
        let again = add_client(&dir.path().join("clients"), &new);
        assert!(matches!(again, Err(WriteError::ClientExists { .. })), "{again:?}");
        let copy = remove_client(&file, Timestamp(2)).unwrap();
        assert!(copy.exists() && !file.exists());
    }
}
