//! Documents say what the program does: every code, verb, flag, key and dependency that the source knows is in
//! the table where an operator would look for it, and every link leads somewhere. It does not judge whether
//! what is said there is good.

mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use intelmesh::testing::{HealthCode, PeerFile, SubmitCode};
use intelmesh::{FaultCode, VerdictCode};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that stands between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Fails with all of `wanted` that no backticks in `document` hold.
fn assert_quoted<'a>(document: &str, what: &str, wanted: impl IntoIterator<Item = &'a str>) {
    let quoted = quoted(&read(document));
    let lacking: Vec<&str> = wanted.into_iter().filter(|word| !quoted.contains(*word)).collect();
    assert!(lacking.is_empty(), "{document} lacks these {what}: {}", lacking.join(", "));
}

#[test]
fn each_health_code_has_its_page_in_the_runbook() {
    let operating = read("docs/OPERATING.md");
    let lacking: Vec<&str> = HealthCode::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !operating.contains(&format!("\n### {code}\n")))
        .collect();
    assert!(lacking.is_empty(), "docs/OPERATING.md lacks a heading for: {}", lacking.join(", "));
}

#[test]
fn each_verdict_and_fault_is_explained_to_operators_and_to_implementers() {
    for document in ["docs/CODES.md", "docs/PROTOCOL.md"] {
        assert_quoted(document, "verdicts", VerdictCode::ALL.iter().map(|code| code.as_str()));
        assert_quoted(document, "faults", FaultCode::ALL.iter().map(|code| code.as_str()));
    }
}

#[test]
fn each_code_of_the_sockets_is_explained() {
    let submitting = SubmitCode::ALL.iter().map(|code| code.as_str());
    assert_quoted("docs/CODES.md", "codes of errors", submitting.chain(["busy"]));
}

