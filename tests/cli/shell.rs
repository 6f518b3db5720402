//! One command line after the other in an empty directory, compared with what it must say: exact stdout, stderr
//! and exit code. What differs each time (keys, words, times) is replaced by its name. Knows nothing of nodes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A directory to stand in.
pub struct Shell {
    pub dir: TempDir,
}

/// What a command printed.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `line` is split at blanks.
    pub fn run(&self, line: &str, stdin: &str) -> Said {
        // Without a terminal, wherever the test runs: nobody is asked there.
        let mut child = Command::new("setsid")
            .arg(env!("CARGO_BIN_EXE_intelmesh"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A verb that does not read its stdin may be gone already.
        let _ = input.write_all(stdin.as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs `line`, and compares all three.
    #[track_caller]
    pub fn says(&self, line: &str, stdin: &str, code: i32, stdout: &str, stderr: &str) {
        let said = self.run(line, stdin);
        let shown = format!("$ intelmesh {line}\n[{:?}]\n{}{}", said.code, said.stdout, said.stderr);
        assert_eq!(said.code, Some(code), "{shown}");
        assert_eq!(named(&said.stdout), stdout, "stdout of {shown}");
        assert_eq!(named(&said.stderr), stderr, "stderr of {shown}");
    }

    /// Runs `line`, which must be done.
    #[track_caller]
    pub fn done(&self, line: &str) -> String {
        let said = self.run(line, "");
        assert_eq!(said.code, Some(0), "$ intelmesh {line}\n{}{}", said.stdout, said.stderr);
        said.stdout
    }
}

/// Keys, words, key ids, invitations, revocations and times become KEY, WORDS, ID, INVITATION, REVOCATION, TIME.
pub fn named(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words = line.split_inclusive([' ', ',', ';', '"', ')']).map(|token| {
            let bare = token.trim_end_matches([' ', ',', ';', '"', ')']);
            let rest = &token[bare.len()..];
            let name = match bare {
                key if key.starts_with("ed25519:") => "KEY",
                key if key.starts_with("x25519:") => "SEAL",
                line if line.starts_with("intelmesh1") && line.len() > 100 => "INVITATION",
                line if line.starts_with("intelmesh-revocation:") => "REVOCATION",
                time if time.len() == 24 && time.ends_with('Z') => "TIME",
                time if time.len() == 25 && time.ends_with("Z.") => "TIME.",
                id if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => "ID",
                other => other,
            };
            format!("{name}{rest}")
        });
        format!("{}\n", without_words(&words.collect::<String>()))
    });
    lines.collect()
}

/// The words of a fingerprint stand behind one of these, in two lines of five.
fn without_words(line: &str) -> String {
    let places = ["their words  ", "our words    ", "  words      ", "key ", "             ", "    ", "  "];
    for before in places {
        let Some(at) = line.find(before).filter(|at| *at == 0) else { continue };
        let start = at + before.len();
        let mut end = start;
        for _ in 0..5 {
            let word = line[end..].trim_start_matches(' ');
            end = line.len() - word.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        }
        let words = &line[start..end];
        if words.split(' ').filter(|word| word.len() > 2).count() == 5 {
            return format!("{}WORDS{}", &line[..start], &line[end..]);
        }
    }
    line.to_owned()
}
