//! Filters in files: compiled in place, so that a fault has its position in the file itself. The lists that they name
//! are read from `lists/`. `filter` defines what a filter means.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::problem::ConfigFault;
use super::reading::{ConfigReport, TomlSection};
use crate::filter::{BodyDecoder, Filter, FilterList, FilterLists, ListFault};
use crate::format::foreign::carried_events;
use crate::limits::FILTER_LIST_BYTES_MAX;

/// The lists of a node: the files of one directory, each read once, when a filter first names it.
#[derive(Debug)]
pub(crate) struct FileLists {
    dir: PathBuf,
    read: Mutex<BTreeMap<String, Result<Arc<FilterList>, ListFault>>>,
}

impl FileLists {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), read: Mutex::default() }
    }

    fn load(&self, name: &str) -> Result<Arc<FilterList>, ListFault> {
        let fault = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => ListFault::Unknown,
            _ => ListFault::Unreadable(error.to_string()),
        };
        let file = std::fs::File::open(self.dir.join(name)).map_err(fault)?;
        let mut text = String::new();
        file.take(FILTER_LIST_BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
        if text.len() as u64 > FILTER_LIST_BYTES_MAX {
            return Err(ListFault::Unreadable(format!("more than {FILTER_LIST_BYTES_MAX} bytes")));
        }
        FilterList::parse(&text).map(Arc::new)
    }
}

impl FilterLists for FileLists {
    /// `name` is a plain file name: `filter` lets no other through.
    fn list(&self, name: &str) -> Result<Arc<FilterList>, ListFault> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.entry(name.to_owned()).or_insert_with(|| self.load(name)).clone()
    }

    fn decoder(&self) -> Option<BodyDecoder> {
        Some(carried_events)
    }
}

/// Returns the filter under `key`; `None` if there is none, or if it is a problem, which goes into `report`.
pub(super) fn filter(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    lists: &dyn FilterLists,
    report: &mut ConfigReport,
) -> Option<Arc<Filter>> {
    let at = section.text(key, report)?;
    match Filter::compile(at.value, lists) {
        Ok(filter) => Some(Arc::new(filter)),
        Err(fault) => {
            let span = section.span(key).unwrap_or_default();
            let token = report.text.get(span.clone()).unwrap_or_default();
            let offset = span.start + offset_in(token, fault.line, fault.column);
            report.fault_at(offset, ConfigFault::Filter { key, fault });
            None
        }
    }
}

/// Returns the position in `token`, a string of TOML with its quotes, of the character that its value has at `line` and
/// `column`.
fn offset_in(token: &str, line: usize, column: usize) -> usize {
    let quotes =
        ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| token.starts_with(quotes)).unwrap_or("");
    let mut at = quotes.len();
    if quotes.len() == 3 {
        let rest = &token[at..];
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let basic = quotes.starts_with('"');
    let end = token.len().saturating_sub(quotes.len());
    let mut here = (1, 1);
    while at < end {
        let Some(first) = token[at..].chars().next() else { break };
        let (len, stands_for) =
            if basic && first == '\\' { escape(&token[at..]) } else { (first.len_utf8(), Some(first)) };
        if here >= (line, column) && stands_for.is_some() {
            break;
        }
        at += len;
        here = match stands_for {
            Some('\n') => (here.0 + 1, 1),
            Some(_) => (here.0, here.1 + 1),
            None => here,
        };
    }
    at.min(end)
}

/// Returns the length of the escape at the start of `text`, and its character: `None` for an escaped line break.
fn escape(text: &str) -> (usize, Option<char>) {
    match text.as_bytes().get(1) {
        Some(b'n') => (2, Some('\n')),
        Some(b'x') => (4.min(text.len()), Some(' ')),
        Some(b'u') => (6.min(text.len()), Some(' ')),
        Some(b'U') => (10.min(text.len()), Some(' ')),
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let rest = text[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            (text.len() - rest.len(), None)
        }
        Some(byte) if byte.is_ascii() => (2, Some(' ')),
        _ => (1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Body, Core};
    use crate::event::EventFormat;
    use crate::filter::{FilterFacts, FilterFailure, NoLists};
    use crate::identity::HopPath;

    #[test]
    fn a_place_in_a_value_is_found_in_its_text() {
        for (token, line, column, want) in [
            ("'abc'", 1, 1, "abc'"),
            ("'abc'", 1, 3, "c'"),
            ("\"a\\\"b\"", 1, 3, "b\""),
            ("\"\\u00e4b\"", 1, 2, "b\""),
            ("\"äb\"", 1, 2, "b\""),
            ("'''\nabc\n  def'''", 2, 3, "def'''"),
            ("\"\"\"abc \\\n   def\"\"\"", 1, 5, "def\"\"\""),
            ("\"a\\nbc\"", 2, 2, "c\""),
            ("'abc'", 1, 9, "'"),
            ("'abc'", 7, 1, "'"),
            ("", 1, 1, ""),
        ] {
            assert_eq!(&token[offset_in(token, line, column)..], want, "{token} {line}:{column}");
        }
    }

    #[test]
    fn a_list_is_a_file_of_the_directory_and_read_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("asns.txt"), "64496\n").unwrap();
        let lists = FileLists::new(dir.path());
        assert!(Filter::compile(r#"asn_in(event, "asns.txt")"#, &lists).is_ok());
        std::fs::remove_file(dir.path().join("asns.txt")).unwrap();
        assert!(lists.list("asns.txt").is_ok());
        assert_eq!(lists.list("none.txt"), Err(ListFault::Unknown));
        assert!(matches!(FileLists::new(&dir.path().join("..")).list("."), Err(ListFault::Unreadable(_))));
    }

    fn carried(count: usize, categories: usize) -> Core {
        let sources: Vec<String> = (1..=count).map(|at| format!("192.0.2.{at}")).collect();
        let categories = vec!["Recon.Scanning"; categories];
        let body = serde_json::json!({"Format": "IDEA0", "ID": "a", "DetectTime": "2026-01-01T00:00:00Z",
            "Category": categories, "Source": [{"IP4": sources}]});
        Core {
            format: EventFormat::parse("idea").unwrap(),
            body: Body::Plain(body.to_string().into()),
            ..crate::fixture::core()
        }
    }

    /// One message of 1 MiB may become 256 events: all of them together may cost what one event may.
    #[test]
    fn the_events_of_a_message_share_one_budget() {
        let lists = FileLists::new(Path::new("."));
        let source = r#"event["extra.idea"].category.all(x, event["extra.idea"].category.all(y, x == y))"#;
        let filter = Filter::compile(source, &lists).unwrap();
        let answer = |count| filter.admits(&FilterFacts::new(&carried(count, 150), &HopPath::default()));
        assert_eq!(answer(1), Ok(true));
        assert_eq!(answer(250), Err(FilterFailure::TooDear));
    }

    /// Nobody may believe that a filter on content saw the content.
    #[test]
    fn without_a_decoder_content_has_no_answer() {
        let source = r#"event["source.ip"] == "192.0.2.1""#;
        let core = carried(1, 1);
        let answer = |lists: &dyn FilterLists| {
            Filter::compile(source, lists).unwrap().admits(&FilterFacts::new(&core, &HopPath::default()))
        };
        assert_eq!(answer(&FileLists::new(Path::new("."))), Ok(true));
        assert_eq!(answer(&NoLists), Err(FilterFailure::Unreadable));
        let by_format = Filter::compile(r#"meta.format == "idea""#, &NoLists).unwrap();
        assert_eq!(by_format.admits(&FilterFacts::new(&core, &HopPath::default())), Ok(true));
    }
}
