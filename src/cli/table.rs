//! Tables of the command line: two blanks between columns, no lines, and no blanks at the end of a row.

use comfy_table::{Table, presets};

use crate::terminal::{Lines, shown};

/// A table with these heads.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A row of `table`. A cell with a line end in it would become two rows.
pub(crate) fn add_row(table: &mut Table, cells: impl IntoIterator<Item = String>) {
    table.add_row(cells.into_iter().map(|cell| shown(&cell).into_owned()));
}

/// The rows of `table`.
pub(crate) fn lines_of(table: &Table) -> Lines {
    let mut lines = Lines::default();
    table.lines().for_each(|line| lines.push(line.trim_end()));
    lines
}

pub(crate) const fn yes_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
