//! TOML with places: every key and value has its line. Unknown keys and wrong kinds become problems, and reading goes
//! on, so that one run names every problem. The caller decides what a value means.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigFault, ConfigProblem, KnownKeys};
use crate::identity::IdentityError;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// A value and the line that it stands on.
#[derive(Clone, Debug)]
pub(super) struct TomlPosition<T> {
    pub line: usize,
    pub value: T,
}

/// One file being read, and what was found wrong so far.
pub(super) struct ConfigReport {
    shown: PathBuf,
    /// All that this file may have, for hints.
    sections: &'static [KnownKeys],
    /// Offsets of the beginnings of lines.
    lines: Vec<usize>,
    pub text: String,
    pub problems: Vec<ConfigProblem>,
}

impl ConfigReport {
    pub(crate) fn new(shown: &Path, text: &str, sections: &'static [KnownKeys]) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { shown: shown.to_owned(), sections, lines, text: text.to_owned(), problems: Vec::new() }
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// The same with a column, for a fault inside a value.
    pub(crate) fn fault_at(&mut self, offset: usize, fault: ConfigFault) {
        let line = self.line_of(offset);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        let problem = ConfigProblem { column: Some(column), ..ConfigProblem::new(&self.shown, line, fault) };
        self.problems.push(problem);
    }

    /// Reports a value that is not `wanted`.
    pub(crate) fn refuse(&mut self, key: &str, at: &TomlPosition<impl ToString>, wanted: &'static str) {
        let value = at.value.to_string().chars().take(120).collect();
        self.fault(at.line, ConfigFault::Value { key: key.to_owned(), value, wanted });
    }

    pub(crate) fn missing(&mut self, line: usize, key: &'static str, hint: &'static str) {
        self.fault(line, ConfigFault::Missing { key, hint });
    }

    pub(crate) fn fault(&mut self, line: usize, fault: ConfigFault) {
        self.problems.push(ConfigProblem::new(&self.shown, line, fault));
    }
}

/// Reads a file that a directory lists; `None` if it was removed since. A link that leads nowhere is no removal: the
/// peer that it named must not be cut off because of it.
pub(super) fn read_listed(path: &Path) -> Option<Result<String, ConfigFault>> {
    match read(path) {
        Err(ConfigFault::NotFound) if path.is_symlink() => {
            Some(Err(ConfigFault::Unreadable("the link leads to no file".to_owned())))
        }
        Err(ConfigFault::NotFound) => None,
        read => Some(read),
    }
}

/// Reads a file of at most [`CONFIG_FILE_BYTES_MAX`] bytes.
pub(super) fn read(path: &Path) -> Result<String, ConfigFault> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ConfigFault::NotFound,
        std::io::ErrorKind::InvalidData => ConfigFault::Unreadable("it is not a text in UTF-8".to_owned()),
        _ => ConfigFault::Unreadable(error.to_string()),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        let bytes = std::fs::metadata(path).map_or(text.len() as u64, |data| data.len());
        return Err(ConfigFault::TooLarge { bytes, max: CONFIG_FILE_BYTES_MAX });
    }
    Ok(text)
}

/// Parses `text`; every syntax error becomes a problem of `report`.
pub(super) fn parse<'i>(text: &'i str, report: &mut ConfigReport) -> Spanned<DeTable<'i>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = report.line_of(error.span().map_or(0, |span| span.start));
        let what = error.message().lines().collect::<Vec<_>>().join("; ");
        report.fault(line, ConfigFault::Syntax(what));
    }
    table
}

/// A table of which every key is known.
pub(super) struct TomlSection<'a, 'i> {
    table: &'a DeTable<'i>,
}

