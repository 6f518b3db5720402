//! `event list`: the newest events of the journal, each in a few words.

use crate::cli::answer::{CommandAnswer, talk, terminal_size};
use crate::cli::args::EventListArgs;
use crate::cli::failure::CommandFailure;
use crate::cli::place::{NodeDirectory, ask_for};
use crate::cli::pretty::EventRow;
use crate::control::{ControlRequest, EventList, LIST_SCHEMA, ListedEvent, ListedRange};

pub(crate) fn list(place: &NodeDirectory, args: EventListArgs, json: bool) -> Result<(), CommandFailure> {
    let range = ListedRange { last: args.last, publisher: args.publisher, filter: args.filter };
    let list = ask_for!(place, ControlRequest::EventList(range), Events);
    let mut answer = CommandAnswer::new();
    if json {
        answer.object(LIST_SCHEMA, &list)?;
        return answer.flush();
    }
    let width = terminal_size().map(|(columns, _)| columns);
    for event in &list.events {
        let created = event.created.to_string();
        row(event, &created).lines(width).iter().try_for_each(|line| answer.row(line))?;
    }
    answer.flush()?;
    say_rest(&list);
    Ok(())
}

fn row<'a>(event: &'a ListedEvent, created: &'a str) -> EventRow<'a> {
    let mut subject = event.subject.clone();
    let fate = match (&event.withdrawn_by, &event.replaced_by) {
        (Some(_), _) => "withdrawn  ",
        (None, Some(_)) => "replaced  ",
        (None, None) => "",
    };
    subject.about.insert_str(0, fate);
    let ListedEvent { id, publisher, tlp, sealed, .. } = event;
    EventRow { created, id, publisher: publisher.as_str(), tlp, sealed: *sealed, subject }
}

fn say_rest(list: &EventList) {
    if let Some((events, why)) = &list.filter_failed {
        talk(format!("{events} events are not listed: the filter has no result for them: {why}"));
    }
    if list.events.is_empty() {
        talk(format!("none of the {} newest entries is such an event", list.looked_at));
    }
    if list.more && list.events.is_empty() {
        talk("hint: for older ones: intelmesh tail --own --from earliest --filter …");
    }
}
