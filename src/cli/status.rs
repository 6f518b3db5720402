//! `status`: is all well, and how does everything stand?

use super::answer::Answer;
use super::failure::{Failure, NO};
use super::place::{Place, unexpected};
use crate::control::{Reply, Request};
use crate::status::{Snapshot, health_line, render};

pub fn ask(place: &Place) -> Result<Snapshot, Failure> {
    match place.ask(&Request::Status)? {
        Reply::Status(snapshot) => Ok(*snapshot),
        other => Err(unexpected(&other)),
    }
}

/// # Errors
/// With `check`, exit 1 where not all is well; without it, being unwell is still an answer.
pub fn status(place: &Place, check: bool, json: bool) -> Result<(), Failure> {
    let snapshot = ask(place)?;
    let mut answer = Answer::new();
    match (json, check) {
        (true, _) => answer.json(&snapshot)?,
        (false, true) => answer.line(health_line(&snapshot))?,
        (false, false) => answer.text(&render(&snapshot, crate::clock::now().wall))?,
    }
    answer.flush()?;
    if check && !snapshot.ok { Err(Failure::silent(NO)) } else { Ok(()) }
}
