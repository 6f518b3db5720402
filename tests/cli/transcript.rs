//! What a command line said, with names in the place of what differs each time (ids, times, spans, keys), so that a
//! test can compare all of it. Knows nothing of nodes.

use regex::Regex;
use support::Said;

/// Patterns and what is written for them.
const PATTERNS: [(&str, &str); 9] = [
    (r"(cert-[a-z]+:intelmq:)[0-9a-f]{8}-[0-9a-f-]{27}", "${1}UUID"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b\d+ (d \d+ h|h \d+ m|m \d+ s|s)\b", "SPAN"),
    (r"\bed25519:[A-Za-z0-9_-]{43}", "KEY"),
    (r"\bx25519:[A-Za-z0-9_-]{43}", "SEAL"),
    (r"intelmesh1[02-9ac-hj-np-z]{100,}", "INVITATION"),
    (r"(?m)^(their words  |our words    |             )[a-z]+( [a-z]+){4}", "${1}WORDS"),
    (r"(sign|seal)-[0-9a-f]{16}", "${1}-ID"),
    (r"statement \d{13}", "statement SERIAL"),
];

/// Texts of one test that have a name: its directory, its ports.
pub struct Transcript {
    names: Vec<(String, &'static str)>,
    patterns: Vec<(Regex, &'static str)>,
}

impl Transcript {
    pub fn new(names: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        let patterns = PATTERNS.iter().map(|(pattern, name)| (Regex::new(pattern).unwrap(), *name));
        Self { names: names.into_iter().collect(), patterns: patterns.collect() }
    }

    pub fn shown(&self, text: &str) -> String {
        let named = self.names.iter().fold(text.to_owned(), |text, (given, name)| text.replace(given, name));
        self.patterns
            .iter()
            .fold(named, |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
    }

    /// Compares the exit code, and both outputs to the letter.
    #[track_caller]
    pub fn compare(&self, line: &str, said: &Said, code: i32, stdout: &str, stderr: &str) {
        let (out, err) = (self.shown(&said.stdout), self.shown(&said.stderr));
        let shown = format!("$ intelmesh {line}\n[{}]\n--- stdout\n{out}--- stderr\n{err}", said.code);
        assert_eq!((said.code, out.as_str(), err.as_str()), (code, stdout, stderr), "{shown}");
    }
}
