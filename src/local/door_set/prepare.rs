//! Prepares doors before they open: checks their configuration, and reads the files that they need. All of it may wait
//! for a disk, and nothing of it disturbs the doors that are open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ConsumerHandle;
use super::drive::{DriverParts, drive};
use crate::door::{ConsumerSettings, ConsumerTarget, DoorSettings, RedisQueue, SubmitSettings, SubmitSource};
use crate::format::DoorDefaults;
use crate::format::foreign::BodyFormat;
use crate::identity::PublisherName;
use crate::local::counters::ConsumerCounters;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::marker::HandedFile;
use crate::local::deliver::misp_feed::FeedReceiver;
use crate::local::deliver::redis::QueueReceiver;
use crate::local::deliver::redis::destination::DestinationQueue;
use crate::local::deliver::spool::SpoolReceiver;
use crate::local::deliver::target::DeliveryTarget;
use crate::local::deliver::tcp::TcpReceiver;
use crate::local::deliver::warden::WardenReceiver;
use crate::local::redis::QueuePlace;
use crate::local::submit::door::SubmitOpener;
use crate::local::submit::listening::Listening;
use crate::local::submit::misp::MispPull;
use crate::local::submit::n6::N6Stream;
use crate::local::submit::pulled::PulledDir;
use crate::local::submit::warden::WardenOpener;
use crate::local::{DoorContext, LocalError};
use crate::protocol::io::ConsumerRequest;
use crate::record::ConsumerName;
use crate::status::{ConsumerState, SubmitState};
use crate::time::Timestamp;

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
    pub state: SubmitState,
    pub defaults: DoorDefaults,
    pub aside: Arc<DeadLetter>,
    pub from: Box<dyn SubmitOpener>,
}

/// A `[[consumer]]` that can open.
pub(super) struct ReadyConsumer {
    pub name: String,
    pub state: ConsumerState,
    pub request: ConsumerRequest,
    pub form: ReceiverForm,
    pub aside: Arc<DeadLetter>,
    pub to: TargetOpener,
}

type OpenTarget = Box<dyn FnOnce(DriverParts, &DoorContext) -> ConsumerHandle + Send>;

/// A receiver of any kind that can be connected to.
pub(super) struct TargetOpener {
    /// Where it is, as status shows it.
    shown: String,
    pub open: OpenTarget,
}

impl TargetOpener {
    fn new<R: DeliveryTarget>(
        shown: String,
        make: impl FnOnce(Arc<ConsumerCounters>) -> R + Send + 'static,
    ) -> Self {
        let open = |parts: DriverParts, shared: &DoorContext| {
            let receiver = make(parts.counters.clone());
            drive(parts, receiver, shared)
        };
        Self { shown, open: Box::new(open) }
    }
}

/// Prepares the doors that are not in `same`. `asides` are the files of those that are open.
pub(super) fn plan(
    (settings, plain): (&DoorSettings, &DoorDefaults),
    same: &BTreeSet<String>,
    asides: &BTreeMap<String, Arc<DeadLetter>>,
    shared: &DoorContext,
) -> Planned {
    let aside = |name: &ConsumerName| match asides.get(name.as_str()) {
        Some(aside) => Ok(Arc::clone(aside)),
        None => {
            let dir = shared.behind.state.join("aside");
            DeadLetter::open(&dir, name.as_str()).map_err(|error| LocalError::Io { file: dir, error })
        }
    };
    let keeps = |name: &ConsumerName| same.contains(name.as_str());
    let open_submit = |door: &SubmitSettings, from: Box<dyn SubmitOpener>| {
        Ok(DoorPlan::Open(ReadySubmit {
            name: door.name.to_string(),
            state: SubmitState::at(door.from.word(), from.shown()),
            defaults: door.defaults(plain.clone()),
            aside: aside(&door.name)?,
            from,
        }))
    };
    let open_consumer = |door: &ConsumerSettings| {
        let to = target(door, &plain.publisher, shared)?;
        Ok(DoorPlan::Open(ReadyConsumer {
            name: door.name.to_string(),
            state: ConsumerState::at(door.to.word(), &to.shown, (shared.behind.now)().wall),
            request: door.request(),
            form: ReceiverForm::new(door.hand_off(&plain.publisher), door.form.harmonization.clone())?,
            aside: aside(&door.name)?,
            to,
        }))
    };
    let submits =
        settings.submits.iter().filter_map(|door| Some((door, source(door, &plain.publisher, shared)?)));
    let submits = submits.map(|(door, from)| {
        let plan = if keeps(&door.name) {
            Ok(DoorPlan::Keep)
        } else {
            from.and_then(|from| open_submit(door, from))
        };
        (door.name.to_string(), plan)
    });
    let consumers = settings.consumers.iter().map(|door| {
        let plan = if keeps(&door.name) { Ok(DoorPlan::Keep) } else { open_consumer(door) };
        (door.name.to_string(), plan)
    });
    Planned { submits: submits.collect(), consumers: consumers.collect() }
}

