//! Recognises lines that people paste and that are not events, and tells how an event is written. It looks only at
//! lines that were refused already; nothing here makes a line acceptable.

use super::refusal::SubmitError;
use crate::event::json::{self, JsonError};
use crate::limits::JSON_DEPTH_MAX;

/// As deep as a line may be.
const DEPTH_MAX: usize = JSON_DEPTH_MAX + 2;

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Adds to `refused` the kind of text that `line` seems to be, if that can be told.
pub(crate) fn explain(line: &[u8], refused: SubmitError) -> SubmitError {
    let (what, hint) = match line {
        _ if line.starts_with(BOM) => {
            ("the line begins with a byte order mark", "save the file as UTF-8 without BOM: tail -c +4 FILE")
        }
        _ if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) => {
            ("the line is UTF-16", "save the file as UTF-8: iconv -f UTF-16 -t UTF-8 FILE")
        }
        _ => match first_of(line) {
            Some(b'[') if is_list(line) => {
                ("the line is a list of JSON", "write one object on each line: jq -c '.[]' FILE")
            }
            Some(b'{') if ends_early(line) => {
                ("the object does not end on this line", "write each event on one line: jq -c . FILE")
            }
            Some(b'{') if is_python(line) => {
                ("the line is Python's notation of an object", "write it with json.dumps(event)")
            }
            Some(b']' | b'}' | b'"') if json::scan(line, DEPTH_MAX).is_err() => {
                ("the line is a part of an object", "write each event on one line: jq -c . FILE")
            }
            _ => return refused,
        },
    };
    let message = format!("{what}: {}", refused.message);
    SubmitError { message, ..refused }.hint(hint)
}

fn first_of(line: &[u8]) -> Option<u8> {
    line.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Returns true for a whole list, or the first line of one.
fn is_list(line: &[u8]) -> bool {
    json::scan(line, DEPTH_MAX).is_ok() || ends_early(line)
}

/// Returns true if everything was read, and more was expected.
fn ends_early(line: &[u8]) -> bool {
    let end = line.trim_ascii_end().len();
    matches!(json::scan(&line[..end], DEPTH_MAX), Err(JsonError::Syntax(at)) if at >= end)
}

/// Returns true for `{'a': None}`: a quote or a word of Python at the place of JSON's.
fn is_python(line: &[u8]) -> bool {
    let Err(JsonError::Syntax(at)) = json::scan(line, DEPTH_MAX) else { return false };
    let rest = line.get(at..).unwrap_or_default();
    [&b"'"[..], b"None", b"True", b"False", b"u'", b"b'", b"datetime"]
        .iter()
        .any(|start| rest.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{DoorDefaults, intake};
    use crate::identity::{ProjectName, PublisherName};
    use crate::policy::Tlp;

    fn refused(line: &[u8]) -> SubmitError {
        let publisher = PublisherName::parse("cert-at").unwrap();
        let door = DoorDefaults::of(publisher, ProjectName::parse("intelmq").unwrap(), Tlp::Green);
        intake(line, &door).unwrap_err()
    }

    #[test]
    fn what_was_pasted_is_named_with_the_remedy() {
        for (line, code, what, remedy) in [
            ("\u{feff}{\"a\":1}", "bad_json", "byte order mark", "without BOM"),
            ("{", "bad_json", "does not end on this line", "jq -c ."),
            ("{\"a\": 1,", "bad_json", "does not end on this line", "jq -c ."),
            ("  \"source.ip\": \"192.0.2.1\",", "bad_json", "a part of an object", "jq -c ."),
            ("}", "bad_json", "a part of an object", "jq -c ."),
            ("[{\"a\":1},{\"a\":2}]", "not_object", "a list of JSON", "jq -c '.[]'"),
            ("[", "bad_json", "a list of JSON", "jq -c '.[]'"),
            ("{'a': 1}", "bad_json", "Python's notation", "json.dumps"),
            ("{\"a\": None}", "bad_json", "Python's notation", "json.dumps"),
        ] {
            let fault = refused(line.as_bytes());
            assert_eq!(fault.code.as_str(), code, "{line}");
            assert!(fault.message.contains(what), "{line}: {}", fault.message);
            assert!(fault.hint.is_some_and(|hint| hint.contains(remedy)), "{line}: {:?}", fault.hint);
        }
        assert!(refused(&[0xff, 0xfe, b'{', 0]).message.contains("UTF-16"));
        for line in ["hello", "{\"a\":1}}", "{\"a\":nope}", "1"] {
            assert_eq!(refused(line.as_bytes()).hint, None, "{line}");
        }
    }
}
