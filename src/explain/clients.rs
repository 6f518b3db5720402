//! The same for a client of the HTTP door: it gets an event by its file in `clients/`, or does not.

use super::RuleOutcome;
use crate::config::ClientFile;
use crate::envelope::Core;
use crate::identity::{HopPath, NodeNames, PublisherName};
use crate::policy::{self, WithheldReason};
use crate::time::Timestamp;

/// Decides whether the event of `core`, which came by `path`, may go to the client of `file`; returns the rule as well.
pub(crate) fn share_with_client(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    file: &ClientFile,
    now: Timestamp,
) -> (RuleOutcome, String) {
    let label = place(file, file.lines.tlp_max, &format!("tlp_max = \"{}\"", file.share.tlp_max));
    match policy::share_with_client(core, path, own, &file.share, Some(now)) {
        Ok(()) => (RuleOutcome::Shared, label),
        Err(why) => (RuleOutcome::Withheld(why), withheld_by(why, core, path, file, label)),
    }
}

fn withheld_by(why: WithheldReason, core: &Core, path: &HopPath, file: &ClientFile, label: String) -> String {
    match why {
        WithheldReason::TlpMax => label,
        WithheldReason::TlpHop => format!("TLP:{} does not travel on unsealed (docs/SECURITY.md)", core.tlp),
        WithheldReason::NotNamed => {
            let names: Vec<&str> = core.to.iter().map(PublisherName::as_str).collect();
            format!("the event is for {} alone", names.join(", "))
        }
        WithheldReason::NotSealed => place(file, file.lines.seal, "seal = true"),
        WithheldReason::Hops => format!("it came over {} hops, at most {}", path.len(), core.max_hops),
        WithheldReason::Expired => {
            format!("it expired at {}", core.expires.map(|at| at.to_string()).unwrap_or_default())
        }
        WithheldReason::Filter => place(file, file.lines.filter, "where does not admit it"),
        WithheldReason::FilterFailed => place(file, file.lines.filter, "where fails on it"),
    }
}

/// `FILE:LINE: RULE`, or that it is the default.
fn place(file: &ClientFile, line: Option<usize>, rule: &str) -> String {
    match line {
        Some(line) => format!("{}:{line}: {rule}", file.file.display()),
        None => format!("{}: {rule} (the default)", file.file.display()),
    }
}
