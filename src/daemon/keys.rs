//! Records a change of somebody's keys: a line in `audit.jsonl`, and a copy of the statement in `statements/`.
//! The journal has the statement itself. The copies are for the command line, which can verify with them if no node
//! runs, and for a node with an emptied journal: a revocation must outlive that.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ed25519_dalek::VerifyingKey;

use crate::audit::{self, AuditDecision, AuditedAction};
use crate::envelope::statement::claimed_publisher;
use crate::envelope::{SignedStatement, StatedKeys, StatementBook};
use crate::files;
use crate::identity::PublisherName;
use crate::limits::KEY_STATEMENT_BYTES_MAX;
use crate::time::Timestamp;

/// Copies of the statements in force, below the state directory.
const STATEMENTS_DIR: &str = "statements";

/// The copies are written one after the other: else an older one could take the place of a newer one.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes them down, away from the loop: a slow disk must not hold it up.
pub(crate) fn write_down(state: PathBuf, changed: Vec<StatedKeys>, at: Timestamp) {
    tokio::task::spawn_blocking(move || {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        for stated in &changed {
            if let Err(error) = write_one(&state, stated, at) {
                let publisher = &stated.latest().statement().publisher;
                tracing::warn!(%publisher, %error, "the key statement is in the journal alone");
            }
        }
    });
}

fn write_one(state: &Path, stated: &StatedKeys, at: Timestamp) -> std::io::Result<()> {
    let latest = stated.latest().statement();
    if let Some(before) = stated.before() {
        copy(state, &format!("{}.before.cose", before.statement().publisher), before)?;
    }
    if copy(state, &format!("{}.cose", latest.publisher), stated.latest())? {
        let what = if latest.revoked { AuditedAction::KeyRevoked } else { AuditedAction::KeysChanged };
        let how = format!("serial {}, {} keys", latest.serial, latest.keys.len());
        let peer = Some(&latest.publisher);
        audit::append(state, &AuditDecision { at, what, who: "node".to_owned(), peer, how: &how })?;
    }
    Ok(())
}

/// Writes the copy, unless the one on disk says the same or more. Returns true if it was written.
fn copy(state: &Path, name: &str, statement: &SignedStatement) -> std::io::Result<bool> {
    let dir = state.join(STATEMENTS_DIR);
    files::make_dir(&dir, 0o700)?;
    // A copy of what an older key said under this name makes way.
    let of_one_key = read(&dir.join(name)).and_then(|bytes| statement.by_the_same_key(&bytes));
    if of_one_key.is_some_and(|there| !statement.replaces(Some(&there))) {
        return Ok(false);
    }
    files::replace(&dir.join(name), statement.bytes(), 0o600).map(|()| true)
}

/// Returns the statements copied to `state` that the identity key of their claimed publisher has signed.
pub(crate) fn copies(
    state: &Path,
    identity_of: impl Fn(&PublisherName) -> Option<VerifyingKey>,
) -> StatementBook {
    let mut book = StatementBook::default();
    let entries = std::fs::read_dir(state.join(STATEMENTS_DIR)).into_iter().flatten().flatten();
    for path in
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "cose"))
    {
        let Some(bytes) = read(&path) else { continue };
        let Some(identity) = claimed_publisher(&bytes).ok().and_then(|name| identity_of(&name)) else {
            continue;
        };
        if let Ok(statement) = SignedStatement::verify(&bytes, &identity) {
            book.take(statement);
        }
    }
    book
}

fn read(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = KEY_STATEMENT_BYTES_MAX as u64 + 1;
    std::fs::File::open(file).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::envelope::Statement;
    use crate::files::recorder::{DiskOp, each_image, note, record};

    fn statement(serial: u64, revoked: bool) -> SignedStatement {
        let publisher = PublisherName::parse("cert-ee").unwrap();
        let said = Statement { publisher, serial, keys: Vec::new(), revoked };
        SignedStatement::sign(said, &crate::fixture::key(7)).unwrap()
    }

    /// The copy is what a revocation outlives an emptied journal by: a power cut leaves the old one or the new one.
    #[test]
    fn copy_of_statement_survives_power_cut() {
        let state = tempfile::tempdir().unwrap();
        let versions = [statement(1, false), statement(u64::MAX, true)];
        let ops = record(|| {
            for (nth, version) in (1..).zip(&versions) {
                assert!(copy(state.path(), "cert-ee.cose", version).unwrap());
                note(|| DiskOp::Told(nth));
            }
        });
        let images = each_image(state.path(), &ops, |image, told| {
            let found = image.get("statements/cert-ee.cose");
            let version =
                found.map(|found| 1 + versions.iter().position(|v| v.bytes() == found).unwrap() as u64);
            let told = told.last().copied();
            assert!(version >= told, "{told:?} was written, {version:?} is there");
        });
        assert!(images > 5, "{images}");
    }
}
