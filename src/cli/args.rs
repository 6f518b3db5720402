//! Every verb, flag and help text of the command line, in one definition: parsing, `--help` and completions
//! come from it. What the verbs do is in the file of their noun.

mod aside;
mod client;
mod consumer;
mod convert;
mod event;
mod peer;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::values::{body_format, health_code, label, link, rewind_place, seconds, whole};
use crate::control::RewindPlace;
use crate::format::foreign::BodyFormat;
use crate::identity::PublisherName;
use crate::invitation::INVITATION_VALID_MS;
use crate::limits::DAY_MS;
use crate::policy::Tlp;
use crate::status::HealthCode;

pub(crate) use aside::AsideVerb;
pub(crate) use client::{ClientAddArgs, ClientVerb};
pub(crate) use consumer::ConsumerVerb;
pub(crate) use convert::{ConvertArgs, ConvertForm};
pub(crate) use event::{EventListArgs, EventVerb, TraceArgs};
pub(crate) use peer::{PeerAddArgs, PeerCheckArgs, PeerVerb};
pub(crate) use values::{LinkEnd, LinkFlag};

/// A peer-to-peer federation node with which CERTs and CSIRTs exchange incident events directly.
#[derive(Debug, Parser)]
#[command(
    name = "intelmesh",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:
  intelmesh demo                                   see three nodes exchange events
  intelmesh init /srv/mesh --name cert-at          make a node
  intelmesh run -C /srv/mesh                       run it
  intelmesh invite -C /srv/mesh                    print the line with which a peer adds us
  intelmesh peer add -C /srv/mesh intelmesh1…      add a peer
  intelmesh status -C /srv/mesh                    is all well?

