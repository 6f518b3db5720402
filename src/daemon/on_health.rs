//! `on_health`: runs the operator's command at each change of health, one at a time and in order. The command gets the
//! change in its environment, and nothing of the node's own: a passphrase stays here.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;

use crate::identity::PublisherName;
use crate::status::HealthItem;
use crate::terminal::shown;

/// Changes that wait for their turn. Beyond them the log alone has them.
const WAITING_MAX: usize = 64;
/// A command that has not ended by then is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The states of a reason, as in the log.
#[derive(Clone, Copy, Debug)]
pub enum HealthChange {
    Begins,
    Ends,
}

impl HealthChange {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Ends => "ends",
        }
    }
}

#[derive(Debug)]
pub struct HealthHook(mpsc::Sender<(HealthItem, HealthChange)>);

impl HealthHook {
    /// Returns `None` if there is no command. It ends with the node.
    pub fn start(command: &[String], node: &PublisherName) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        let (program, arguments, node) = (program.clone(), arguments.to_vec(), node.to_string());
        let (changes, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((health, change)) = waiting.recv().await {
                let mut command = Command::new(&program);
                command.args(&arguments).env_clear().env("PATH", PATH).env("INTELMESH_NODE", &node);
                run(command, &health, change).await;
            }
        });
        Some(Self(changes))
    }

    pub fn tell(&self, health: &HealthItem, change: HealthChange) {
        if self.0.try_send((health.clone(), change)).is_err() {
            tracing::warn!("on_health is too slow: it was not told of {}", health.code.as_str());
        }
    }
}

async fn run(mut command: Command, health: &HealthItem, change: HealthChange) {
    command.env("INTELMESH_CODE", health.code.as_str()).env("INTELMESH_STATE", change.as_str());
    command.env("INTELMESH_PEER", health.peer.as_ref().map_or("", |peer| peer.as_str()));
    command.env("INTELMESH_DOOR", health.door.as_deref().unwrap_or(""));
    command.env("INTELMESH_CONSUMER", health.consumer.as_deref().unwrap_or(""));
    // Words of a peer may be in it; a variable cannot hold every character.
    command
        .env("INTELMESH_WHAT", shown(&health.what).as_ref())
        .env("INTELMESH_HINT", shown(&health.hint).as_ref());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = match command.spawn() {
        Ok(mut child) => tokio::time::timeout(ENDS_WITHIN, child.wait()).await,
        Err(error) => Ok(Err(error)),
    };
    match ended {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!("on_health: the command failed: {status}"),
        Ok(Err(error)) => tracing::warn!("on_health: the command cannot be run: {error}"),
        Err(_) => tracing::warn!("on_health: the command was killed after {} s", ENDS_WITHIN.as_secs()),
    }
}