impl<'a, 'i> TomlSection<'a, 'i> {
    /// Keys that are neither `known` nor of `later` issues become problems.
    pub(crate) fn open(
        table: &'a DeTable<'i>,
        known: &'static [&'static str],
        later: &[&str],
        report: &mut ConfigReport,
    ) -> Self {
        for key in table.keys() {
            let line = report.line_of(key.span().start);
            let name: &str = key.get_ref();
            if later.contains(&name) {
                report.fault(line, ConfigFault::NotBuilt { key: name.to_owned() });
            } else if !known.contains(&name) {
                let (key, sections) = (name.chars().take(80).collect(), report.sections);
                report.fault(line, ConfigFault::UnknownKey { key, known, sections });
            }
        }
        Self { table }
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// The value of `key` as `read` has it; another kind is a problem.
    fn typed<T>(
        &self,
        key: &str,
        wanted: &'static str,
        report: &mut ConfigReport,
        read: impl FnOnce(&'a DeValue<'i>) -> Option<T>,
    ) -> Option<TomlPosition<T>> {
        let value = self.value(key)?;
        let line = report.line_of(value.span().start);
        match read(value.get_ref()) {
            Some(value) => Some(TomlPosition { line, value }),
            None => {
                let found = value.get_ref().type_str();
                report.fault(line, ConfigFault::Kind { key: key.to_owned(), wanted, found });
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &str, report: &mut ConfigReport) -> Option<TomlPosition<&'a str>> {
        self.typed(key, "a string", report, DeValue::as_str)
    }

    /// Returns the text of `key` as `parse` reads it; a text that it cannot read is a problem.
    pub(crate) fn choice<T>(
        &self,
        key: &str,
        wanted: &'static str,
        report: &mut ConfigReport,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let at = self.text(key, report)?;
        let value = parse(at.value);
        if value.is_none() {
            report.refuse(key, &at, wanted);
        }
        value
    }

    /// Returns the texts of a list as `parse` reads them. More than `most` are a problem, which `too_many` words;
    /// `parse` reports its own.
    pub(crate) fn list<T>(
        &self,
        key: &str,
        (most, too_many): (usize, &'static str),
        report: &mut ConfigReport,
        mut parse: impl FnMut(TomlPosition<&'a str>, &mut ConfigReport) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut texts = self.texts(key, report)?;
        if let Some(beyond) = texts.get(most) {
            report.refuse(key, beyond, too_many);
            texts.truncate(most);
        }
        Some(texts.into_iter().filter_map(|at| parse(at, report)).collect())
    }

    pub(crate) fn flag(&self, key: &str, report: &mut ConfigReport) -> Option<bool> {
        self.typed(key, "true or false", report, DeValue::as_bool).map(|at| at.value)
    }

    pub(crate) fn number(&self, key: &str, report: &mut ConfigReport) -> Option<TomlPosition<u64>> {
        self.typed(key, "a whole number of 0 or more", report, |value| {
            let number = value.as_integer()?;
            u64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub(crate) fn is_text(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.get_ref().is_str())
    }

    pub(crate) fn is_flag(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.get_ref().is_bool())
    }

    /// Returns the position of `key`'s value in the text.
    pub(crate) fn span(&self, key: &str) -> Option<std::ops::Range<usize>> {
        self.value(key).map(Spanned::span)
    }

    /// The line of `key`'s value.
    pub(crate) fn line(&self, key: &str, report: &ConfigReport) -> usize {
        self.value(key).map_or(1, |value| report.line_of(value.span().start))
    }

    /// Returns the line of `key`, if it is written here.
    pub(crate) fn line_where_typed(&self, key: &str, report: &ConfigReport) -> Option<usize> {
        self.value(key).map(|value| report.line_of(value.span().start))
    }

    /// The table of that name, its keys unchecked.
    pub(crate) fn table(&self, name: &str) -> Option<TomlSection<'a, 'i>> {
        self.value(name).and_then(|value| value.get_ref().as_table()).map(|table| TomlSection { table })
    }

    pub(crate) fn texts(&self, key: &str, report: &mut ConfigReport) -> Option<Vec<TomlPosition<&'a str>>> {
        let array = self.typed(key, "a list of strings", report, DeValue::as_array)?;
        let mut texts = Vec::with_capacity(array.value.len());
        for item in array.value.iter() {
            let line = report.line_of(item.span().start);
            match item.get_ref().as_str() {
                Some(value) => texts.push(TomlPosition { line, value }),
                None => {
                    let found = item.get_ref().type_str();
                    report.fault(
                        line,
                        ConfigFault::Kind { key: key.to_owned(), wanted: "a list of strings", found },
                    );
                }
            }
        }
        Some(texts)
    }

    /// The tables of `[[key]]`, each with the line it begins on.
    pub(crate) fn sections(
        &self,
        key: &str,
        known: &'static [&'static str],
        report: &mut ConfigReport,
    ) -> Vec<TomlPosition<TomlSection<'a, 'i>>> {
        let Some(array) = self.typed(key, "written as [[tables]]", report, DeValue::as_array) else {
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.value.len());
        for item in array.value.iter() {
            let line = report.line_of(item.span().start);
            match item.get_ref().as_table() {
                Some(table) => {
                    sections.push(TomlPosition { line, value: TomlSection::open(table, known, &[], report) });
                }
                None => {
                    let found = item.get_ref().type_str();
                    let wanted = "written as [[tables]]";
                    report.fault(line, ConfigFault::Kind { key: key.to_owned(), wanted, found });
                }
            }
        }
        sections
    }

    pub(crate) fn section(
        &self,
        key: &str,
        known: &'static [&'static str],
        later: &[&str],
        report: &mut ConfigReport,
    ) -> Option<TomlSection<'a, 'i>> {
        let table = self.typed(key, "a table", report, DeValue::as_table)?;
        Some(TomlSection::open(table.value, known, later, report))
    }
}

/// Parses the value at this place, or reports its fault.
pub(super) fn checked<T>(
    at: TomlPosition<&str>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, IdentityError>,
    report: &mut ConfigReport,
) -> Option<T> {
    parse(at.value).map_err(|fault| report.fault(at.line, ConfigFault::Identity { key, fault })).ok()
}

/// `NAME.toml` in the directory, sorted; hidden files and what editors leave behind are not ours.
pub(super) fn toml_paths(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
