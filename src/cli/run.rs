//! `run`: the node itself, in the foreground.

use super::failure::CommandFailure;
use super::place::NodeDirectory;
use crate::daemon::{self, StartError};

pub(crate) fn run(place: &NodeDirectory) -> Result<(), CommandFailure> {
    // Read here too, so that every slip is printed the way all verbs print them.
    let config = place.config()?;
    daemon::run(config).map_err(|error| {
        let failure = match error {
            StartError::Config(errors) => return CommandFailure::from(errors),
            ref other => CommandFailure::could_not(other),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}
