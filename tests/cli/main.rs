//! The program as an operator uses it: what it prints and its exit codes, and the packaged layout.

mod layout;
mod node;
mod packaging;
mod shell;
mod sockets;
mod transcript;
mod transcripts;
mod walks;
