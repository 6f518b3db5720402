//! Databases with a day in each directory, of which the seen set and the link index are two: what a flush left in all
//! of them together (`manifest`), the files of a day and sled's rules (`files`), and the filters that say from memory
//! which days need not be asked (`filter`). What a row means is not known here.

pub mod files;
pub mod filter;
pub mod manifest;
mod names;
