//! `client`: who may read and post over HTTP without a node of its own. The files in `clients/` are the truth; the
//! running node is notified when they change.

use std::path::Path;

use serde::Serialize;

use super::answer::{CommandAnswer, talk};
use super::args::{ClientAddArgs, ClientVerb};
use super::failure::CommandFailure;
use super::peer::told;
use super::place::NodeDirectory;
use super::table::{add_row, lines_of, table, yes_no};
use crate::audit::{self, AuditedAction};
use crate::clock;
use crate::config::write::{self, NewClient};
use crate::config::{ClientFile, NodeConfig, TokenHash};
use crate::control::ControlRefusal;
use crate::identity::PublisherName;
use crate::policy::Tlp;

/// The beginning of each token, so that a scanner for leaked secrets can find one.
const TOKEN_PREFIX: &str = "intelmesh_";

pub(crate) fn client(place: &NodeDirectory, verb: ClientVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        ClientVerb::Add(args) => add(place, args),
        ClientVerb::List => list(place, json),
        ClientVerb::Remove { name } => remove(place, &name),
    }
}

fn add(place: &NodeDirectory, args: ClientAddArgs) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let token =
        format!("{TOKEN_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>()));
    let new = NewClient {
        name: args.name,
        token_hash: TokenHash::of(&token),
        tlp_max: args.tlp_max.unwrap_or(Tlp::Amber),
        accept: !args.read_only,
        added: clock::now().wall,
        added_by: audit::who(),
    };
    let file = write::add_client(&config.paths.clients, &new)?;
    let posts = if new.accept { "may post" } else { "may not post" };
    let how = format!("{}: tlp_max {}, {posts}", new.name, new.tlp_max);
    place.audit(&config, AuditedAction::ClientAdded, None, &how);
    told(place);
    let mut answer = CommandAnswer::new();
    answer.line(&token)?;
    answer.flush()?;
    talk(format!(
        "Added client {}: tlp_max = \"{}\", {posts}; its file is {}",
        new.name,
        new.tlp_max,
        file.display()
    ));
    talk("The line above is its token. It is not kept here, and is not shown again.");
    Ok(())
}

fn remove(place: &NodeDirectory, name: &PublisherName) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let file = config.paths.clients.join(format!("{name}.toml"));
    if !file.exists() {
        let refusal = ControlRefusal::no(format!("no client \"{name}\""));
        return Err(refusal.hint("intelmesh client list").into());
    }
    let copy = write::remove_client(&file, clock::now().wall)?;
    place.audit(&config, AuditedAction::ClientRemoved, None, name.as_str());
    told(place);
    talk(format!("Removed client {name}. Its token is worth nothing any more."));
    talk(format!("Its file is kept: {}", copy.display()));
    Ok(())
}

/// One client in JSON (`intelmesh.clients/1`; mirrors `clients/NAME.toml`).
#[derive(Serialize)]
struct ClientFacts<'a> {
    name: &'a PublisherName,
    tlp_max: &'static str,
    accept: bool,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    file: String,
}

impl<'a> From<&'a ClientFile> for ClientFacts<'a> {
    fn from(client: &'a ClientFile) -> Self {
        Self {
            name: &client.name,
            tlp_max: client.share.tlp_max.as_str(),
            accept: client.accept,
            filter: client.share.filter.as_ref().map(|filter| filter.source()),
            rate: client.receive.rate.map(|rate| rate.per_second),
            file: shown(&client.file),
        }
    }
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

fn list(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let config: NodeConfig = place.config()?;
    let known = place.peers(&config)?;
    let facts: Vec<ClientFacts<'_>> = known.clients.iter().map(ClientFacts::from).collect();
    let dir = shown(config.paths.clients.strip_prefix(&config.dir).unwrap_or(&config.paths.clients));
    let problems = known.problems.iter().filter(|problem| problem.file.starts_with(&dir));
    let mut answer = CommandAnswer::new();
    if json {
        let problems: Vec<String> = problems.map(ToString::to_string).collect();
        answer.object("intelmesh.clients/1", &serde_json::json!({"clients": facts, "problems": problems}))?;
        return answer.flush();
    }
    if facts.is_empty() {
        talk("no clients yet: intelmesh client add NAME");
    } else {
        let mut table = table(&["CLIENT", "tlp_max", "posts", "where"]);
        for client in &facts {
            let posts = yes_no(client.accept).to_owned();
            let filter = client.filter.unwrap_or("-").to_owned();
            add_row(&mut table, [client.name.to_string(), client.tlp_max.to_owned(), posts, filter]);
        }
        answer.lines(&lines_of(&table))?;
    }
    answer.flush()?;
    for problem in problems {
        talk(format!("warning: {problem}"));
    }
    Ok(())
}
