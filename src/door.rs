//! The doors to the local pipeline as configured, `[[submit]]` and `[[consumer]]` (CONTRACT.md §4): `config` reads them
//! from `intelmesh.toml`, and `local` opens them. Each kind of door is one variant with its own keys. Nothing here reads
//! a file or connects.

mod url;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::envelope::IdScheme;
use crate::event::EventFormat;
use crate::filter::Filter;
use crate::format::foreign::feed::FeedIdentity;
use crate::format::foreign::{BodyFormat, default_node_name, is_node_name};
use crate::format::intelmq::{IntelmqHandOff, RelationFields, SenderFeed};
use crate::format::{
    DeliveryForm, DoorDefaults, FieldRemoval, HandOff, MessageRule, MultipleValues, StripRule,
};
use crate::identity::PublisherName;
use crate::policy::Tlp;
use crate::protocol::io::{ConsumerRequest, StartPosition};
use crate::record::ConsumerName;

pub(crate) use url::ServerUrl;

/// A line of `intelmesh.toml`, for messages. A door that moved to another one is the same door: so all lines are equal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DoorLine(pub usize);

impl PartialEq for DoorLine {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for DoorLine {}

impl std::fmt::Display for DoorLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// All doors of one node, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DoorSettings {
    pub submits: Vec<SubmitSettings>,
    pub consumers: Vec<ConsumerSettings>,
}

impl DoorSettings {
    /// Returns the names of all doors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ConsumerName> {
        let submits = self.submits.iter().map(|door| &door.name);
        submits.chain(self.consumers.iter().map(|door| &door.name))
    }

    /// Returns the effects of `in.sock` on each line: those of a `[[submit]]` from the socket, or `plain`.
    pub(crate) fn at_socket(&self, plain: DoorDefaults) -> DoorDefaults {
        match self.submits.iter().find(|door| door.from == SubmitSource::Socket) {
            Some(door) => door.defaults(plain),
            None => plain,
        }
    }

    /// Returns the queues in Redis, with the names of their doors.
    pub(crate) fn redis_queues(&self) -> impl Iterator<Item = (&ConsumerName, &RedisQueue)> {
        let submits = self.submits.iter().filter_map(|door| match &door.from {
            SubmitSource::IntelmqRedis(queue) => Some((&door.name, queue)),
            _ => None,
        });
        submits.chain(self.consumers.iter().filter_map(|door| match &door.to {
            ConsumerTarget::IntelmqRedis { queue, .. } => Some((&door.name, queue)),
            ConsumerTarget::IntelmqTcp(_)
            | ConsumerTarget::Spool(_)
            | ConsumerTarget::Warden(_)
            | ConsumerTarget::MispFeed(_) => None,
        }))
    }
}

impl DoorSettings {
    fn warden_servers(&self) -> impl Iterator<Item = (&ConsumerName, &WardenServer)> {
        let submits = self.submits.iter().filter_map(|door| match &door.from {
            SubmitSource::Warden(source) => Some((&door.name, &source.server)),
            _ => None,
        });
        submits.chain(self.consumers.iter().filter_map(|door| match &door.to {
            ConsumerTarget::Warden(server) => Some((&door.name, server)),
            _ => None,
        }))
    }

    /// Returns the files that doors read when they connect, each with its door and key.
    pub(crate) fn files(&self) -> Vec<(&ConsumerName, &'static str, &Path)> {
        let of_redis = self.redis_queues().flat_map(|(name, queue)| {
            [("password_file", queue.password_file.as_ref()), ("ca_file", queue.ca_file.as_ref())]
                .map(|(key, file)| (name, key, file))
        });
        let of_warden = self.warden_servers().flat_map(|(name, server)| {
            let (cert, key) = server.identity.as_ref().map(|(cert, key)| (cert, key)).unzip();
            let files = [("secret_file", server.secret_file.as_ref()), ("ca_file", server.ca_file.as_ref())];
            files
                .into_iter()
                .chain([("cert_file", cert), ("key_file", key)])
                .map(move |(k, file)| (name, k, file))
        });
        let of_others = self.submits.iter().flat_map(|door| {
            let (key, secret, ca_file) = match &door.from {
                SubmitSource::Misp(source) => ("key_file", Some(&source.key_file), source.ca_file.as_ref()),
                SubmitSource::N6Stream(source) => {
                    ("password_file", Some(&source.password_file), source.ca_file.as_ref())
                }
                _ => ("", None, None),
            };
            [(&door.name, key, secret), (&door.name, "ca_file", ca_file)]
        });
        let files = of_redis.chain(of_warden).chain(of_others);
        files.filter_map(|(name, key, file)| Some((name, key, file?.as_path()))).collect()
    }
}

