//! Real nodes with each other, seen from outside: one file for each subject.

mod clocks;
mod consumers;
mod crash;
mod durability;
mod examples;
mod exchange;
mod explain;
mod filters;
mod formats;
mod handoff;
mod health;
mod keys;
mod limits;
mod links;
mod misp_door;
mod misp_feed;
mod n6_door;
mod pairing;
mod reload;
mod republish;
mod restore;
mod sealing;
mod successor;
mod trust;
mod warden;
mod web;