/// Runs the program for its help.
fn help(verbs: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_intelmesh")).args(verbs).arg("--help").output().unwrap();
    assert!(output.status.success(), "{verbs:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that a help names.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names = listed.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long flags that a help names.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = words.flat_map(|line| line.split([' ', ',', '=', '[', '<']));
    let flags = words.filter(|word| word.starts_with("--") && word.len() > 2);
    flags.map(|word| word.trim_end_matches(['.', ']']).to_owned()).collect()
}

#[test]
fn each_verb_and_flag_is_in_the_reference() {
    let commands = read("docs/COMMANDS.md");
    let mut lacking = Vec::new();
    for verb in subcommands(&help(&[])) {
        let text = help(&[&verb]);
        let mut all = vec![(verb.clone(), text.clone())];
        for sub in subcommands(&text) {
            let text = help(&[&verb, &sub]);
            all.push((format!("{verb} {sub}"), text));
        }
        for (name, text) in all {
            let of_verb = |row: &&str| row.contains(&format!("`{name}")) || row.contains(&format!("`{verb}"));
            let rows: Vec<&str> = commands.lines().filter(of_verb).collect();
            if !rows.iter().any(|row| row.contains(&format!("`{name}"))) {
                lacking.push(name.clone());
            }
            let everywhere = ["--help", "--version", "--json", "--color", "--log-level", "--log-format"];
            let flags = flags(&text);
            let flags = flags.iter().filter(|flag| !everywhere.contains(&flag.as_str()));
            let unsaid = flags.filter(|flag| !rows.iter().any(|row| row.contains(flag.as_str())));
            lacking.extend(unsaid.map(|flag| format!("{name} {flag}")));
        }
    }
    assert!(lacking.is_empty(), "docs/COMMANDS.md lacks: {}", lacking.join(", "));
}

#[test]
fn each_variable_of_the_environment_is_explained() {
    let mut named: BTreeSet<String> = BTreeSet::new();
    let files = files_below(&root().join("src")).into_iter();
    let of_tests = |path: &Path| path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
    let below =
        |path: &PathBuf| path.strip_prefix(root().join("src")).map(Path::to_owned).unwrap_or_default();
    for path in files.filter(|path| !of_tests(&below(path))) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            // What is compiled for tests alone is no variable of an operator's.
            let above = &lines[index.saturating_sub(3)..index];
            if !above.iter().any(|line| line.contains("#[cfg(feature = \"sim\")]")) {
                let found = line.match_indices("\"INTELMESH_").map(|(at, _)| &line[at + 1..]);
                named.extend(found.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    assert_quoted("docs/CONFIGURATION.md", "variables", named.iter().map(String::as_str));
}

/// The strings in each `const …KEYS: &[&str] = &[…];` of the readers of configuration.
fn config_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for path in files_below(&root().join("src/config")) {
        let text = fs::read_to_string(&path).unwrap();
        let lists = text.split("KEYS: &[&str] =").skip(1).filter_map(|rest| rest.split("];").next());
        keys.extend(lists.flat_map(|list| list.split('"').skip(1).step_by(2)).map(str::to_owned));
    }
    assert!(keys.contains("keep_bytes") && keys.contains("tlp_max"), "where are the keys? {keys:?}");
    keys
}

#[test]
fn each_key_of_the_configuration_is_in_the_reference() {
    let quoted = quoted(&read("docs/CONFIGURATION.md"));
    let sample = read("peers/cert-ee.toml.sample");
    let is_said = |key: &String| {
        let in_table = format!(" {key}");
        quoted
            .iter()
            .any(|word| word == key || word.ends_with(&in_table) || word.starts_with(&format!("[{key}]")))
            || sample.contains(&format!("[{key}]"))
    };
    let lacking: Vec<String> = config_keys().into_iter().filter(|key| !is_said(key)).collect();
    assert!(lacking.is_empty(), "docs/CONFIGURATION.md lacks these keys: {}", lacking.join(", "));
}

/// The sample with a true key, and with each line that shows a default taken as said.
#[test]
fn the_sample_of_a_peer_file_is_one() {
    let key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let lines = read("peers/cert-ee.toml.sample");
    let lines = lines.lines().map(|line| match line.strip_prefix("key = ") {
        Some(_) => format!("key = {key:?}"),
        None => line.to_owned(),
    });
    let plain: String = lines.map(|line| line + "\n").collect();
    let read = |text: &str| PeerFile::parse(Path::new("peers/cert-ee.toml"), text);
    let as_it_stands = read(&plain).expect("the sample");
    let defaults = ["#aliases", "#paused", "#tlp_max", "#relay"];
    let mut said = plain.clone();
    for default in defaults {
        assert!(said.contains(&format!("\n{default}")), "the sample has no line {default}");
        said = said.replace(&format!("\n{default}"), &format!("\n{}", &default[1..]));
    }
    let as_said = read(&said).expect("the sample with its defaults said");
    assert_eq!(as_it_stands.peer, as_said.peer, "a default in the sample is another one in the program");
}

/// Crate names in the tables of Cargo.toml whose heading ends with `dependencies]`.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let names = |key: &str| manifest[key].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
    names("dependencies").into_iter().chain(names("dev-dependencies")).collect()
}

#[test]
fn each_dependency_has_its_reason_and_no_reason_is_left_over() {
    let document = read("docs/DEPENDENCIES.md");
    let first_cell = |line: &str| line.strip_prefix("| `")?.split('`').next().map(str::to_owned);
    let explained: BTreeSet<String> = document.lines().filter_map(first_cell).collect();
    assert_eq!(dependencies(), explained, "Cargo.toml on the left, docs/DEPENDENCIES.md on the right");
}

#[test]
fn the_vocabulary_of_links_is_documented_as_the_program_has_it() {
    let document = read("docs/LINKS.md");
    let protocol = read("docs/PROTOCOL.md");
    for term in intelmesh::testing::VOCABULARY {
        let row = format!(
            "| `{}` | {} | `{}` | `{}` | {} |\n",
            term.name, term.inverse, term.misp, term.predicate, term.meaning
        );
        assert!(document.contains(&row), "docs/LINKS.md lacks this row:\n{row}");
        assert!(protocol.contains(&format!("`{}`", term.name)), "docs/PROTOCOL.md lacks {}", term.name);
    }
    let rows = document.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, intelmesh::testing::VOCABULARY.len(), "a type too many in docs/LINKS.md");
}

/// `$name` and its value, for each bound of the source.
macro_rules! bounds {
    ($($name:ident)*) => {
        [$((stringify!($name), intelmesh::testing::limits::$name as u64)),*]
    };
}