/// `[[submit]]`: events of the pipeline come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubmitSettings {
    /// Names the door in status, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub from: SubmitSource,
    pub adds: DoorAdds,
}

impl SubmitSettings {
    /// Returns the effects of this door on each line, as changes to `plain`. A key that is not given has the default of
    /// the kind of door.
    pub(crate) fn defaults(&self, plain: DoorDefaults) -> DoorDefaults {
        let plain = match (&self.from, self.from.carries()) {
            (SubmitSource::Socket, _) => plain,
            // A message of another system is carried as it came.
            (_, format @ Some(_)) => DoorDefaults {
                ids: IdScheme::Body,
                // Parts of a MISP event are no messages of their own: they are converted.
                messages: MessageRule { format, convert: matches!(self.from, SubmitSource::Misp(_)) },
                ..plain
            },
            _ => plain.at_intelmq(),
        };
        let adds = self.adds.clone();
        DoorDefaults {
            tlp: adds.tlp,
            to: adds.to,
            ids: adds.ids.unwrap_or(plain.ids),
            removal: FieldRemoval {
                strip: adds.strip.unwrap_or(plain.removal.strip),
                mask_secrets: adds.mask_secrets.unwrap_or(plain.removal.mask_secrets),
            },
            republish: adds.republish,
            seal: adds.seal,
            multiple_values: adds.multiple_values,
            messages: MessageRule { convert: adds.convert || plain.messages.convert, ..plain.messages },
            ..plain
        }
    }
}

/// The kinds of `[[submit]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubmitSource {
    /// `run/in.sock`, which is always there: such a section says what it adds.
    Socket,
    IntelmqTcp(TcpSource),
    IntelmqRedis(RedisQueue),
    /// A directory as Warden's filer uses it.
    Spool(SpoolSource),
    Misp(MispSource),
    N6Stream(N6Source),
    Warden(WardenSource),
}

impl SubmitSource {
    /// Returns the format of its messages, if it is not IntelMQ's.
    fn carries(&self) -> Option<EventFormat> {
        match self {
            Self::Spool(spool) => {
                Some(spool.format.clone()).filter(|format| *format != EventFormat::intelmq())
            }
            Self::Warden(_) => EventFormat::parse("idea"),
            Self::N6Stream(_) => EventFormat::parse("n6"),
            Self::Misp(_) => EventFormat::parse("misp"),
            _ => None,
        }
    }

    /// Returns the word for it in `from`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::IntelmqTcp(_) => "intelmq-tcp",
            Self::IntelmqRedis(_) => "intelmq-redis",
            Self::Spool(_) => "spool",
            Self::Misp(_) => "misp",
            Self::N6Stream(_) => "n6-stream",
            Self::Warden(_) => "warden",
        }
    }
}

/// A Warden server that is asked for new messages each time that `poll` has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WardenSource {
    pub server: WardenServer,
    pub poll: Duration,
}

/// A Warden 3 server, and how it knows this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WardenServer {
    pub url: ServerUrl,
    /// The name of this client at the server.
    pub client: Option<String>,
    /// Holds the secret that is sent instead of the name.
    pub secret_file: Option<PathBuf>,
    /// Files with the certificate of this client and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Certificates that the server's is checked against, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    /// The name of this node in the `Node` list of messages, if it is not that of the client.
    pub node: Option<String>,
}

