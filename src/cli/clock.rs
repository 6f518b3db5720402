//! `clock accept`: the operator says that the machine's clock is right.

use super::answer::talk;
use super::failure::Failure;
use super::feed::done;
use super::place::Place;
use crate::audit::What;
use crate::control::Request;

pub fn accept(place: &Place) -> Result<(), Failure> {
    done(&place.ask(&Request::ClockAccept)?)?;
    place.audit_here(What::ClockAccepted, None, "");
    talk("the clock is accepted: what waited for it goes on");
    Ok(())
}
