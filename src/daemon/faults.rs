//! From what the core knows of a peer's feeds to what status shows as their fault: the worst of several, in its own
//! words. And what is wrong with a file of the operator's, as an answer.

use crate::config::ConfigProblem;
use crate::control::{ControlRefusal, REFUSAL_SEPARATOR};

/// All `problems` of a file. One hint fits: that of the last, below which it is shown.
pub(crate) fn refusal(problems: &[ConfigProblem], otherwise: Option<&str>) -> ControlRefusal {
    let text = problems.iter().map(ConfigProblem::to_string).collect::<Vec<_>>().join(REFUSAL_SEPARATOR);
    let hint = problems.last().and_then(ConfigProblem::hint).or_else(|| otherwise.map(str::to_owned));
    let refusal = ControlRefusal::no(text);
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}