/// Returns the source of a `[[submit]]`, of each kind; `None` for the socket, which is always open.
fn source(
    door: &SubmitSettings,
    node: &PublisherName,
    shared: &DoorContext,
) -> Option<Result<Box<dyn SubmitOpener>, LocalError>> {
    let pulled = || PulledDir::of(&shared.behind.state, door.name.as_str());
    Some(match &door.from {
        SubmitSource::Socket => return None,
        SubmitSource::IntelmqTcp(source) => Ok(Box::new(source.clone())),
        SubmitSource::Spool(source) => Ok(Box::new(source.clone())),
        SubmitSource::Misp(source) => Ok(Box::new(MispPull {
            source: source.clone(),
            pulled: pulled(),
            republish: door.adds.republish,
        })),
        SubmitSource::N6Stream(source) => Ok(Box::new(N6Stream { source: source.clone(), pulled: pulled() })),
        SubmitSource::Warden(source) => Ok(Box::new(WardenOpener {
            node: source.server.node_name(node),
            cursor: shared.behind.state.join("cursors").join(door.name.as_str()),
            source: source.clone(),
        })),
        SubmitSource::IntelmqRedis(queue) => queue_place(queue, &door.name).map(|place| Box::new(place) as _),
    })
}

/// Returns the receiver of a `[[consumer]]`, of each kind.
fn target(
    door: &ConsumerSettings,
    node: &PublisherName,
    shared: &DoorContext,
) -> Result<TargetOpener, LocalError> {
    let handed = || {
        let dir = shared.behind.state.join("handed");
        HandedFile::open(&dir, door.name.as_str()).map_err(|error| LocalError::Io { file: dir, error })
    };
    Ok(match door.to.clone() {
        ConsumerTarget::Spool(target) => {
            let (handed, suffix) = (handed()?, door.format().map_or("json", BodyFormat::as_str));
            TargetOpener::new(target.dir.display().to_string(), move |counters| {
                SpoolReceiver::new(&target, suffix, handed, counters)
            })
        }
        ConsumerTarget::MispFeed(target) => {
            let (handed, publisher, now) = (handed()?, node.clone(), shared.behind.now);
            TargetOpener::new(target.dir.display().to_string(), move |_| {
                FeedReceiver::new(target, publisher, handed, now)
            })
        }
        ConsumerTarget::Warden(server) => {
            let handed = handed()?;
            TargetOpener::new(server.url.to_string(), move |_| WardenReceiver::new(&server, handed))
        }
        ConsumerTarget::IntelmqTcp(target) => {
            let handed = handed()?;
            TargetOpener::new(target.connect.clone(), |counters| TcpReceiver::new(target, handed, counters))
        }
        ConsumerTarget::IntelmqRedis { queue, queue_max } => {
            let place = queue_place(&queue, &door.name)?;
            let queue = DestinationQueue::new(&place.queue, node, door.name.as_str());
            TargetOpener::new(place.to_string(), move |counters| {
                QueueReceiver::new(place.server, queue, queue_max, counters)
            })
        }
    })
}

fn queue_place(queue: &RedisQueue, door: &ConsumerName) -> Result<QueuePlace, LocalError> {
    QueuePlace::of(queue).map_err(|fault| LocalError::Redis {
        line: queue.url_line,
        door: door.to_string(),
        fault,
    })
}

impl ConsumerState {
    /// Returns the state of a door of this kind, to this place, that has handed over nothing yet.
    fn at(to: &str, at: &str, since: Timestamp) -> Self {
        Self { to: to.to_owned(), at: at.to_owned(), since: Some(since), ..Self::default() }
    }
}

impl ReadySubmit {
    /// Listens, if it is a door that does.
    ///
    /// # Errors
    /// [`LocalError::Listen`]: the port is taken.
    pub(crate) fn bind(&self) -> Result<Option<Arc<Listening>>, LocalError> {
        let bind = |listen| {
            let door = self.name.clone();
            Listening::now(listen).map_err(|error| LocalError::Listen { door, listen, error })
        };
        Ok(self.from.listens_on().map(bind).transpose()?.map(Arc::new))
    }
}
