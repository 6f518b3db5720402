//! `key`: this node's keys, their public halves only. Private keys stay in `keyring`.

use super::answer::Answer;
use super::args::KeyVerb;
use super::failure::Failure;
use super::place::Place;
use crate::identity::{KeyId, public_key_text};
use crate::invitation;
use crate::keyring::{NODE_KEY_FILE, SEAL_KEY_FILE};

pub fn key(place: &Place, verb: &KeyVerb, json: bool) -> Result<(), Failure> {
    match verb {
        KeyVerb::Show => show(place, json),
        KeyVerb::Rotate { .. } => Err(Failure::not_built("key rotate")),
        KeyVerb::Revoke { .. } => Err(Failure::not_built("key revoke")),
    }
}

fn show(place: &Place, json: bool) -> Result<(), Failure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let public = keyring.public_key();
    let (key, seal) = (public_key_text(&public), keyring.seal_public_text());
    let words = invitation::words(&public);
    let (key_file, seal_file) =
        (config.paths.keys.join(NODE_KEY_FILE), config.paths.keys.join(SEAL_KEY_FILE));
    let mut answer = Answer::new();
    if json {
        let facts = serde_json::json!({
            "name": config.name,
            "key": key,
            "key_id": KeyId::of(&public).to_string(),
            "words": words,
            "seal": seal,
            "keys": [
                {"use": "node", "key": key, "file": key_file},
                {"use": "seal", "key": seal, "file": seal_file},
            ],
        });
        answer.object("intelmesh.keys/1", &facts)?;
    } else {
        answer.line(config.name)?;
        answer.line(format!("  key        {key}"))?;
        answer.line(format!("  words      {words}"))?;
        answer.line(format!("  key id     {}", KeyId::of(&public)))?;
        answer.line(format!("  file       {}", key_file.display()))?;
        answer.line(format!("  seal       {seal}"))?;
        answer.line(format!("  seal file  {}", seal_file.display()))?;
    }
    answer.flush()
}