/// A second implementer has the document alone: each number in it is the one that the program uses.
#[test]
fn each_bound_of_the_protocol_is_the_one_in_use() {
    let bounds = bounds! {
        CBOR_DEPTH_MAX FRAME_BYTES_MAX ENVELOPE_BYTES_MAX UNPROTECTED_BYTES_MAX EXTENSIONS_BYTES_MAX LINE_BYTES_MAX
        EXT_BYTES_MAX JSON_DEPTH_MAX JSON_KEY_BYTES_MAX SEALED_BYTES_MIN SEALED_BYTES_MAX NAME_BYTES_MAX
        RECIPIENTS_MAX LINKS_MAX LINK_OPAQUE_BYTES_MAX PATH_HOPS_MAX TIME_MS_MAX CANDIDATE_KEYS_MAX
        FEDERATION_BYTES_MAX SOFTWARE_BYTES_MAX CAPABILITIES_MAX CAPABILITY_BYTES_MAX KEY_STATEMENTS_MAX
        KEY_STATEMENT_BYTES_MAX STATED_KEYS_MAX SUBSCRIBE_OPTIONS_BYTES_MAX CURSOR_MARKS_MAX DETAIL_BYTES_MAX
        INVITATION_CHARS_MAX INVITATION_ADDRESS_BYTES_MAX ADDRESSES_MAX WINDOW_ENVELOPES_MAX WINDOW_BYTES_MAX
        OWED_PER_FEED_MAX WANTS_IN_FLIGHT_MAX WANT_DELAY_MS OFFERED_HOLD_MS IN_FLIGHT_EXPIRES_MS ACK_DELAY_MS
        SKIP_SCANNED_MAX SKIP_EVERY_MS HEAD_EVERY_MS FEED_SILENT_MS ANSWER_LATE_MS CLONE_PROBE_MS LAZY_AFTER_DUPLICATES
        MAX_HOPS_DEFAULT CREATED_AHEAD_ACCEPTED_MS CREATED_AHEAD_OWED_MS EQUIVOCATION_PROOFS_MAX READ_AGAIN_MIN_MS
        RECONNECT_FIRST_MS RECONNECT_MAX_MS HANDSHAKE_MS CONNECTION_CLOSE_MS CONNECTION_IDLE_MS FEED_CLOSE_MS
        CONNECTIONS_PER_PEER_MAX MUXER_STREAMS_MAX FEEDS_PER_CONNECTION_MAX SEND_QUEUE_BYTES SEND_QUEUE_FACTOR
        DOOR_STRANGERS_PENDING_MAX DOOR_PREFIX_PENDING_MAX DOOR_PREFIX_PER_SECOND DOOR_PREFIX_BURST
        DOOR_KNOWN_PENDING_MAX DOOR_ADDRESS_PENDING_MAX DOOR_ADDRESS_PER_SECOND DOOR_ADDRESS_BURST
    };
    let in_use = BTreeMap::from(bounds.map(|(name, number)| (name.to_owned(), number)));
    let protocol = read("docs/PROTOCOL.md");
    let section = protocol.split("\n## 10. ").nth(1).expect("a section of bounds");
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let number = rest.split(" |").next()?.replace(',', "").parse().ok()?;
        Some((name.to_owned(), number))
    };
    let said: BTreeMap<String, u64> = section.lines().filter_map(row).collect();
    assert_eq!(in_use, said, "src/limits.rs on the left, docs/PROTOCOL.md §10 on the right");
}

/// The section number that `text` begins with.
fn section_number(text: &str) -> String {
    let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.trim_end_matches('.').to_owned()
}

/// What follows each `mark` in the source and the tests, with the file it stands in.
fn citations(mark: &str) -> Vec<(String, String)> {
    let files = ["src", "tests"].iter().flat_map(|dir| files_below(&root().join(dir)));
    let cited = files.flat_map(|path| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        text.split(mark).skip(1).map(|rest| (rest.to_owned(), file.clone())).collect::<Vec<_>>()
    });
    cited.collect()
}

/// Section numbers that comments cite are sections of the document.
#[test]
fn each_cited_section_exists() {
    let mut lacking = BTreeSet::new();
    for document in ["PROTOCOL.md", "CONTRACT.md"] {
        let text = read(&format!("docs/{document}"));
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let there: BTreeSet<String> =
            headings.map(|line| section_number(line.trim_start_matches(['#', ' ', '§']))).collect();
        for (rest, file) in citations(&format!("{document} §")) {
            let number = section_number(&rest);
            // `{document} §` in this file is the mark itself.
            if !number.is_empty() && !there.contains(&number) {
                lacking.insert(format!("{document} has no §{number}, which {file} cites"));
            }
        }
    }
    assert!(lacking.is_empty(), "{}", Vec::from_iter(lacking).join("\n"));
}

