//! The same for a client of the HTTP door, by its file in `clients/`.

use super::{Share, WithheldReason, shared};
use crate::envelope::Core;
use crate::identity::{HopPath, NodeNames};
use crate::time::Timestamp;

/// May this node hand the event of `core` to a client of its HTTP door, by the client's `[share]`? A client has no key, and
/// no name that an event could be for: what is sealed is for others.
///
/// # Errors
/// The first reason against it.
pub(crate) fn share_with_client(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    share: &Share,
    now: Option<Timestamp>,
) -> Result<(), WithheldReason> {
    if core.body.is_sealed() {
        return Err(WithheldReason::NotNamed);
    }
    shared(core, path, own, (share, false), now)
}
