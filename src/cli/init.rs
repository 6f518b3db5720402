//! `init`: a new node's directory. Never touches an existing one. On a terminal it asks for what it was not given.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::answer::{CommandAnswer, talk};
use super::args::InitArgs;
use super::asking;
use super::failure::CommandFailure;
use super::place::{PACKAGED_DIR, PACKAGED_RUN, PACKAGED_STATE};
use crate::config::{address, write};
use crate::identity::PublisherName;
use crate::invitation;
use crate::keyring::Keyring;

pub(crate) fn init(flag: Option<PathBuf>, args: InitArgs) -> Result<(), CommandFailure> {
    let InitArgs { node, name, listen, advertise } = args;
    let Some(dir) = node.or(flag).map_or_else(asked_dir, |dir| Ok(Some(dir)))? else {
        return Err(
            CommandFailure::could_not("where? init needs a directory").hint("intelmesh init DIR --name NAME")
        );
    };
    let listen = checked(listen)?;
    let was_asked = name.is_none();
    let name = name.map_or_else(asked_name, Ok)?;
    let advertise = match was_asked && advertise.is_empty() {
        true => asked_address()?,
        false => checked(advertise)?,
    };
    let is_packaged = dir == Path::new(PACKAGED_DIR);
    let places = is_packaged.then_some((PACKAGED_STATE, PACKAGED_RUN));
    let new = write::NewNode { name, federation: None, listen, advertise, places };
    if dir.ancestors().any(|part| part.is_file()) {
        return Err(CommandFailure::could_not(format!("{}: a file is in the way", dir.display()))
            .hint("choose another directory: intelmesh init DIR --name NAME"));
    }
    write::check_new(&dir).map_err(CommandFailure::from)?;
    let keyring = Keyring::create(&dir.join("keys")).map_err(CommandFailure::from)?;
    write::new_node(&dir, &new).map_err(CommandFailure::from)?;
    let shown = dir.display();
    talk(format!(
        "{} is made in {shown}: its keys are in keys/ (back them up), its peers go into peers/",
        new.name
    ));
    invitation::words(&keyring.public_key()).behind("key ").into_iter().for_each(talk);
    talk(
        "defaults: default_tlp = \"GREEN\" for events without a label; for peers tlp_max = \"AMBER\", relay = true",
    );
    talk(
        "for the safe, on paper: this line lets anybody end the use of this node's key, and do nothing else",
    );
    talk(super::key::revocation_line(&keyring, &new.name)?);
    talk(match is_packaged {
        true => {
            "next: systemctl enable --now intelmesh, then exchange invitations: intelmesh invite".to_owned()
        }
        false => {
            format!("next: intelmesh run -C {shown}, then exchange invitations: intelmesh invite -C {shown}")
        }
    });
    let mut answer = CommandAnswer::new();
    answer.line(shown)?;
    answer.flush()
}

/// Multiaddresses that others could dial.
pub(crate) fn checked(addresses: Vec<String>) -> Result<Vec<String>, CommandFailure> {
    let parse = |text: String| {
        address::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(120).collect();
            CommandFailure::could_not(format!("\"{shown}\" is not {}", address::WANTED))
        })
    };
    addresses.into_iter().map(parse).collect()
}

/// The directory of the package, if it is installed, is only to be confirmed.
fn asked_dir() -> Result<Option<PathBuf>, CommandFailure> {
    let packaged = Path::new(PACKAGED_DIR).is_dir();
    let default = if packaged { format!(" [{PACKAGED_DIR}]") } else { String::new() };
    let said = asking::line(&format!("Directory of the new node{default}:"))?;
    Ok(match said {
        Some(empty) if empty.is_empty() => packaged.then(|| PathBuf::from(PACKAGED_DIR)),
        said => said.map(PathBuf::from),
    })
}

/// Asks until it is a name.
fn asked_name() -> Result<PublisherName, CommandFailure> {
    let question =
        "Short name of your organisation, as peers will know it (a-z, 0-9 and \"-\", like cert-at):";
    loop {
        let said = asking::line(question)?.filter(|said| !said.is_empty()).ok_or_else(|| {
            CommandFailure::could_not("the following required arguments were not provided: --name <NAME>")
                .hint("intelmesh init --name <NAME> <DIR>")
        })?;
        match PublisherName::parse(&said) {
            Ok(name) => return Ok(name),
            Err(error) => talk(error),
        }
    }
}

/// Asks until it is a host, an address, or nothing.
fn asked_address() -> Result<Vec<String>, CommandFailure> {
    let question = "Host name or IP address at which peers reach this machine at TCP port 4801 \
                    (empty if only this machine dials):";
    loop {
        let Some(said) = asking::line(question)?.filter(|said| !said.is_empty()) else {
            return Ok(Vec::new());
        };
        let multiaddr = match said.parse() {
            _ if said.starts_with('/') => said,
            Ok(IpAddr::V4(ip)) => format!("/ip4/{ip}/tcp/4801"),
            Ok(IpAddr::V6(ip)) => format!("/ip6/{ip}/tcp/4801"),
            Err(_) => format!("/dns4/{said}/tcp/4801"),
        };
        match checked(vec![multiaddr]) {
            Ok(addresses) => return Ok(addresses),
            Err(failure) => talk(failure.first()),
        }
    }
}