impl WardenServer {
    /// Returns the name of this node in the `Node` list of messages.
    pub(crate) fn node_name(&self, publisher: &PublisherName) -> String {
        let client = self.client.clone().filter(|client| is_node_name(client));
        self.node.clone().or(client).unwrap_or_else(|| default_node_name(publisher))
    }
}

/// A directory with messages of one format in `incoming`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoolSource {
    pub dir: PathBuf,
    pub format: EventFormat,
}

/// The events of a MISP, over its REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MispSource {
    pub url: ServerUrl,
    /// Holds the key of an account there.
    pub key_file: PathBuf,
    /// Certificates that the server's is checked against, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    /// Only events with one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Pause between two rounds.
    pub poll: Duration,
}

/// The stream of an n6, from a broker that speaks STOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct N6Source {
    pub broker: BrokerAddress,
    pub login: String,
    /// Holds the API key, which is the password at the broker, too.
    pub password_file: PathBuf,
    /// Certificates that the servers' are checked against, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    pub destinations: Vec<String>,
    /// The REST interface, which has the messages of the time without a connection.
    pub rest_url: Option<ServerUrl>,
}

impl N6Source {
    /// Returns the resources of n6 to which the destinations belong: `/exchange/ORGANISATION/RESOURCE.…`.
    pub(crate) fn resources(&self) -> Vec<&'static str> {
        let first = |place: &'_ String| place.rsplit('/').next()?.split('.').next().map(str::to_owned);
        let named: Vec<_> = self.destinations.iter().filter_map(first).collect();
        let is_wanted = |known: &&str| {
            named.iter().any(|name| name == known || !matches!(name.as_str(), "inside" | "threats"))
        };
        ["inside", "threats"].into_iter().filter(is_wanted).collect()
    }
}

/// A broker: `stomp+ssl://HOST[:PORT]`, or without TLS on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    pub url: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// We are the collector: IntelMQ's TCP output connects here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpSource {
    pub listen: SocketAddr,
    /// Networks that may connect; empty: this machine.
    pub allow: Vec<IpNet>,
    /// Ends each event, instead of a length before it.
    pub separator: Option<String>,
    /// False: the sender reads no `Ok`.
    pub answers: bool,
}

/// A queue of a bot of IntelMQ's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisQueue {
    /// `redis://`, `rediss://`, `redis+unix://` or `unix:`, with the database and perhaps a password in it.
    pub url: String,
    pub url_line: DoorLine,
    pub queue: String,
    /// Holds the password, so that it need not stand in the configuration.
    pub password_file: Option<PathBuf>,
    /// Certificates that the server's is checked against, instead of this machine's.
    pub ca_file: Option<PathBuf>,
}

/// Changes of a door to each event on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorAdds {
    pub tlp: Option<Tlp>,
    pub to: Vec<PublisherName>,
    pub ids: Option<IdScheme>,
    /// `None`: the default list of IntelMQ's doors, nothing at the socket.
    pub strip: Option<Vec<StripRule>>,
    /// `None`: as `strip`, at IntelMQ's doors and not at the socket.
    pub mask_secrets: Option<bool>,
    pub republish: bool,
    /// Everything is sealed to its recipients.
    pub seal: bool,
    pub multiple_values: MultipleValues,
    /// Messages of other formats become IntelMQ events before they are signed.
    pub convert: bool,
}

/// `[[consumer]]`: accepted events are handed to the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerSettings {
    /// Names its position in the journal, and `aside/NAME.jsonl`.
    pub name: ConsumerName,
    pub to: ConsumerTarget,
    pub form: ConsumerForm,
    /// Start position while it has none of its own; `None`: the earliest event.
    pub from: Option<StartPosition>,
    /// Also events that this node published.
    pub own: bool,
    pub filter: Option<Arc<Filter>>,
    /// Line of the filter.
    pub filter_line: Option<DoorLine>,
}

