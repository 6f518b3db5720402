//! Databases with a day in each directory, of which the seen set and the link index are two: the state that a flush
//! left in all of them together (`manifest`), the files of a day and sled's rules (`files`), and the filters that say
//! from memory which days need not be asked (`filter`). The callers define the meaning of a row.

pub(crate) mod block;
pub(crate) mod day_set;
pub(crate) mod files;
pub(crate) mod filter;
pub(crate) mod manifest;
mod names;
