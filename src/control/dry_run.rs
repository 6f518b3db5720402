//! The changes by a new peer file, before it is put in place: `peer check --dry-run`. It has counts and a few names of
//! events to share or to hold back, but never their content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::PublisherName;

/// Name and number of the JSON form.
pub(crate) const TRIAL_SCHEMA: &str = "intelmesh.peer-trial/1";

/// Number of journal events that are looked at: by default, and at most.
pub(crate) const TRIAL_LAST_DEFAULT: u64 = 1_000;
pub(crate) const TRIAL_LAST_MAX: u64 = 20_000;

/// Names of events shown for each change.
pub(crate) const TRIAL_EXAMPLES_MAX: usize = 3;

/// The file in force against the one that was given, over the last events of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineDryRun {
    pub peer: PublisherName,
    /// False if it would be a new peer: nothing is shared now.
    pub known: bool,
    /// The events that were looked at.
    pub first_seq: u64,
    pub last_seq: u64,
    /// From us to them: all that did not come from them.
    pub share: RepublishComparison,
    /// From them to us: only what came from them and was taken, as nothing else is held here.
    pub receive: RepublishComparison,
}

/// One direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepublishComparison {
    pub now: DryRunOutcome,
    pub then: DryRunOutcome,
    /// Every event that would fare otherwise, by how.
    pub changes: Vec<PolicyChange>,
    /// Reasons why the new filter had no result, each with its number of events.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DryRunOutcome {
    pub passes: u64,
    /// By reason.
    pub held: BTreeMap<String, u64>,
}

/// `passes`, or why not, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyChange {
    pub now: String,
    pub then: String,
    pub count: u64,
    /// Full names of a few of them, newest first.
    pub examples: Vec<String>,
}

/// The word for events that are not held back.
pub(crate) const PASSES: &str = "passes";

impl RepublishComparison {
    /// Counts one event for which the new filter had no result, by reason. Reasons name no values, so there are few.
    pub(crate) fn add_failure(&mut self, why: String) {
        *self.failures.entry(why).or_default() += 1;
    }

    /// Counts one event, newest first. Each reason to hold it back is `None` if it passes.
    pub(crate) fn add(&mut self, id: impl FnOnce() -> String, now: Option<&str>, then: Option<&str>) {
        self.now.add(now);
        self.then.add(then);
        if now == then {
            return;
        }
        let (now, then) = (now.unwrap_or(PASSES), then.unwrap_or(PASSES));
        let known = self.changes.iter().position(|change| change.now == now && change.then == then);
        let at = known.unwrap_or_else(|| {
            let change =
                PolicyChange { now: now.to_owned(), then: then.to_owned(), count: 0, examples: Vec::new() };
            self.changes.push(change);
            self.changes.len() - 1
        });
        let change = &mut self.changes[at];
        change.count += 1;
        if change.examples.len() < TRIAL_EXAMPLES_MAX {
            change.examples.push(id());
        }
    }
}

impl DryRunOutcome {
    fn add(&mut self, why: Option<&str>) {
        match why {
            None => self.passes += 1,
            Some(why) => *self.held.entry(why.to_owned()).or_default() += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_named_and_everything_is_counted() {
        let mut comparison = RepublishComparison::default();
        for (id, now, then) in [
            ("e", None, None),
            ("d", None, Some("filter")),
            ("c", Some("tlp_max"), Some("tlp_max")),
            ("b", Some("tlp_max"), None),
            ("a", None, Some("filter")),
        ] {
            comparison.add(|| id.to_owned(), now, then);
        }
        assert_eq!((comparison.now.passes, comparison.then.passes), (3, 2));
        assert_eq!(comparison.then.held["filter"], 2);
        let told = comparison.changes.iter();
        let told: Vec<_> = told
            .map(|change| (&*change.now, &*change.then, change.count, change.examples.join(" ")))
            .collect();
        assert_eq!(
            told,
            [("passes", "filter", 2, "d a".to_owned()), ("tlp_max", "passes", 1, "b".to_owned())]
        );
        for why in ["no key \"a\"", "the body is sealed", "no key \"a\""] {
            comparison.add_failure(why.to_owned());
        }
        assert_eq!(comparison.failures["no key \"a\""], 2, "each reason has its number");
    }
}
