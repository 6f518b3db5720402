//! Events that a door could not pass on, in `aside/NAME.jsonl`: `record` defines a line, `file` writes and reads the file
//! so that no crash tears it, and `retry` tries the events again.

pub(crate) mod file;
pub(crate) mod record;
pub(crate) mod retry;
