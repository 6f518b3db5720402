//! `consumer`: readers that have a position in the journal, and the end of one.

use super::answer::{print, print_object, talk};
use super::args::ConsumerVerb;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, ask_for, unexpected};
use super::table::{add_row, lines_of, table, yes_no};
use crate::audit::AuditedAction;
use crate::clock;
use crate::control::{
    CONSUMERS_FILE, CONSUMERS_SCHEMA, ConsumerFact, ConsumerFacts, ConsumerPlace, ControlRefusal,
    ControlReply, ControlRequest,
};
use crate::terminal::Lines;

pub(crate) fn consumer(place: &NodeDirectory, verb: ConsumerVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        ConsumerVerb::List => list(place, json),
        ConsumerVerb::Show { name } => show(place, &name, json),
        ConsumerVerb::Remove { name } => {
            place.order(&ControlRequest::ConsumerRemove { name: name.clone() })?;
            place.audit_here(AuditedAction::ConsumerRemoved, None, &name);
            talk(format!("Removed consumer {name}. If it connects again, it begins as a new one."));
            Ok(())
        }
        ConsumerVerb::Rewind { name, to } => rewind(place, &name, to),
    }
}

fn rewind(place: &NodeDirectory, name: &str, to: ConsumerPlace) -> Result<(), CommandFailure> {
    place.order(&ControlRequest::ConsumerRewind { name: name.to_owned(), to })?;
    let from = match to {
        ConsumerPlace::Earliest => "the oldest event held".to_owned(),
        ConsumerPlace::Now => "the next event".to_owned(),
        ConsumerPlace::Seq(seq) => format!("seq {seq}"),
        ConsumerPlace::Time(time) => time.to_string(),
    };
    place.audit_here(AuditedAction::ConsumerRewound, None, &format!("{name} to {from}"));
    talk(format!("{name}: continues with {from}; what it had after that it gets again"));
    Ok(())
}

/// From the running node; without one, as it wrote them down last.
fn facts(place: &NodeDirectory) -> Result<ConsumerFacts, CommandFailure> {
    match place.ask_if_running(&ControlRequest::Consumers)? {
        Some(ControlReply::Consumers(facts)) => return Ok(facts),
        Some(other) => return Err(unexpected(&other)),
        None => {}
    }
    let file = place.config()?.paths.state.join(CONSUMERS_FILE);
    let unreadable = |what: String| {
        CommandFailure::could_not(format!("{}: {what}", file.display())).hint("start the node, and ask again")
    };
    let text = match std::fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The node writes it down within seconds after a consumer has a position.
            talk("no node runs here, and none has written positions down yet");
            let schema = CONSUMERS_SCHEMA.to_owned();
            return Ok(ConsumerFacts { schema, at: clock::now().wall, last_seq: 0, consumers: Vec::new() });
        }
        Err(error) => return Err(CommandFailure::of_file(&file, &error)),
        Ok(text) => text,
    };
    let facts: ConsumerFacts =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    talk(format!("no node runs here: positions as of {}", facts.at));
    Ok(facts)
}

fn list(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let facts = facts(place)?;
    if facts.consumers.is_empty() && !json {
        talk("no consumers: nobody has read from run/out.sock under a name");
        return Ok(());
    }
    print(json, &facts, || rows(&facts))
}

fn rows(facts: &ConsumerFacts) -> Lines {
    let mut table = table(&["CONSUMER", "kind", "connected", "position", "lag", "missing"]);
    for consumer in &facts.consumers {
        let cells = [
            consumer.name.clone(),
            kind(consumer).to_owned(),
            yes_no(consumer.connected).to_owned(),
            consumer.position.to_string(),
            consumer.lag_events.to_string(),
            consumer.missing.to_string(),
        ];
        add_row(&mut table, cells);
    }
    lines_of(&table)
}

const fn kind(consumer: &ConsumerFact) -> &'static str {
    if consumer.door { "door" } else { "reader" }
}

fn show(place: &NodeDirectory, name: &str, json: bool) -> Result<(), CommandFailure> {
    let facts = ask_for!(place, ControlRequest::Consumers, Consumers);
    let Some(consumer) = facts.consumers.iter().find(|consumer| consumer.name == name) else {
        return Err(unknown(name));
    };
    let shown = serde_json::json!({"consumer": consumer, "last_seq": facts.last_seq});
    print_object(json, "intelmesh.consumer/1", &shown, || described(consumer, facts.last_seq))
}

fn described(consumer: &ConsumerFact, last_seq: u64) -> Lines {
    let missing = match consumer.missing_at {
        Some(at) => format!("{}, last {} s ago", consumer.missing, clock::now().wall.since_ms(at) / 1_000),
        None => consumer.missing.to_string(),
    };
    let position = format!("{} of {last_seq}, {} to read", consumer.position, consumer.lag_events);
    let mut lines = Lines::default();
    lines.push(&consumer.name);
    lines.fact("kind", kind(consumer));
    lines.fact("connected", yes_no(consumer.connected));
    lines.fact("position", position);
    lines.fact("missing", missing);
    lines.fact("own", if consumer.own { "yes: also what this node publishes" } else { "no" });
    lines.fact("filter", consumer.filter.as_deref().unwrap_or("none that is known here"));
    lines
}

fn unknown(name: &str) -> CommandFailure {
    ControlRefusal::no(format!("no consumer \"{name}\"")).hint("intelmesh consumer list").into()
}
