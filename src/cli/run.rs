//! `run`: the node itself, in the foreground.

use super::failure::Failure;
use super::place::Place;

pub fn run(place: &Place) -> Result<(), Failure> {
    // Read here too, so that every slip is printed the way all verbs print them.
    place.config()?;
    Err(Failure::not_built("run"))
}
