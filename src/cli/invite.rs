//! `invite`: one line with which a peer adds this node. Signed, not secret.

use super::answer::{CommandAnswer, talk};
use super::args::InviteArgs;
use super::failure::CommandFailure;
use super::init::checked;
use super::place::NodeDirectory;
use crate::clock;
use crate::config::NodeConfig;
use crate::invitation::{INVITATION_VALID_MS, Invitation};
use crate::keyring::Keyring;
use crate::limits::DAY_MS;

/// Our invitation.
pub(crate) fn line(config: &NodeConfig, keyring: &Keyring) -> Result<String, CommandFailure> {
    signed(&ours(config, keyring), keyring)
}

fn signed(invitation: &Invitation, keyring: &Keyring) -> Result<String, CommandFailure> {
    invitation
        .make(keyring.signing_key())
        .map_err(|error| CommandFailure::could_not(&error).hint(error.hint()))
}

fn ours(config: &NodeConfig, keyring: &Keyring) -> Invitation {
    Invitation {
        name: config.name.clone(),
        federation: config.federation.clone(),
        key: keyring.public_key(),
        seal: keyring.seal_public(),
        addresses: config.invited_at(),
        expires: clock::now().wall.plus_ms(INVITATION_VALID_MS),
    }
}

pub(crate) fn invite(place: &NodeDirectory, args: InviteArgs, json: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let mut invitation = ours(&config, &keyring);
    invitation.expires = clock::now().wall.plus_ms(args.days * DAY_MS);
    if !args.address.is_empty() {
        invitation.addresses = checked(args.address)?;
    }
    let text = signed(&invitation, &keyring)?;
    if invitation.addresses.is_empty() {
        talk("warning: this invitation has no address: its reader can trust us, but not connect to us");
        talk("hint: advertise = [\"/dns4/mesh.example.org/tcp/4801\"] in intelmesh.toml");
    }
    let facts = serde_json::json!({
        "invitation": text,
        "name": invitation.name,
        "federation": invitation.federation,
        "words": invitation.words().to_string(),
        "addresses": invitation.addresses,
        "expires": invitation.expires.to_string(),
    });
    let mut answer = CommandAnswer::new();
    // Never broken between words: it is copied as one line.
    if json {
        answer.object("intelmesh.invitation/1", &facts)?
    } else {
        answer.line(&text)?
    }
    answer.flush()?;
    talk(format!(
        "{}, valid until {}. Send the line by a way that both trust; these words are for comparing:",
        invitation.name, invitation.expires
    ));
    invitation.words().behind("  ").into_iter().for_each(talk);
    Ok(())
}
