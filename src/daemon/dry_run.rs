//! `peer check --dry-run`: asks policy of the last events of the journal twice, with the peer file in force and with
//! the one that was given. Decides nothing and changes nothing.

use std::path::Path;

use crate::clock;
use crate::config::{FileLists, NodeConfig, PeerFile, PeerFiles};
use crate::control::{ControlRefusal, LineDryRun, RepublishComparison, TRIAL_LAST_MAX};
use crate::daemon::faults::refusal;
use crate::policy::{self, NotReceived, Peer, TrustList, WithheldReason};
use crate::record::Entry;
use crate::store::Store;

/// Reads `text` as the file `file`, and compares it over the last `last` events.
///
/// # Errors
/// A problem of the file, or that the journal cannot be read.
pub(crate) fn trial(
    store: &Store,
    trust: &TrustList,
    config: &NodeConfig,
    (file, text): (&str, &str),
    last: u64,
) -> Result<LineDryRun, ControlRefusal> {
    let lists = FileLists::new(&config.paths.lists);
    let given =
        PeerFile::parse_with(Path::new(file), text, &lists).map_err(|problems| refusal(&problems, None))?;
    let held = trust.peer(&given.peer.name);
    let sides = DryRunSides {
        held,
        held_cut: held.is_some_and(Peer::is_cut),
        given_cut: cut(&given, held, trust, config),
    };
    let given = given.peer;
    let ends = store.stats().ends;
    let (first_seq, last_seq) = (ends.first_seq(), ends.last.seq);
    let from = first_seq.max((last_seq + 1).saturating_sub(last.clamp(1, TRIAL_LAST_MAX)));
    let mut trial = LineDryRun {
        peer: given.name.clone(),
        known: held.is_some(),
        first_seq: from,
        last_seq,
        share: RepublishComparison::default(),
        receive: RepublishComparison::default(),
    };
    for seq in (from..=last_seq).rev() {
        let entry = store.entry(seq).map_err(|error| ControlRefusal::could_not(error.to_string()))?;
        // Retention may have taken it meanwhile.
        let Some(entry) = entry else { continue };
        compare(&entry, trust, &sides, &given, &mut trial);
    }
    Ok(trial)
}

/// The word for all that goes between us and a peer with which no connection may stand.
const CUT: &str = "cut";

struct DryRunSides<'a> {
    held: Option<&'a Peer>,
    held_cut: bool,
    given_cut: bool,
}

/// Returns true if no connection with the peer of this file would stay open. A peer that revoked its own key is one of
/// these, even if its file does not say so.
fn cut(given: &PeerFile, held: Option<&Peer>, trust: &TrustList, config: &NodeConfig) -> bool {
    let revoked_itself = || {
        let held = held.filter(|held| held.revoked && held.key == given.peer.key);
        let files = held.map(|_| PeerFiles::load(config, trust.own_key()));
        files.is_some_and(|files| files.peer(&given.peer.name).is_some_and(|file| !file.peer.revoked))
    };
    given.pairing.pending || given.peer.is_cut() || revoked_itself()
}

fn compare(entry: &Entry, trust: &TrustList, sides: &DryRunSides<'_>, given: &Peer, trial: &mut LineDryRun) {
    let (core, path) = (entry.envelope.core(), &entry.path);
    let or_cut = |cut: bool, why: Option<&'static str>| if cut { Some(CUT) } else { why };
    let held = sides.held;
    let id = || core.id.to_string();
    if entry.source().is_some_and(|source| given.has_name(source)) {
        let taken = |peer: &Peer| policy::receive(core, path, trust.own_names(), peer).err().map(not_taken);
        let now = or_cut(sides.held_cut, held.map_or(Some("no_peer"), taken));
        let then = or_cut(sides.given_cut, taken(given));
        trial.receive.add(id, now, then);
        if then == Some("filter_failed")
            && let Some(failure) = policy::failure(given.receive.filter.as_ref(), core, path)
        {
            trial.receive.add_failure(failure.to_string());
        }
        return;
    }
    let now_at = Some(clock::now().wall);
    let shared = |peer: &Peer| {
        policy::share(core, path, trust.own_names(), peer, now_at).err().map(WithheldReason::as_str)
    };
    let now = or_cut(sides.held_cut, held.map_or(Some("no_peer"), shared));
    let then = or_cut(sides.given_cut, shared(given));
    trial.share.add(id, now, then);
    if then == Some(WithheldReason::FilterFailed.as_str())
        && let Some(failure) = policy::failure(given.share.filter.as_ref(), core, path)
    {
        trial.share.add_failure(failure.to_string());
    }
}

fn not_taken(why: NotReceived) -> &'static str {
    match why {
        NotReceived::Relay => "relay_not_allowed",
        NotReceived::Tlp => "tlp_not_allowed",
        NotReceived::Filter => "filter",
        NotReceived::FilterFailed(_) => "filter_failed",
    }
}
