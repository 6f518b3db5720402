//! Prepares doors before they open: checks their configuration, and reads the files that they need. All of it may wait
//! for a disk, and nothing of it disturbs the doors that are open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::{ConsumerSetup, ConsumerWay, DoorSetups, SubmitSetup, SubmitWay};
use crate::format::DoorDefaults;
use crate::local::LocalError;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::marker::HandedFile;
use crate::local::deliver::tcp::TcpOut;
use crate::local::redis::{RedisQueue, RedisServer};
use crate::local::submit::spool::SpoolDir;
use crate::local::submit::tcp::{Listening, TcpIn};
use crate::protocol::io::ConsumerRequest;
use crate::record::ConsumerName;

/// The next step for a door.
pub(super) enum DoorPlan<T> {
    /// It is open as configured.
    Keep,
    Open(T),
}

type Plans<T> = Vec<(String, Result<DoorPlan<T>, LocalError>)>;

/// All doors, in the order of the file.
pub(super) struct Planned {
    pub submits: Plans<ReadySubmit>,
    pub consumers: Plans<ReadyConsumer>,
}

/// A `[[submit]]` that can open.
pub(super) struct ReadySubmit {
    pub name: String,
    pub door: DoorDefaults,
    pub aside: Arc<DeadLetter>,
    pub from: ReadySource,
}

pub(super) enum ReadySource {
    Tcp(TcpIn),
    Redis(RedisServer, RedisQueue),
    Spool(SpoolDir),
}

/// A `[[consumer]]` that can open.
pub(super) struct ReadyConsumer {
    pub name: String,
    pub request: ConsumerRequest,
    pub form: ReceiverForm,
    pub aside: Arc<DeadLetter>,
    pub to: ReadyDestination,
}

pub(super) enum ReadyDestination {
    Tcp(TcpOut, HandedFile),
    Redis { server: Box<RedisServer>, queue: Box<RedisQueue>, queue_max: u64 },
    Spool { spool: SpoolDir, suffix: &'static str, queue_max: u64, handed: HandedFile },
}

/// Prepares the doors that are not in `same`. `asides` are the files of those that are open.
pub(super) fn plan(
    setups: DoorSetups,
    same: &BTreeSet<String>,
    asides: &BTreeMap<String, Arc<DeadLetter>>,
) -> Planned {
    let DoorSetups { submits, consumers, state } = setups;
    let aside = |name: &str| match asides.get(name) {
        Some(aside) => Ok(Arc::clone(aside)),
        None => {
            let dir = state.join("aside");
            DeadLetter::open(&dir, name).map_err(|error| LocalError::Io { file: dir, error })
        }
    };
    let submits = submits.into_iter().map(|setup| {
        let name = setup.name.to_string();
        let keep = same.contains(&name);
        let plan = if keep { Ok(DoorPlan::Keep) } else { submit(setup, aside).map(DoorPlan::Open) };
        (name, plan)
    });
    let consumers = consumers.into_iter().map(|setup| {
        let name = setup.request.name.as_ref().map(ConsumerName::to_string).unwrap_or_default();
        let keep = same.contains(&name);
        let plan =
            if keep { Ok(DoorPlan::Keep) } else { consumer(&name, setup, &state, aside).map(DoorPlan::Open) };
        (name, plan)
    });
    Planned { submits: submits.collect(), consumers: consumers.collect() }
}

fn submit(
    setup: SubmitSetup,
    aside: impl Fn(&str) -> Result<Arc<DeadLetter>, LocalError>,
) -> Result<ReadySubmit, LocalError> {
    let name = setup.name.to_string();
    let from = match setup.from {
        SubmitWay::Tcp(place) => ReadySource::Tcp(place),
        SubmitWay::Redis(queue) => ReadySource::Redis(redis_server(&queue, &name)?, queue),
        SubmitWay::Spool(spool) => ReadySource::Spool(spool),
    };
    Ok(ReadySubmit { aside: aside(&name)?, name, door: setup.door, from })
}

fn consumer(
    name: &str,
    setup: ConsumerSetup,
    state: &Path,
    aside: impl Fn(&str) -> Result<Arc<DeadLetter>, LocalError>,
) -> Result<ReadyConsumer, LocalError> {
    let ConsumerSetup { request, hand_off, harmonization, to } = setup;
    let handed = || {
        let dir = state.join("handed");
        HandedFile::open(&dir, name).map_err(|error| LocalError::Io { file: dir, error })
    };
    let to = match to {
        ConsumerWay::Tcp(place) => ReadyDestination::Tcp(place, handed()?),
        ConsumerWay::Spool { spool, suffix, queue_max } => {
            ReadyDestination::Spool { spool, suffix, queue_max, handed: handed()? }
        }
        ConsumerWay::Redis { queue, queue_max } => {
            let server = Box::new(redis_server(&queue, name)?);
            ReadyDestination::Redis { server, queue: Box::new(queue), queue_max }
        }
    };
    let form = ReceiverForm::new(hand_off, harmonization)?;
    Ok(ReadyConsumer { name: name.to_owned(), request, form, aside: aside(name)?, to })
}

fn redis_server(queue: &RedisQueue, door: &str) -> Result<RedisServer, LocalError> {
    queue.server().map_err(|fault| LocalError::Redis {
        place: queue.place.clone(),
        door: door.to_owned(),
        fault,
    })
}

impl ReadySubmit {
    pub fn listens_on(&self) -> Option<SocketAddr> {
        match &self.from {
            ReadySource::Tcp(place) => Some(place.listen),
            ReadySource::Redis(..) | ReadySource::Spool(_) => None,
        }
    }

    /// Listens, if it is a door that does.
    ///
    /// # Errors
    /// [`LocalError::Listen`]: the port is taken.
    pub fn bind(&self) -> Result<Option<Arc<Listening>>, LocalError> {
        let bind = |listen| {
            let door = self.name.clone();
            Listening::now(listen).map_err(|error| LocalError::Listen { door, listen, error })
        };
        Ok(self.listens_on().map(bind).transpose()?.map(Arc::new))
    }
}
