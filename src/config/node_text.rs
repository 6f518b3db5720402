//! The text of a new node's `intelmesh.toml`: each key with what it is for, defaults and examples as comments.
//! Nothing is written here.

use super::node::{FEDERATION_DEFAULT, LISTEN_DEFAULT, PROJECT_DEFAULT};
use super::write::{NewNode, list, text};
use crate::format::StripRule;

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

# The label of an event that has none: CLEAR, GREEN, AMBER, AMBER+STRICT or RED. (reload)
default_tlp = "GREEN"

# How much of what was published and received is kept for peers and pipelines that were away, whichever is
# reached first. (reload)
# [journal]
# keep_days = 30
# keep_bytes = "20GB"

# Where things lie; relative to this file. (restart)
# [paths]
# state = "."
# run = "run"
# keys = "keys"
# peers = "peers"
# groups = "groups"
# lists = "lists"
# clients = "clients"

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
        often = often_local(),
        name = text(new.name.as_str()),
        federation = federation(new),
        advertise = advertise(new),
        project = text(PROJECT_DEFAULT),
        listen = list(&listen),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::PublisherName;

    #[test]
    fn what_stays_at_home_is_printed_and_the_file_ends_with_comments() {
        let name = PublisherName::parse("cert-at").unwrap();
        let text = node_text(&NewNode { name, federation: None, listen: vec![], advertise: vec![] });
        let line = "# strip = [\"rtir_id\", \"extra.file_name\", \"feed.url=file:*\", \"extra.certbund\"]";
        assert!(text.lines().any(|printed| printed == line), "{text}");
        assert!(StripRule::OFTEN_LOCAL.iter().all(|field| text.contains(&format!("\"{field}\""))));
        assert!(text.ends_with(",\n") && text.lines().last().is_some_and(|last| last.starts_with("#   \"")));
    }
}