/// A decision is cited by its number (`decisions/0009`), and its index has each of them.
#[test]
fn each_cited_decision_exists_and_is_in_index() {
    let index = read("docs/decisions/README.md");
    let pages = files_below(&root().join("docs/decisions"));
    let names = pages.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name != "README.md").collect();
    let unlisted: Vec<&String> = names.iter().filter(|name| !index.contains(&format!("]({name})"))).collect();
    assert!(unlisted.is_empty(), "docs/decisions/README.md lacks {unlisted:?}");
    for (rest, file) in citations("decisions/") {
        let number = section_number(&rest);
        let is_there = names.iter().any(|name| name.starts_with(&format!("{number}-")));
        assert!(number.is_empty() || is_there, "{file} cites decisions/{number}, which does not exist");
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let leave = path.is_symlink() || name.starts_with('.') || name == "target";
        if path.is_dir() && !leave {
            files.extend(files_below(&path));
        } else if !leave {
            files.push(path);
        }
    }
    files
}

/// A heading as a link names it: lower case, spaces as dashes, without punctuation.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
        .collect()
}

#[test]
fn each_link_leads_somewhere() {
    let mut broken = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let there = target.exists()
                && (anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !there {
                broken.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}

/// A hint, a help text or a comment that names a document names one that exists.
#[test]
fn each_document_that_the_source_names_exists() {
    for (rest, file) in citations("docs/") {
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let end = rest.find(|c| !is_of_path(c)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('.');
        let names_one_file = name.ends_with(".md") || name.ends_with(".cddl");
        assert!(
            !names_one_file || root().join("docs").join(name).exists(),
            "{file} names docs/{name}, which does not exist"
        );
    }
}

/// The pages for people: everything in Markdown that is kept here.
fn pages() -> impl Iterator<Item = PathBuf> {
    files_below(&root()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"))
}

/// Each page of docs/ is in the map of its readers.
#[test]
fn each_page_is_in_the_map() {
    let map = read("docs/README.md");
    let of_docs = pages().filter_map(|page| Some(page.strip_prefix(root().join("docs")).ok()?.to_owned()));
    let lacking: Vec<PathBuf> = of_docs
        .filter(|page| !page.starts_with("decisions") && page != Path::new("README.md"))
        .filter(|page| !map.contains(&format!("]({})", page.display())))
        .collect();
    assert!(lacking.is_empty(), "docs/README.md lacks {lacking:?}");
}

/// Long lines are unreadable in a diff. Tables, code and links have no other way.
#[test]
fn lines_of_documents_have_100_columns() {
    let mut long = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut is_code = false;
        for (index, line) in text.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let is_free = is_code || line.starts_with(['|', '#']) || line.starts_with("    ");
            if !is_free && line.chars().count() > 100 {
                long.push(format!("{}:{}", page.strip_prefix(root()).unwrap().display(), index + 1));
            }
        }
    }
    assert!(long.is_empty(), "more than 100 columns:\n  {}", long.join("\n  "));
}

#[test]
fn each_test_that_the_threat_model_names_exists() {
    let mut functions = BTreeSet::new();
    for dir in ["src", "tests"] {
        for path in files_below(&root().join(dir)) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let named = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            functions.extend(named.map(str::to_owned));
        }
    }
    let security = read("docs/SECURITY.md");
    let rows = security.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 5);
    let last_cells = rows.filter_map(|row| row.split('|').nth(4).map(quoted));
    let unknown: Vec<String> = last_cells.flatten().filter(|name| !functions.contains(name)).collect();
    assert!(unknown.is_empty(), "docs/SECURITY.md names tests that do not exist: {}", unknown.join(", "));
}

#[test]
fn no_private_key_is_kept_here() {
    let markers = [concat!("PRIVATE ", "KEY-----"), concat!("-----BEGIN ", "ENCRYPTED")];
    for path in files_below(&root()) {
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !markers.iter().any(|marker| text.contains(marker)),
            "{} holds a private key",
            path.display()
        );
    }
    let kept: Vec<_> =
        files_below(&root().join("keys")).into_iter().filter(|path| !path.ends_with("README.md")).collect();
    assert!(kept.iter().all(|path| path.extension().is_some_and(|e| e == "sample")), "{kept:?}");
}
