//! A running node: builds every part, gives the core its inputs and obeys its outputs. No rule of its own.
//!
//! In reading order: `run` (from a directory to a node that is ready, and back), `event_loop`, `workers`,
//! `event_log` (what happened: log lines and what status remembers) and `log_limit` behind it, `snapshot` with `lags`, `lag`, `faults` and
//! `unknown`, `undeliverable`, `health_watch` with `on_health`, `log` with `repeats`, `renamed`, `control`, `trace`, `dry_run`,
//! `metrics`, `feed_facts`, `delivery_status` (of an event), and `rules_log` and `verdict_words` behind it, `keys` (of others), `changes` (of peer files, for the
//! audit), `service` (systemd), `spoken`, `frame_dump`, `timings`.

mod changes;
mod control;
mod delivery_status;
mod dry_run;
mod event_log;
mod event_loop;
mod faults;
mod feed_facts;
mod frame_dump;
mod health_watch;
mod kept_file;
mod keys;
mod lag;
mod lags;
mod listing;
mod log;
mod log_limit;
mod metrics;
mod on_health;
mod renamed;
mod repeats;
mod rules_log;
mod run;
mod service;
mod snapshot;
mod spoken;
mod timings;
mod trace;
mod undeliverable;
mod unknown;
mod verdict_words;
mod web;
mod workers;

pub(crate) use keys::copies;
pub(crate) use renamed::former_name;

pub(crate) use run::{StartError, run};
