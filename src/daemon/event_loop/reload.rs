//! Reads `intelmesh.toml` again while the node runs. Settings that can change do so; the others are named, and act at
//! the next start. If the file cannot be used, everything stays as it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::EventLoop;
use crate::clock;
use crate::config::{ConfigProblem, NodeConfig};
use crate::control::{ControlRefusal, ReloadResult};
use crate::daemon::faults::refusal;
use crate::daemon::log;
use crate::daemon::web::client_defaults;
use crate::limits::{DAY_MS, SEEN_BEYOND_JOURNAL_MS};
use crate::protocol::io::OperatorInput;
use crate::record::ConsumerName;

impl EventLoop {
    /// Puts in force what can change: doors, labels, retention, the log level. Each thing that changed, and each that did
    /// not, is named in the answer and in the log. That comes once the doors are open.
    pub(super) fn reload_node(&mut self, answer: oneshot::Sender<Result<ReloadResult, ControlRefusal>>) {
        let (old, new) = match self.read_node_file() {
            Ok(new) => (self.files.config.clone(), new),
            Err(refusal) => {
                // Whoever asked may have gone, here and below.
                let _ = answer.send(Err(refusal));
                return;
            }
        };
        let mut told = ReloadResult { restart: at_next_start(&old, &new), ..ReloadResult::default() };
        let merged = merged(&old, &new);
        let differs = [
            ("journal", old.journal != merged.journal),
            ("log", old.log != merged.log),
            ("advertise", old.advertise != merged.advertise),
            ("default_tlp", old.default_tlp != merged.default_tlp),
            ("project", old.project != merged.project),
        ];
        told.changed
            .extend(differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()));
        self.keep(&merged);
        log::set_level(merged.log.as_deref());
        let opening = self.reload_doors(&merged);
        self.parts.web.defaults.store(Arc::new(client_defaults(&merged)));
        self.files.config = merged;
        // It was read with the lists of its filters.
        self.watches.lists.bad.clear();
        self.reload();
        // Away from the loop: doors read files, and wait for the ones before them.
        tokio::spawn(async move {
            if let Some((names, opening)) = opening {
                let failed = opening.await;
                let opened = names.iter().filter(|name| !failed.contains_key(*name));
                told.changed.extend(opened.map(|name| format!("door {name}")));
                told.failed = failed.iter().map(|(name, why)| format!("door {name}: {why}")).collect();
            }
            log_reloaded(&told);
            let _ = answer.send(Ok(told));
        });
    }

    fn read_node_file(&self) -> Result<NodeConfig, ControlRefusal> {
        NodeConfig::load(&self.files.config.dir).map_err(|errors| {
            let texts: Vec<String> = errors.0.iter().map(ConfigProblem::to_string).collect();
            tracing::warn!("intelmesh.toml was not put in force: {}", texts.join("; "));
            refusal(&errors.0, Some("intelmesh check; the node goes on with what it had"))
        })
    }

    fn keep(&mut self, config: &NodeConfig) {
        let keep_ms = u64::from(config.journal.keep_days) * DAY_MS;
        self.parts.store.keep(config.journal.keep_bytes, keep_ms);
        let seen_keep_ms = keep_ms + SEEN_BEYOND_JOURNAL_MS;
        self.node.handle_input(OperatorInput::SeenKept { seen_keep_ms }, clock::now());
        self.identity.keep_bytes = config.journal.keep_bytes;
        self.identity.keep_days = config.journal.keep_days;
    }

    /// The doors that are opened anew or end, and what comes of it: which cannot be opened, and why. Those that could not
    /// be opened the last time are tried again.
    fn reload_doors(
        &mut self,
        merged: &NodeConfig,
    ) -> Option<(BTreeSet<String>, impl Future<Output = BTreeMap<String, String>> + Send + use<>)> {
        let old = &self.files.config;
        let defaults_same = old.default_tlp == merged.default_tlp && old.project == merged.project;
        let set = self.parts.doors.set();
        if old.doors == merged.doors && defaults_same && set.failed().is_empty() {
            return None;
        }
        let mut same = same_doors(old, merged, defaults_same);
        same.retain(|name| !set.failed().contains_key(name));
        let names: BTreeSet<String> = door_names(old).union(&door_names(merged)).cloned().collect();
        let changed = names.difference(&same).cloned().collect();
        Some((changed, self.parts.doors.reload(merged.door_defaults(), merged.doors.clone(), same)))
    }
}