Exit codes: 0 done, 1 the answer is negative, 2 could not do it."
)]
pub(crate) struct Cli {
    /// The node's directory
    #[arg(short = 'C', value_name = "DIR", global = true, hide_default_value = true)]
    pub dir: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new node: its configuration, its keys, and an empty peers/.
    #[command(after_help = "Examples:
  intelmesh init /srv/mesh --name cert-at
  intelmesh init /srv/mesh --name cert-at --advertise /dns4/mesh.cert.at/tcp/4801
  intelmesh init a --name cert-at --listen /ip4/127.0.0.1/tcp/4801
  intelmesh init                               on a terminal: asks what it needs")]
    Init(InitArgs),
    /// Run the node in the foreground until SIGTERM; prints `ready NAME MULTIADDR…` once all doors are open.
    #[command(after_help = "Examples:
  intelmesh run -C /srv/mesh")]
    Run(DirArgs),
    /// Show IEP04's example with three real nodes on loopback: relay, duplicates, loop, and a node that was away.
    #[command(after_help = "Examples:
  intelmesh demo")]
    Demo,
    /// Print this node's invitation: one signed line with which a peer adds it.
    #[command(after_help = "Examples:
  intelmesh invite -C /srv/mesh > cert-at.invitation      send it by a way that both trust
  intelmesh invite -C /srv/mesh --days 30 --address /ip4/10.0.0.7/tcp/4801")]
    Invite(InviteArgs),
    /// Add, list, check, pause or remove peers: the nodes with which we exchange events.
    #[command(subcommand, arg_required_else_help = true)]
    Peer(PeerVerb),
    /// Submit JSON lines from FILE or stdin to the running node, and print its answer to each.
    #[command(after_help = "Examples:
  intelmesh submit -C /srv/mesh events.jsonl
  tail -F feed.jsonl | intelmesh submit -C /srv/mesh --tlp AMBER --to cert-ee,cert-pl -
  intelmesh submit -C /srv/mesh --to cert-ee,cert-pl --seal secret.jsonl    only they can read it
  intelmesh submit -C /srv/mesh --link same-incident=72ddb00c more.jsonl

Exits 1 if any line was answered with an error.")]
    Submit(SubmitArgs),
    /// Print events of the running node as JSON lines: first the stored ones, then new ones as they arrive.
    #[command(after_help = "Examples:
  intelmesh tail -C /srv/mesh --from earliest --count 10
  intelmesh tail -C /srv/mesh --pretty          a line for people
  intelmesh tail -C /srv/mesh --consumer soc | my-pipeline      resumes after what was printed")]
    Tail(TailArgs),
    /// List events; show, trace, export, verify, withdraw or replace one, or decide about one that waits.
    #[command(subcommand, arg_required_else_help = true)]
    Event(EventVerb),
    /// Confirm that the system clock is correct after a jump.
    #[command(subcommand, arg_required_else_help = true)]
    Clock(ClockVerb),
    /// Show this node's keys, make new ones, or revoke one.
    #[command(subcommand, arg_required_else_help = true)]
    Key(KeyVerb),
    /// Show whether all is well, then peers, journal, consumers, strangers and errors.
    #[command(after_help = "Examples:
  intelmesh status -C /srv/mesh
  intelmesh status -C /srv/mesh --check        one line; exits 1 if something is wrong
  intelmesh status -C /srv/mesh --watch        rates and lags as they change
  intelmesh status --ack rejected_by_peer      seen: not shown any more, unless it happens again
  intelmesh status -C /srv/mesh --json | jq '.peers[] | {name, connected}'")]
    Status(StatusArgs),
    /// Make the running node read intelmesh.toml again; prints what changed at once and what needs a restart.
    #[command(after_help = "Examples:
  intelmesh reload -C /srv/mesh

Doors, labels, retention, advertise and log change at once; name, federation, listen,
socket_group and paths at the next start. Exits 1 if the file cannot be used: then nothing changes.")]
    Reload(DirArgs),
    /// Check configuration, keys, peers and permissions, and list every fault; needs no running node.
    #[command(after_help = "Examples:
  intelmesh check -C /srv/mesh

Exits 1 if something is wrong; warnings alone exit 0.")]
    Check(DirArgs),
    /// Write configuration, keys, peers and lists into one file, for `restore`; needs no running node.
    #[command(after_help = "Examples:
  intelmesh backup -C /srv/mesh mesh.tar
  intelmesh backup - -C /srv/mesh | age -p > mesh.tar.age

It has the private keys: keep it encrypted. The journal is not in it: peers hold the events.")]
    Backup {
        /// A new file, a tar archive; - is stdout
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Make the node of a backup again, in a directory that is none yet.
    #[command(after_help = "Examples:
  intelmesh restore mesh.tar /srv/mesh
  age -d mesh.tar.age | intelmesh restore - /etc/intelmesh

The node that was backed up must never run again: one key is one running node.")]
    Restore {
        /// A file that `backup` wrote; - is stdin
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// The directory to make
        #[arg(value_name = "DIR")]
        node: Option<PathBuf>,
    },
    /// Print what somebody who helps has to know: status, check, configuration, files; no secret and no event.
    #[command(after_help = "Examples:
  intelmesh doctor -C /srv/mesh > report.txt

Read it before you send it: it names your peers and doors.")]
    Doctor(DirArgs),
    /// Show the feeds from peers, or read one again.
    #[command(subcommand, arg_required_else_help = true)]
    Feed(FeedVerb),
    /// List, show, remove or rewind consumers: readers whose position the node keeps.
    #[command(subcommand, arg_required_else_help = true)]
    Consumer(ConsumerVerb),
    /// Add, list or remove clients: who may read and post over HTTP, without a node of its own.
    #[command(subcommand, arg_required_else_help = true)]
    Client(ClientVerb),
    /// List events that a door could not pass on (its dead-letter queue), or retry them.
    #[command(subcommand, arg_required_else_help = true)]
    Aside(AsideVerb),
    /// Convert JSON lines between the formats intelmq, idea, n6 and misp, and say what was lost or moved.
    #[command(after_help = "Examples:
  intelmesh convert --from idea --to intelmq messages.jsonl > events.jsonl
  intelmesh tail --count 100 | intelmesh convert --from intelmq --to idea -

Needs no node and no directory. Exits 1 if a line could not be converted.")]
    Convert(ConvertArgs),
    /// Print completions for a shell.
    #[command(after_help = "Examples:
  intelmesh completions bash > /usr/share/bash-completion/completions/intelmesh
  intelmesh completions zsh > /usr/share/zsh/site-functions/_intelmesh
  intelmesh completions fish > /usr/share/fish/vendor_completions.d/intelmesh.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory, for packages.
    #[command(hide = true)]
    Man {
        /// A directory that exists
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DirArgs {
    /// The node's directory, as `init` made it; the same as -C
    #[arg(value_name = "DIR")]
    pub node: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The directory to make: /etc/intelmesh if it was installed from a package
    #[arg(value_name = "DIR")]
    pub node: Option<PathBuf>,
    /// The organisation's short name, as peers will know it: a-z, 0-9 and "-", at most 32
    #[arg(long)]
    pub name: Option<PublisherName>,
    /// Address at which this node listens for peers [default: /ip4/0.0.0.0/tcp/4801]; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Address at which peers reach this node from outside, for invitations; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    pub advertise: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// How long it may be used, 1 to 90 days
    #[arg(long, value_name = "DAYS", default_value_t = INVITATION_VALID_MS / DAY_MS,
        value_parser = |text: &str| whole(text, 1..=90_u64))]
    pub days: u64,
    /// Address at which this peer reaches us, instead of those of intelmesh.toml; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    pub address: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// JSON lines [default: stdin]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only for these peers, or the members of these groups
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub to: Vec<PublisherName>,
    /// The least strict label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED; an event with a stricter one keeps it
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub tlp: Option<Tlp>,
    /// Encrypt to the recipients: relays cannot read it
    #[arg(long)]
    pub seal: bool,
    /// Link each event to another one (docs/LINKS.md): same-incident=72ddb00c; may be repeated
    #[arg(long, value_name = "TYPE=ID", value_parser = link)]
    pub link: Vec<LinkFlag>,
    /// Send nothing: show who would get each event, sealed or not, and by which rule; needs no running node
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// IEP04's draft: seq, meta and payload
    Iep04,
    /// The payload alone
    Plain,
    /// AIL exchange format
    Ail,
}

impl OutputForm {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Iep04 => "iep04",
            Self::Plain => "plain",
            Self::Ail => "ail",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Name of a consumer. The node keeps its position: the next call continues after the last printed event
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Where to begin: earliest, now, a seq, an RFC 3339 time, or a span before now (2h, 7d); only used if the consumer has no position yet [default: now; for a new consumer: earliest]
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// What a line looks like [default: iep04]
    #[arg(long, value_enum)]
    pub form: Option<OutputForm>,
    /// One aligned line for each event, for people; two on a terminal with less than 120 columns
    #[arg(long, conflicts_with = "form")]
    pub pretty: bool,
    /// Convert bodies of other formats to this one: intelmq, idea or n6
    #[arg(long, value_name = "FORMAT", value_parser = body_format)]
    pub format: Option<BodyFormat>,
    /// Also print events that this node published
    #[arg(long)]
    pub own: bool,
    /// Stop after this many lines
    #[arg(long, value_name = "N", value_parser = |text: &str| whole(text, 0..=u64::MAX))]
    pub count: Option<u64>,
    /// Stop after this many seconds without an event
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub idle: Option<std::time::Duration>,
    /// Print only events that this CEL expression admits (docs/FILTERS.md)
    #[arg(long, value_name = "CEL")]
    pub filter: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockVerb {
    /// Confirm that the system clock is right, so that retention and the floor of dates go on.
    #[command(after_help = "Examples:
  intelmesh clock accept -C /srv/mesh")]
    Accept,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Show the keys in use, and the fingerprint in words that peers compare.
    #[command(after_help = "Examples:
  intelmesh key show -C /srv/mesh")]
    Show,
    /// Make new keys for signing and sealing, and announce them to peers; older signatures stay valid.
    #[command(after_help = "Examples:
  intelmesh key rotate -C /srv/mesh
  intelmesh key rotate --compromised        somebody else may have the signing key")]
    Rotate {
        /// Somebody else may have the present signing key: its events that a peer does not hold yet wait for that
        /// peer's operator
        #[arg(long)]
        compromised: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Refuse new events signed by a peer's key, no matter who delivers them; without NAME, revoke our own key forever.
    #[command(after_help = "Examples:
  intelmesh key revoke cert-ee              here alone, by our own decision
  intelmesh key revoke --statement FILE     by the line that their init printed: for all nodes
  intelmesh key revoke                      the end of this node: for all nodes")]
    Revoke {
        /// The peer: the name of its file in peers/ [default: this node itself]
        name: Option<PublisherName>,
        /// A file with the revocation line that `init` printed, of this node or of a peer; - is stdin
        #[arg(long, value_name = "FILE", conflicts_with = "name")]
        statement: Option<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// Print the first line only; exit 1 unless it begins with ok or starting
    #[arg(long)]
    pub check: bool,
    /// Answer as a plugin of Nagios: exit 0 ok, 1 warning, 2 critical, 3 unknown, with performance data
    #[arg(long, conflicts_with_all = ["check", "json"])]
    pub nagios: bool,
    /// Show peers with their rates and lags, renewed every 2 s, until ^C
    #[arg(long, conflicts_with_all = ["check", "json", "nagios"])]
    pub watch: bool,
    /// End the incidents under this health code; they are shown again if they happen again
    #[arg(long, value_name = "CODE", value_parser = health_code, conflicts_with_all = ["check", "nagios", "watch"])]
    pub ack: Option<HealthCode>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedVerb {
    /// Show how far each feed has been read, what is owed, and what would be read again if trust changed.
    #[command(after_help = "Examples:
  intelmesh feed show
  intelmesh feed show cert-ee --json")]
    Show {
        /// One peer only: the name of its file in peers/
        peer: Option<PublisherName>,
    },
    /// Ask a peer again for its entries, from a given place of its journal on.
    #[command(after_help = "Examples:
  intelmesh feed rewind cert-ee --to earliest
  intelmesh feed rewind cert-ee --to 2026-11-20T10:00:00Z")]
    Rewind {
        /// The peer: the name of its file in peers/
        peer: PublisherName,
        /// A seq of its journal, an RFC 3339 time, or earliest
        #[arg(long, value_name = "PLACE", value_parser = rewind_place)]
        to: RewindPlace,
    },
    /// Compare with the whole journal of a peer, and fetch what is missing.
    #[command(after_help = "Examples:
  intelmesh feed repair cert-ee")]
    Repair {
        /// The peer: the name of its file in peers/
        peer: PublisherName,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_directory_may_stand_anywhere() {
        for line in [
            "intelmesh -C d status",
            "intelmesh status -C d",
            "intelmesh peer -C d list",
            "intelmesh peer list -C d",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.dir, Some(PathBuf::from("d")), "{line}");
        }
    }

    #[test]
    fn every_verb_and_argument_is_described_with_an_example() {
        fn look(command: &clap::Command, path: &str) {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                let name = format!("{path} {}", verb.get_name());
                let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about}");
                for argument in verb.get_arguments() {
                    assert!(
                        argument.get_help().is_some(),
                        "{name}: {} has no description",
                        argument.get_id()
                    );
                }
                let wide = |line: &str| line.chars().count() > 100;
                let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(!after.lines().any(wide), "{name}: broken in mid line by a terminal:\n{after}");
                if verb.has_subcommands() {
                    look(verb, &name);
                } else if !about.contains("not built yet") {
                    let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(after.contains("Examples:\n  ") && after.contains("intelmesh"), "{name}");
                }
            }
        }
        look(&Cli::command(), "intelmesh");
    }
}
