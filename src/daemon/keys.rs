//! What is written down when somebody's keys changed: a line in `audit.jsonl`, and a copy of the statement in
//! `statements/`, so that the command line can verify without a running node. The journal has the statement
//! itself.

use std::path::{Path, PathBuf};

use crate::audit::{self, Decision, What};
use crate::envelope::SignedStatement;
use crate::time::Timestamp;

/// Copies of the statements in force, below the state directory.
pub const STATEMENTS_DIR: &str = "statements";

/// Writes them down, away from the loop: a slow disk must not hold it up.
pub fn write_down(state: PathBuf, statements: Vec<SignedStatement>, at: Timestamp) {
    tokio::task::spawn_blocking(move || {
        for statement in &statements {
            let stated = statement.statement();
            let what = if stated.revoked { What::KeyRevoked } else { What::KeysChanged };
            let how = format!("serial {}, {} keys", stated.serial, stated.keys.len());
            let peer = Some(&stated.publisher);
            let decision = Decision { at, what, who: "node".to_owned(), peer, how: &how };
            let written = audit::append(&state, &decision).and_then(|()| copy(&state, statement));
            if let Err(error) = written {
                tracing::warn!(publisher = %stated.publisher, %error, "the key statement is in the journal alone");
            }
        }
    });
}

fn copy(state: &Path, statement: &SignedStatement) -> std::io::Result<()> {
    let dir = state.join(STATEMENTS_DIR);
    std::fs::create_dir_all(&dir)?;
    let name = format!("{}.cose", statement.statement().publisher);
    let temporary = tempfile::NamedTempFile::new_in(&dir)?;
    std::fs::write(temporary.path(), statement.bytes())?;
    temporary.persist(dir.join(name)).map(|_| ()).map_err(|error| error.error)
}
