//! Converts the door settings of `intelmesh.toml` into the types of `local`. Each of the two has types of its own,
//! and both meet here. No rules here but the defaults that depend on the kind of door.

use std::sync::Arc;

use crate::config::doors::{ConsumerDoorSettings, ConsumerTo, DoorAdds, SubmitDoorSettings, SubmitFrom};
use crate::config::{self, NODE_FILE, NodeConfig};
use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::format::foreign::{BodyFormat, default_node_name};
use crate::format::intelmq::IntelmqHandOff;
use crate::format::{DoorDefaults, HandOff, MessageRule};
use crate::identity::LogId;
use crate::local::{
    ConsumerSetup, ConsumerWay, DoorSetups, JournalQuestions, RedisQueue, SpoolDir, SubmitSetup, SubmitWay,
    TcpIn, TcpOut,
};
use crate::protocol::io::ConsumerRequest;
use crate::store::Store;

/// The doors of `config`, but for the socket's.
pub fn door_setups(config: &NodeConfig) -> DoorSetups {
    let submits = config.doors.submits.iter().filter_map(|door| submit(door, config)).collect();
    let consumers = config.doors.consumers.iter().map(|door| consumer(door, config)).collect();
    DoorSetups { submits, consumers, state: config.paths.state.clone() }
}

/// Returns the fields that `in.sock` adds to each line: those of a `[[submit]]` from the socket, or the defaults.
pub fn socket_door(config: &NodeConfig) -> DoorDefaults {
    let said = config.doors.submits.iter().find(|door| door.from == SubmitFrom::Socket);
    let plain = DoorDefaults::of(config.name.clone(), config.project.clone(), config.default_tlp);
    match said {
        Some(said) => door(plain, &said.adds),
        None => plain,
    }
}

fn door(door: DoorDefaults, adds: &DoorAdds) -> DoorDefaults {
    DoorDefaults {
        tlp: adds.tlp,
        to: adds.to.clone(),
        ids: adds.ids.unwrap_or(door.ids),
        strip: adds.strip.clone().unwrap_or(door.strip),
        mask_secrets: adds.mask_secrets.unwrap_or(door.mask_secrets),
        republish: adds.republish,
        seal: adds.seal,
        multiple_values: adds.multiple_values,
        messages: MessageRule { convert: adds.convert, ..door.messages },
        ..door
    }
}

fn submit(said: &SubmitDoorSettings, config: &NodeConfig) -> Option<SubmitSetup> {
    let from = match &said.from {
        SubmitFrom::Socket => return None,
        SubmitFrom::IntelMqRedis(queue) => SubmitWay::Redis(redis_queue(queue)),
        SubmitFrom::Spool { dir, .. } => SubmitWay::Spool(SpoolDir { dir: dir.clone() }),
        SubmitFrom::IntelMqTcp(place) => SubmitWay::Tcp(TcpIn {
            listen: place.listen,
            allow: place.allow.clone(),
            separator: place.separator.clone(),
            answers: place.answers,
        }),
    };
    let names = (config.name.clone(), config.project.clone());
    let defaults = match &said.from {
        // A message of another system is carried as it came.
        SubmitFrom::Spool { format, .. } if *format != EventFormat::intelmq() => DoorDefaults {
            messages: MessageRule { format: Some(format.clone()), convert: false },
            ids: IdScheme::Body,
            ..DoorDefaults::of(names.0, names.1, config.default_tlp)
        },
        _ => DoorDefaults::to_intelmq(names.0, names.1, config.default_tlp),
    };
    let door = door(defaults, &said.adds);
    Some(SubmitSetup { name: said.name.clone(), door, from })
}

fn redis_queue(said: &config::doors::RedisQueueSettings) -> RedisQueue {
    RedisQueue {
        url: said.url.clone(),
        place: format!("{NODE_FILE}:{}", said.url_line),
        queue: said.queue.clone(),
        password_file: said.password_file.clone(),
        ca_file: said.ca_file.clone(),
    }
}

fn consumer(said: &ConsumerDoorSettings, config: &NodeConfig) -> ConsumerSetup {
    // A spool is Warden's, unless its door says another format.
    let spool = matches!(said.to, ConsumerTo::Spool { .. }).then_some(BodyFormat::Idea);
    let format = said.form.format.or(spool);
    let to = match &said.to {
        ConsumerTo::IntelMqRedis { queue, queue_max } => {
            ConsumerWay::Redis { queue: redis_queue(queue), queue_max: *queue_max }
        }
        ConsumerTo::IntelMqTcp { connect, separator } => {
            ConsumerWay::Tcp(TcpOut { connect: connect.clone(), separator: separator.clone() })
        }
        ConsumerTo::Spool { dir, queue_max, .. } => ConsumerWay::Spool {
            spool: SpoolDir { dir: dir.clone() },
            suffix: format.map_or("json", BodyFormat::as_str),
            queue_max: *queue_max,
        },
    };
    let request = ConsumerRequest {
        name: Some(said.name.clone()),
        from: said.from,
        own: said.own,
        acks: true,
        filter: said.filter.clone(),
    };
    // A bot that finds an element without `__type` in its queue never gets past it.
    let with_type = said.form.with_type || matches!(to, ConsumerWay::Redis { .. });
    let hand_off = IntelmqHandOff {
        hand_off: HandOff { form: said.form.form, format, with_type },
        node: match &said.to {
            ConsumerTo::Spool { node, .. } => {
                Some(node.clone().unwrap_or_else(|| default_node_name(&config.name)))
            }
            _ => None,
        },
        annotate: said.form.annotate,
        strict: said.form.strict,
        sender_feed: said.form.sender_feed,
        relation_fields: said.form.relation_fields.clone(),
        ..IntelmqHandOff::default()
    };
    ConsumerSetup { request, hand_off, harmonization: said.form.harmonization.clone(), to }
}

/// Returns the questions that doors ask of the journal; its store answers them.
pub fn journal_questions(store: &Arc<Store>, log_id: LogId) -> Arc<JournalQuestions> {
    let store = Arc::clone(store);
    let holds = Arc::new(move |mark| -> futures::future::BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move {
            // A journal that cannot be read agrees with nothing: then nothing is skipped.
            let asked = tokio::task::spawn_blocking(move || store.holds(mark).unwrap_or(false));
            asked.await.unwrap_or(false)
        })
    });
    Arc::new(JournalQuestions { log_id, holds })
}