fn log_reloaded(told: &ReloadResult) {
    let (changed, restart) = (told.changed.join(" "), told.restart.join(" "));
    tracing::info!(changed, at_next_start = restart, "intelmesh.toml read again");
    for what in &told.failed {
        tracing::warn!("not in force: {what}");
    }
}

/// Returns the settings of `new` that differ from the running ones and cannot change until the next start.
fn at_next_start(old: &NodeConfig, new: &NodeConfig) -> Vec<String> {
    let differs = [
        ("name", old.name != new.name),
        ("aliases", old.aliases != new.aliases),
        ("federation", old.federation != new.federation),
        ("listen", old.listen != new.listen),
        ("socket_group", old.socket_group != new.socket_group),
        ("paths", old.paths != new.paths),
        ("web", old.web != new.web),
        ("metrics", old.metrics != new.metrics),
        ("on_health", old.on_health != new.on_health),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

fn merged(old: &NodeConfig, new: &NodeConfig) -> NodeConfig {
    NodeConfig {
        project: new.project.clone(),
        advertise: new.advertise.clone(),
        default_tlp: new.default_tlp,
        journal: new.journal,
        log: new.log.clone(),
        doors: new.doors.clone(),
        ..old.clone()
    }
}

fn door_names(config: &NodeConfig) -> BTreeSet<String> {
    config.doors.names().map(ConsumerName::to_string).collect()
}

/// The doors that need not be opened anew.
fn same_doors(old: &NodeConfig, new: &NodeConfig, defaults_same: bool) -> BTreeSet<String> {
    let submits = new.doors.submits.iter().filter(|door| defaults_same && old.doors.submits.contains(door));
    let consumers = new.doors.consumers.iter().filter(|door| old.doors.consumers.contains(door));
    submits.map(|door| door.name.to_string()).chain(consumers.map(|door| door.name.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(rest: &str) -> NodeConfig {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("intelmesh.toml"), format!("name = \"cert-at\"\n{rest}")).unwrap();
        let loaded = NodeConfig::load(dir.path()).unwrap();
        NodeConfig { dir: Path::new("d").to_owned(), paths: config_paths(), ..loaded }
    }

    fn config_paths() -> crate::config::NodePaths {
        let dir = Path::new("d");
        let [state, run, keys, peers, groups, lists, clients] =
            ["s", "r", "k", "p", "g", "l", "c"].map(|name| dir.join(name));
        crate::config::NodePaths { state, run, keys, peers, groups, lists, clients }
    }

    #[test]
    fn what_cannot_change_while_it_runs_is_named_and_stays() {
        let old = config("");
        let new = config(
            "federation = \"x\"\nlisten = []\nsocket_group = \"g\"\ndefault_tlp = \"CLEAR\"\nlog = \"debug\"",
        );
        assert_eq!(at_next_start(&old, &new), ["federation", "listen", "socket_group"]);
        let merged = merged(&old, &new);
        assert_eq!((&merged.listen, &merged.federation), (&old.listen, &old.federation));
        assert_eq!((merged.default_tlp, &merged.log), (new.default_tlp, &new.log));
    }

    #[test]
    fn a_line_above_opens_no_door_anew() {
        let doors = "[[submit]]\nfrom = \"intelmq-redis\"\nname = \"in\"\nurl = \"redis://h/1\"\nqueue = \"q\"\n\
                     [[consumer]]\nname = \"out\"\nto = \"intelmq-tcp\"\nconnect = \"h:1\"\nfilter = \"true\"\n";
        let (old, new) = (config(doors), config(&format!("# Which doors there are\n{doors}")));
        assert_eq!(same_doors(&old, &new, true).len(), 2);
        assert_eq!(old.doors, new.doors);
    }

    #[test]
    fn only_doors_that_changed_are_opened_anew() {
        let door = |port: u16| {
            format!("[[submit]]\nfrom = \"intelmq-tcp\"\nname = \"d{port}\"\nlisten = \"127.0.0.1:{port}\"\n")
        };
        let old = config(&(door(5000) + &door(5001)));
        let new =
            config(&(door(5000) + &door(5001).replace("listen", "tlp = \"AMBER\"\nlisten") + &door(5002)));
        let same: Vec<String> = same_doors(&old, &new, true).into_iter().collect();
        assert_eq!(same, ["d5000"]);
        assert!(same_doors(&old, &new, false).is_empty(), "another default label is another door");
    }
}