impl ConsumerSettings {
    /// Returns the request that this door sends to the core.
    pub(crate) fn request(&self) -> ConsumerRequest {
        ConsumerRequest {
            name: Some(self.name.clone()),
            from: self.from,
            own: self.own,
            acks: true,
            filter: self.filter.clone(),
        }
    }

    /// Returns the form of events that leave here, with IntelMQ's own list of fields.
    pub(crate) fn hand_off(&self, publisher: &PublisherName) -> IntelmqHandOff {
        let form = &self.form;
        // A bot that finds an element without `__type` in its queue never gets past it.
        let with_type = form.with_type || matches!(self.to, ConsumerTarget::IntelmqRedis { .. });
        let node = match &self.to {
            ConsumerTarget::Spool(target) => {
                Some(target.node.clone().unwrap_or_else(|| default_node_name(publisher)))
            }
            ConsumerTarget::Warden(server) => Some(server.node_name(publisher)),
            _ => None,
        };
        IntelmqHandOff {
            hand_off: HandOff { form: self.delivery_form(), format: self.format(), with_type },
            node,
            annotate: form.annotate,
            strict: form.strict,
            sender_feed: form.sender_feed,
            relation_fields: form.relation_fields.clone(),
            ..IntelmqHandOff::default()
        }
    }
}

impl ConsumerSettings {
    /// Returns the format of bodies that leave here, if they are converted. A spool is Warden's, unless its door says
    /// another format.
    pub(crate) fn format(&self) -> Option<BodyFormat> {
        match self.to {
            ConsumerTarget::Spool(_) | ConsumerTarget::Warden(_) => {
                self.form.format.or(Some(BodyFormat::Idea))
            }
            ConsumerTarget::MispFeed(_) => Some(BodyFormat::Intelmq),
            _ => self.form.format,
        }
    }

    /// A feed is made from the meta of each event too.
    fn delivery_form(&self) -> DeliveryForm {
        match self.to {
            ConsumerTarget::MispFeed(_) => DeliveryForm::Iep04,
            _ => self.form.form,
        }
    }
}

/// The kinds of `[[consumer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerTarget {
    IntelmqTcp(TcpTarget),
    /// Pushes into a bot's queue, and waits while that is longer than `queue_max`.
    IntelmqRedis {
        queue: RedisQueue,
        queue_max: u64,
    },
    Spool(SpoolTarget),
    MispFeed(FeedTarget),
    Warden(WardenServer),
}

impl ConsumerTarget {
    /// Returns the word for it in `to`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::IntelmqTcp(_) => "intelmq-tcp",
            Self::IntelmqRedis { .. } => "intelmq-redis",
            Self::Spool(_) => "spool",
            Self::MispFeed(_) => "misp-feed",
            Self::Warden(_) => "warden",
        }
    }
}

/// Writes a feed that MISP reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedTarget {
    pub dir: PathBuf,
    pub identity: FeedIdentity,
}

/// Writes files for Warden's filer, and waits while `incoming` has `queue_max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoolTarget {
    pub dir: PathBuf,
    pub queue_max: u64,
    /// The name of this node in messages of IDEA; made from its name if it is missing.
    pub node: Option<String>,
}

/// We are the output: connects to IntelMQ's TCP collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpTarget {
    /// Host and port; a name is looked up for each connection.
    pub connect: String,
    /// Ends each event, instead of a length before it.
    pub separator: Option<String>,
}

/// How events leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerForm {
    pub form: DeliveryForm,
    /// Bodies of another format are converted to this one.
    pub format: Option<BodyFormat>,
    pub with_type: bool,
    /// Adds `extra.intelmesh.*`, by which a loop through the pipeline is noticed.
    pub annotate: bool,
    /// Sets aside events that would have to be adapted.
    pub strict: bool,
    /// The sender's `time.observation` and `feed.*` replace the receiver's.
    pub sender_feed: SenderFeed,
    /// The receiver's field list; `None`: IntelMQ 3.5.0's.
    pub harmonization: Option<PathBuf>,
    /// The fields of plain events that say which event withdraws or replaces which.
    pub relation_fields: RelationFields,
}
