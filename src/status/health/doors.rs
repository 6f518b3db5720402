//! The rules about doors to the local pipeline, and about consumers.

use super::{HealthCode, HealthFinding, HealthRules, events, filter_failing, span_text};
use crate::status::{ConsumerState, ConsumerStatus, DoorStatus, DoorWay, HealthItem};

impl HealthRules<'_> {
    pub(super) fn door(&self, door: &DoorStatus, found: &mut Vec<HealthItem>) {
        found.extend(self.door_down(door));
        found.extend(door_rejects(door));
        found.extend(receiver_lost(door));
    }

    /// It does not reach its other end, whether or not anything waits for that.
    fn door_down(&self, door: &DoorStatus) -> Option<HealthItem> {
        let down = door.down.as_ref().filter(|down| self.lasts(down.since, self.thresholds.door_ms))?;
        let (name, span) = (&door.name, self.for_long(down.since));
        let (at, to_do) = match &door.way {
            DoorWay::Submit(state) => (&state.at, "nothing of ours enters the mesh through it"),
            DoorWay::Consumer(state) => (&state.at, "nothing is handed over through it"),
        };
        let what =
            format!("door {name} has not reached its other end ({at}) for {span}, {to_do}: {}", down.what);
        let hint = format!("start what is there, or correct the address of {name} in intelmesh.toml");
        let finding = HealthFinding::new(HealthCode::DoorDown, what, hint).door(name).since(down.since);
        Some(match door.way {
            DoorWay::Consumer(_) => finding.consumer(name).done(),
            DoorWay::Submit(_) => finding.done(),
        })
    }

    pub(super) fn consumer(&self, consumer: &ConsumerStatus, found: &mut Vec<HealthItem>) {
        let name = consumer.name.as_str();
        if let Some(at) = consumer.missing_at {
            let what = format!(
                "consumer {name} missed {}: the journal no longer holds them",
                events(consumer.missing)
            );
            let hint = "raise keep_bytes or keep_days, or see docs/howto/repair-damage.md";
            found.push(
                HealthFinding::new(HealthCode::FeedMissing, what, hint).consumer(name).happened(at).done(),
            );
        }
        if let Some(failing) = &consumer.filter_failing {
            found.push(filter_failing(&format!("filter of consumer {name}"), failing).consumer(name).done());
        }
        let door = self.facts.doors.iter().find_map(|door| match &door.way {
            DoorWay::Consumer(state) if door.name == name => Some((door, state)),
            _ => None,
        });
        let away = door.and_then(|(door, state)| self.receiver_away(door, state, consumer));
        found.extend(away.or_else(|| self.consumer_lags(name, consumer)));
        if self.is_retention_short(consumer.lag_events) {
            let what = format!("retention will soon drop what consumer {name} has not read");
            let hint = format!("start its reader, or end it: intelmesh consumer remove {name}");
            found.push(HealthFinding::new(HealthCode::RetentionShort, what, hint).consumer(name).done());
        }
    }

    fn consumer_lags(&self, name: &str, consumer: &ConsumerStatus) -> Option<HealthItem> {
        let lag_s = consumer.lag_s.filter(|lag_s| *lag_s >= self.thresholds.lag_s)?;
        let much = consumer.lag_events.map(|lag| format!(", {}", events(lag))).unwrap_or_default();
        let away = if consumer.connected { "" } else { " and not connected" };
        let what = format!("consumer {name} is {} behind{much}{away}", span_text(lag_s as u64));
        let hint = match consumer.connected {
            true => "see whether its reader acknowledges".to_owned(),
            false => format!("start its reader, or end it: intelmesh consumer remove {name}"),
        };
        let since = self.now.minus_ms((lag_s * 1000.0) as u64);
        Some(HealthFinding::new(HealthCode::ConsumerLagging, what, hint).consumer(name).since(since).done())
    }

    /// The receiver of a consumer's door is not there, or takes nothing more, while events wait for it.
    fn receiver_away(
        &self,
        door: &DoorStatus,
        state: &ConsumerState,
        consumer: &ConsumerStatus,
    ) -> Option<HealthItem> {
        let lag = consumer.lag_events.filter(|lag| *lag > 0)?;
        let (name, at, much) = (&door.name, &state.at, events(lag));
        let down = door.down.as_ref().filter(|down| self.lasts(down.since, self.thresholds.door_ms));
        let (what, hint) = match (&state.held, down) {
            (Some(held), _) => (
                format!("consumer {name} is held, {much} behind: {held}"),
                "see whether the receiving bot runs",
            ),
            (None, Some(down)) => (
                format!("consumer {name} is {much} behind: nobody takes them at {at} ({})", down.what),
                "start the receiving bot, or see to its address in intelmesh.toml",
            ),
            (None, None) => return None,
        };
        // A receiver that holds is connected: how long it holds is not how long it is connected.
        let since = match &state.held {
            Some(_) => None,
            None => down.map(|down| down.since).or(state.since),
        };
        Some(HealthFinding::new(HealthCode::ConsumerLagging, what, hint).consumer(name).since(since).done())
    }
}

/// Events lie in `aside/` until the operator has seen to them.
fn door_rejects(door: &DoorStatus) -> Option<HealthItem> {
    let aside = door.aside.as_ref()?;
    let (name, file) = (&door.name, &aside.file);
    let what = format!("door {name} could not pass on {}: {file}", events(aside.lines));
    let hint =
        format!("intelmesh aside list {name}, then intelmesh aside retry {name}, or move the file away");
    let finding = HealthFinding::new(HealthCode::DoorRejects, what, hint).door(name);
    // Without a time it is not known when it happened, and it is told until somebody has seen to it.
    let finding = match aside.last {
        Some(at) => finding.happened(at),
        None => finding,
    };
    Some(match door.way {
        DoorWay::Consumer(_) => finding.consumer(name).done(),
        DoorWay::Submit(_) => finding.done(),
    })
}

/// Returns a reason if the queue of a receiver was emptied: its unread events reach nobody.
fn receiver_lost(door: &DoorStatus) -> Option<HealthItem> {
    let DoorWay::Consumer(ConsumerState { lost_at: Some(at), at: place, .. }) = &door.way else {
        return None;
    };
    let name = &door.name;
    let what = format!("the receiver of {name} ({place}) lost what it held: what no bot had read is missing");
    let hint =
        format!("intelmesh consumer rewind {name} --to TIME hands it over again, what was read included");
    let finding = HealthFinding::new(HealthCode::FeedMissing, what, hint).door(name).consumer(name);
    Some(finding.happened(*at).done())
}
