//! `peer rename`: a peer has another name from now on. Its key, its agreement and its feeds stay.

use super::{file_of, told, warn};
use crate::audit::AuditedAction;
use crate::cli::answer::talk;
use crate::cli::failure::CommandFailure;
use crate::cli::place::NodeDirectory;
use crate::config::write;
use crate::identity::PublisherName;

pub(crate) fn rename(
    place: &NodeDirectory,
    old: &PublisherName,
    new: &PublisherName,
) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let file = file_of(&config, old)?;
    if old == new {
        return Err(CommandFailure::no(format!("{old} has this name already")));
    }
    if config.names().has(new) {
        return Err(CommandFailure::no(format!("\"{new}\" is a name of this node")));
    }
    let known = place.peers(&config)?;
    warn(&known);
    let renamed = write::rename_peer(&file, &known.peers, old, new)?;
    place.audit(&config, AuditedAction::PeerRenamed, Some(new), &format!("it was {old}"));
    told(place);
    talk(format!("Peer {old} is now {new}: {}", renamed.display()));
    talk("Its old name stays as an alias: events that name it are for the same peer.");
    Ok(())
}
