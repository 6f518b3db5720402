//! The doors of a node's `intelmesh.toml`: how a test adds one, and what the node says of it.

use serde_json::Value;

use crate::node::{Node, find};

impl Node {
    /// Adds the door that `text` is to its configuration.
    pub fn add_door(&mut self, text: &str) {
        self.edit("intelmesh.toml", |held| held + text);
    }

    /// What `status` says of one door; `Null` if there is none.
    pub fn door(&self, name: &str) -> Value {
        find(&self.status()["doors"], name)
    }
}
