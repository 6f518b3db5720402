//! intelmesh: a peer-to-peer federation node with which CERTs and CSIRTs exchange incident events directly.
//!
//! The life of an envelope: a local pipeline submits an event at a door ([`local`]); `format` reads it,
//! [`envelope`] signs it, [`protocol`] decides, `store` makes it durable. Every peer that [`policy`] allows
//! reads it from the journal through a feed ([`wire`], `transport`), verifies it against its own trust list,
//! and hands it to its own pipeline. Nothing lost, nothing twice, nothing forged, nothing leaked.
//!
//! Modules in reading order. The first group is the pure core and builds alone (`--no-default-features`).
#![forbid(unsafe_code)]

pub mod cbor;
pub mod control;
pub mod envelope;
pub mod event;
pub mod filter;
pub mod format;
pub mod identity;
pub mod limits;
pub mod link;
pub mod policy;
pub mod protocol;
pub mod record;
pub mod status;
pub mod store;
pub mod terminal;
pub mod time;
pub mod tlp;
pub mod wire;

#[cfg(feature = "node")]
pub mod audit;
#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
pub mod clock;
#[cfg(feature = "node")]
pub mod config;
#[cfg(feature = "node")]
pub mod daemon;
#[cfg(feature = "node")]
pub mod explain;
#[cfg(feature = "node")]
pub mod files;
#[cfg(feature = "node")]
pub mod invitation;
#[cfg(feature = "node")]
pub mod keyring;
#[cfg(feature = "node")]
pub mod local;
#[cfg(feature = "node")]
pub mod ownership;
#[cfg(feature = "node")]
pub mod resolving;
#[cfg(feature = "node")]
pub mod transport;
#[cfg(feature = "node")]
pub mod web;

/// For tests alone.
#[cfg(feature = "sim")]
pub mod sim;
