//! From what `intelmesh.toml` says of doors to what `local` opens: each adapter has types of its own, and
//! this is where they meet. No rules here but the defaults that depend on the kind of door.

use std::sync::Arc;

use crate::config::NodeConfig;
use crate::config::doors::{ConsumerDoor, ConsumerTo, DoorAdds, SubmitDoor, SubmitFrom};
use crate::format::{Door, HandOff};
use crate::identity::LogId;
use crate::local::{
    ConsumerSetup, ConsumerWay, DoorSetups, JournalQuestions, LocalError, SubmitSetup, SubmitWay, TcpIn,
    TcpOut,
};
use crate::protocol::io::ConsumerRequest;
use crate::store::Store;

/// The doors of `config`, but for the socket's.
///
/// # Errors
/// A kind of door that is not built.
pub fn door_setups(config: &NodeConfig) -> Result<DoorSetups, LocalError> {
    let said = config.doors.submits.iter().filter(|door| door.from != SubmitFrom::Socket);
    let submits = said.map(|door| submit(door, config)).collect::<Result<_, _>>()?;
    let consumers = config.doors.consumers.iter().map(consumer).collect::<Result<_, _>>()?;
    Ok(DoorSetups { submits, consumers, state: config.paths.state.clone() })
}

/// What `in.sock` adds to each line: what a `[[submit]]` from the socket says, or nothing.
pub fn socket_door(config: &NodeConfig) -> Door {
    let said = config.doors.submits.iter().find(|door| door.from == SubmitFrom::Socket);
    let plain = Door::of(config.name.clone(), config.project.clone(), config.default_tlp);
    match said {
        Some(said) => door(plain, &said.adds),
        None => plain,
    }
}

fn door(door: Door, adds: &DoorAdds) -> Door {
    Door {
        tlp: adds.tlp,
        to: adds.to.clone(),
        ids: adds.ids.unwrap_or(door.ids),
        strip: adds.strip.clone().unwrap_or(door.strip),
        republish: adds.republish,
        multiple_values: adds.multiple_values,
        ..door
    }
}

fn submit(said: &SubmitDoor, config: &NodeConfig) -> Result<SubmitSetup, LocalError> {
    let from = match &said.from {
        SubmitFrom::Socket | SubmitFrom::IntelMqRedis(_) => {
            return Err(LocalError::NotBuilt(said.name.to_string()));
        }
        SubmitFrom::IntelMqTcp(place) => SubmitWay::Tcp(TcpIn {
            listen: place.listen,
            allow: place.allow.clone(),
            separator: place.separator.clone(),
        }),
    };
    let intelmq = Door::to_intelmq(config.name.clone(), config.project.clone(), config.default_tlp);
    let door = door(intelmq, &said.adds);
    Ok(SubmitSetup { name: said.name.clone(), door, from })
}

fn consumer(said: &ConsumerDoor) -> Result<ConsumerSetup, LocalError> {
    let to = match &said.to {
        ConsumerTo::IntelMqRedis { .. } => return Err(LocalError::NotBuilt(said.name.to_string())),
        ConsumerTo::IntelMqTcp { connect, separator } => {
            ConsumerWay::Tcp(TcpOut { connect: connect.clone(), separator: separator.clone() })
        }
    };
    let request =
        ConsumerRequest { name: Some(said.name.clone()), from: said.from, own: said.own, acks: true };
    let hand_off = HandOff { form: said.form.form, with_type: said.form.with_type };
    Ok(ConsumerSetup { request, hand_off, to })
}

/// What the doors ask of the journal, answered by its store.
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
