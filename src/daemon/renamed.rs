//! Notices that `name` in `intelmesh.toml` is another one than at the last start. The journal and the keys stay: peers
//! that know the node by its former name refuse it until their files follow.

use std::path::Path;

use crate::files;
use crate::identity::PublisherName;
use crate::status::{HealthCode, ShownProblem};
use crate::time::Timestamp;

/// Below the state directory: the name of the last start.
const FILE: &str = "name";

/// The name of the last start; `None` before the first.
pub(crate) fn former_name(state: &Path) -> Option<PublisherName> {
    let text = std::fs::read_to_string(state.join(FILE)).ok()?;
    PublisherName::parse(text.trim()).ok()
}

/// Returns a problem if the name has changed. From the next start on, the new name is the known one.
pub(crate) fn noticed(state: &Path, name: &PublisherName, now: Timestamp) -> Option<ShownProblem> {
    let file = state.join(FILE);
    let known = former_name(state);
    if known.as_ref() == Some(name) {
        return None;
    }
    if let Err(error) = files::replace(&file, format!("{name}\n").as_bytes(), 0o600) {
        tracing::warn!("{}: cannot be written: {error}", file.display());
    }
    let former = known?;
    let what = format!(
        "this node was called \"{former}\" at its last start, and is called \"{name}\" now: peers whose file has the former name refuse it"
    );
    let hint = format!(
        "each peer: intelmesh peer rename {former} {name}; then here: intelmesh status --ack name_mismatch"
    );
    Some(ShownProblem { at: now, what, hint: Some(hint), code: Some(HealthCode::NameMismatch) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_name_is_noticed_once() {
        let state = tempfile::tempdir().unwrap();
        let name = |text| PublisherName::parse(text).unwrap();
        let noticed = |text| noticed(state.path(), &name(text), Timestamp(1));
        assert!(noticed("cert-at").is_none(), "the first start");
        assert!(noticed("cert-at").is_none());
        assert!(noticed("cert-austria").unwrap().what.contains("\"cert-at\" at its last start"));
        assert!(noticed("cert-austria").is_none());
    }
}
