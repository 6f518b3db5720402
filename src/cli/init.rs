//! `init`: a new node's directory. Never touches an existing one.

use std::path::PathBuf;

use super::answer::{CommandAnswer, talk};
use super::args::InitArgs;
use super::failure::CommandFailure;
use crate::config::{address, write};
use crate::invitation;
use crate::keyring::Keyring;

pub fn init(flag: Option<PathBuf>, args: InitArgs) -> Result<(), CommandFailure> {
    let Some(dir) = args.node.or(flag) else {
        return Err(
            CommandFailure::could_not("where? init needs a directory").hint("intelmesh init DIR --name NAME")
        );
    };
    let new = write::NewNode {
        name: args.name,
        federation: None,
        listen: checked(args.listen)?,
        advertise: checked(args.advertise)?,
    };
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
    talk(format!("next: intelmesh run -C {shown}, then exchange invitations: intelmesh invite -C {shown}"));
    let mut answer = CommandAnswer::new();
    answer.line(shown)?;
    answer.flush()
}

fn checked(addresses: Vec<String>) -> Result<Vec<String>, CommandFailure> {
    let parse = |text: String| {
        address::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(120).collect();
            CommandFailure::could_not(format!("\"{shown}\" is not {}", address::WANTED))
        })
    };
    addresses.into_iter().map(parse).collect()
}
