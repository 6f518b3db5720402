//! The text of a new node's `intelmesh.toml`: each key with what it is for, defaults and examples as comments.
//! Nothing is written here.

use super::node::{FEDERATION_DEFAULT, LISTEN_DEFAULT, METRICS_LISTEN_DEFAULT, PROJECT_DEFAULT};
use crate::format::StripRule;
use crate::identity::{ProjectName, PublisherName};

/// The settings that `init` was given.
#[derive(Clone, Debug)]
pub(crate) struct NewNode {
    pub name: PublisherName,
    pub federation: Option<ProjectName>,
    /// Empty: the default.
    pub listen: Vec<String>,
    pub advertise: Vec<String>,
    /// The directories for `state` and `run`, if they do not lie in the node's.
    pub places: Option<(&'static str, &'static str)>,
}

/// A key of the whole file, so it stands above the tables.
const ON_HEALTH: &str = r#"# Runs at each change of health, with INTELMESH_CODE, _STATE (begins or ends), _PEER, _DOOR, _CONSUMER, _WHAT and
# _HINT in its environment. (restart)
# on_health = ["/usr/local/bin/tell-us"]"#;

const OTHER_PLACES: &str = r#"# keys = "keys"
# peers = "peers"
# groups = "groups"
# lists = "lists"
# clients = "clients""#;

/// `default_tlp` is the last key that is not a comment, so that tables may be appended and keys put behind it.
pub(super) fn node_text(new: &NewNode) -> String {
    let listen = if new.listen.is_empty() { vec![LISTEN_DEFAULT.to_owned()] } else { new.listen.clone() };
    format!(
        r#"# This node. Written by `intelmesh init`; yours to edit. Each key says what a change of it needs: a start,
# or `intelmesh reload`.
# What is behind a single # is the default, or an example. `intelmesh check` finds what is wrong.

# Who we are to others: our name as publisher and as peer. A new one needs the old one in `aliases`, here and in
# our file at every peer. (restart)
name = {name}

# Names that we had before: what is for them, or of them, is ours. (restart)
# aliases = []

# The middle part of an event's full name, `publisher:project:UUID`. (reload)
# project = {project}

# Only nodes of the same federation talk to each other. (restart)
{federation}

# Where peers reach us, over TCP. (restart)
listen = {listen}

# What our invitations say instead, where `listen` is not what others can reach. (reload)
{advertise}

# Members of this group may use the sockets in run/ too; the node's account must be one. (restart)
# socket_group = "intelmq"

# How much is logged: error, warn, info, debug or trace. (reload)
# log = "info"

{ON_HEALTH}

# The label of an event that has none: CLEAR, GREEN, AMBER, AMBER+STRICT or RED. (reload)
default_tlp = "GREEN"

# How much of what was published and received is kept for peers and pipelines that were away, whichever is
# reached first. (reload)
# [journal]
# keep_days = 30
# keep_bytes = "20GB"

{watching}# Where things lie; relative to this file. (restart)
{places}

# Where IntelMQ's events come in: its TCP output connects here. `strip` are the fields that stay at home; what
# stands there is the default. (reload)
# [[submit]]
# from = "intelmq-tcp"
# listen = "127.0.0.1:5000"
# strip = {strip}
# mask_secrets = true   # passwords and keys inside URLs, in each field
# Others that are often local:
{often}"#,
        strip = list(&StripRule::INTELMQ_DEFAULTS.map(str::to_owned)),
        watching = watching(),
        places = places(new),
        often = often_local(),
        name = text(new.name.as_str()),
        federation = federation(new),
        advertise = advertise(new),
        project = text(PROJECT_DEFAULT),
        listen = list(&listen),
    )
}

/// The same for a node of no one.
pub(super) fn sample() -> String {
    let name = PublisherName::parse("cert-at").unwrap_or_else(|_| unreachable!("a constant name"));
    node_text(&NewNode { name, federation: None, listen: Vec::new(), advertise: Vec::new(), places: None })
}

fn places(new: &NewNode) -> String {
    match new.places {
        Some((state, run)) => {
            format!("[paths]\nstate = {}\nrun = {}\n{OTHER_PLACES}", text(state), text(run))
        }
        None => format!("# [paths]\n# state = \".\"\n# run = \"run\"\n{OTHER_PLACES}"),
    }
}

/// The settings of those who watch the node, or use it over HTTP.
fn watching() -> String {
    let listen = text(METRICS_LISTEN_DEFAULT);
    format!(
        r#"# Figures for Prometheus at /metrics, and /healthz, without a token: keep it on loopback or a private
# network. (restart)
# [metrics]
# listen = {listen}

# Where clients read and post over HTTP, without a node of their own; `intelmesh client add` makes one. Beyond
# loopback it needs tls_cert and tls_key. (restart)
# [web]
# listen = "127.0.0.1:4880"

"#
    )
}

fn federation(new: &NewNode) -> String {
    match &new.federation {
        Some(name) => format!("federation = {}", text(name.as_str())),
        None => format!("# federation = {}", text(FEDERATION_DEFAULT)),
    }
}

fn advertise(new: &NewNode) -> String {
    match new.advertise.as_slice() {
        [] => "# advertise = [\"/dns4/mesh.example.org/tcp/4801\"]".to_owned(),
        given => format!("advertise = {}", list(given)),
    }
}

/// Fields to choose from, a few on each line.
fn often_local() -> String {
    let lines = StripRule::OFTEN_LOCAL.chunks(5).map(|fields| {
        let fields: Vec<String> = fields.iter().map(|field| text(field)).collect();
        format!("#   {},\n", fields.join(", "))
    });
    lines.collect()
}

pub(super) fn text(plain: &str) -> String {
    toml_edit::Value::from(plain).to_string()
}

/// An array on one line.
pub(super) fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    let quoted: Vec<String> = items.iter().map(|item| text(item)).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_at_home_is_printed_and_the_file_ends_with_comments() {
        let name = PublisherName::parse("cert-at").unwrap();
        let text =
            node_text(&NewNode { name, federation: None, listen: vec![], advertise: vec![], places: None });
        let line = "# strip = [\"rtir_id\", \"extra.file_name\", \"feed.url=file:*\", \"extra.certbund\"]";
        assert!(text.lines().any(|printed| printed == line), "{text}");
        assert!(StripRule::OFTEN_LOCAL.iter().all(|field| text.contains(&format!("\"{field}\""))));
        assert!(text.ends_with(",\n") && text.lines().last().is_some_and(|last| last.starts_with("#   \"")));
    }
}
