//! The rules of the house, held by a test so that nobody has to remember them: what may import what, how long
//! a function may be, which words the project does not use. Each failure names file, line and what to do.
//! What the compiler and clippy can see is left to them.

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/language.rs"]
mod language;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use source::{Source, all_files, identifiers, rust_files, words_of};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const STRUCT_FIELDS_MAX: usize = 12;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What is compiled into the node.
fn shipped() -> Vec<Source> {
    rust_files(&root().join("src")).iter().map(|path| Source::read(&root(), path)).collect()
}

/// That, and what tests and measures it.
fn all() -> Vec<Source> {
    let dirs = ["src", "tests", "benches", "examples", "fuzz"];
    let files = dirs.iter().flat_map(|dir| rust_files(&root().join(dir)));
    files.map(|path| Source::read(&root(), &path)).collect()
}

/// `store` for `src/store/journal.rs` and `src/store.rs`.
fn module_of(path: &str) -> String {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}\n", faults.join("\n  "));
}

#[test]
fn imports_point_one_way() {
    let mut faults = Vec::new();
    // Names for tests, of any module, and not compiled into the node.
    for file in shipped().iter().filter(|file| file.path != "src/testing.rs") {
        let module = module_of(&file.path);
        let Some((_, allowed)) = imports::MAY_NAME.iter().find(|(name, _)| *name == module) else {
            faults.push(format!(
                "{}: module `{module}` has no line in tests/architecture/imports.rs",
                file.path
            ));
            continue;
        };
        let crate_word = if module == "main" { "intelmesh" } else { "crate" };
        for (line, named, rest) in imports::named_in(&file.shipped_code(), crate_word) {
            // The compiler keeps `fixture` out of the node.
            let free = named == module || named == "fixture";
            if free || named.starts_with(char::is_uppercase) || !is_module(&named) {
                continue;
            }
            if !allowed.contains(&named.as_str()) {
                faults.push(format!("{}:{line}: `{module}` may not name `{named}`", file.path));
            }
            let adapter = imports::ADAPTERS.contains(&module.as_str());
            if adapter && named == "protocol" && rest != imports::PROTOCOL_FOR_ADAPTERS {
                faults.push(format!(
                    "{}:{line}: an adapter sees `protocol::io` alone, not `{rest}`",
                    file.path
                ));
            }
        }
    }
    report("imports point one way (decisions/0002)", &faults);
}

fn is_module(name: &str) -> bool {
    root().join("src").join(name).is_dir() || root().join("src").join(format!("{name}.rs")).is_file()
}

#[test]
fn each_outside_crate_is_known_in_one_place() {
    let mut faults = Vec::new();
    for file in shipped() {
        let module = module_of(&file.path);
        for (name, allowed) in imports::CRATES {
            if allowed.contains(&module.as_str()) {
                continue;
            }
            for (line, ..) in imports::named_in(&file.shipped_code(), name) {
                faults.push(format!(
                    "{}:{line}: `{name}` is the business of {}",
                    file.path,
                    allowed.join(", ")
                ));
            }
        }
    }
    report("each outside crate is known in one place", &faults);
}

#[test]
fn only_door_types_are_serialisable() {
    let mut faults = Vec::new();
    for file in shipped().iter().filter(|file| !imports::DOORS.contains(&module_of(&file.path).as_str())) {
        for (index, line) in file.shipped_code().lines().enumerate() {
            if line.contains("derive(") && (line.contains("Serialize") || line.contains("Deserialize")) {
                faults.push(format!(
                    "{}:{}: a serialisable type is a promise; make a door type",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    report("only door types derive Serialize", &faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = all();
    let without = files.iter().filter(|file| !file.text.starts_with("//! "));
    report("every file opens with `//!`", &without.map(|file| file.path.clone()).collect::<Vec<_>>());
}

#[test]
fn files_functions_and_structs_fit_in_a_head() {
    let mut faults = Vec::new();
    for file in all() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path));
        }
        for function in file.functions() {
            let lines = function.last - function.first + 1;
            if lines > FUNCTION_LINES_MAX {
                let (path, first, name) = (&file.path, function.first, &function.name);
                faults.push(format!(
                    "{path}:{first}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
                ));
            }
        }
        for found in file.structs() {
            let fields = fields(&file, found.first, found.last);
            if fields > STRUCT_FIELDS_MAX && !file.doc_above(found.first).contains("mirrors") {
                let (path, first, name) = (&file.path, found.first, &found.name);
                faults.push(format!(
                    "{path}:{first}: struct {name} has {fields} fields, at most {STRUCT_FIELDS_MAX} (or \"mirrors …\" in its doc)"
                ));
            }
        }
    }
    report("files, functions and structs fit in a head", &faults);
}

/// Lines of the struct's own body that name a field.
fn fields(file: &Source, first: usize, last: usize) -> usize {
    let mut depth = 0i32;
    let mut fields = 0;
    for line in file.code.lines().skip(first - 1).take(last - first + 1) {
        let name = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let name = name.trim_start_matches("pub ");
        let word = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        if depth == 1 && word > 0 && name[word..].starts_with(':') {
            fields += 1;
        }
        depth += line.matches(['{', '(']).count() as i32 - line.matches(['}', ')']).count() as i32;
    }
    fields
}

#[test]
fn one_word_for_each_thing() {
    let mut faults = Vec::new();
    for file in shipped() {
        // `Vec::dedup` is the standard library's name.
        let code = file.code.replace(".dedup", ".     ");
        for (line, identifier) in identifiers(&code).chain(identifiers(&file.comments)) {
            let words = words_of(identifier);
            for (banned, instead) in imports::BANNED_WORDS {
                if words.iter().any(|word| word == banned) {
                    faults.push(format!("{}:{line}: \"{identifier}\": say {instead}", file.path));
                }
            }
        }
        if imports::NO_MESSAGES.contains(&module_of(&file.path).as_str()) {
            for (line, identifier) in identifiers(&code) {
                if words_of(identifier).iter().any(|word| word == "message" || word == "messages") {
                    faults.push(format!("{}:{line}: \"{identifier}\": say envelope or frame", file.path));
                }
            }
        }
    }
    report("one word for each thing (docs/GLOSSARY.md)", &faults);
}

/// Readers know other projects by such figures: see docs/CONTRIBUTING.md.
#[test]
fn doc_comments_are_plain_english() {
    let text = language::doc_comments(&shipped());
    let mut faults = Vec::new();
    for (pattern, max, instead) in language::RARE {
        let rate = language::per_thousand(&text, pattern);
        if rate >= max {
            faults.push(format!("{pattern}: {rate:.2} in 1,000 words, below {max}: {instead}"));
        }
    }
    let rate = language::per_thousand(&text, r"(?i)\b(?:if|when)\b");
    if rate <= language::CONDITIONS_MIN {
        faults.push(format!(
            "\"if\" and \"when\": {rate:.2} in 1,000 words, above {}",
            language::CONDITIONS_MIN
        ));
    }
    report("doc comments are plain English", &faults);
}

#[test]
fn type_names_say_which_thing() {
    let names = language::type_names(&shipped());
    let twice: Vec<&String> = names.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    assert!(twice.len() < language::TWICE_MAX, "defined twice, so give each two words: {twice:?}");
    let single = names.keys().filter(|name| language::is_single_word(name)).count();
    let share = single * 100 / names.len();
    assert!(share < language::SINGLE_WORDS_MAX, "{share} % of type names are a single word");
}

#[test]
fn no_module_is_a_drawer() {
    let mut faults = BTreeSet::new();
    for file in shipped() {
        let parts = Path::new(&file.path).with_extension("");
        for part in parts.iter().map(|part| part.to_string_lossy().into_owned()) {
            if imports::NO_MODULE.contains(&part.as_str()) {
                faults.insert(format!("{}: name what is in it, not that it is a \"{part}\"", file.path));
            }
        }
        for (index, line) in file.code.lines().enumerate() {
            let declared = line
                .trim_start()
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ")
                .strip_prefix("mod ");
            let name = declared.map(|rest| rest.trim_end_matches([';', ' ', '{'])).unwrap_or_default();
            if imports::NO_MODULE.contains(&name) {
                faults.insert(format!("{}:{}: module `{name}`", file.path, index + 1));
            }
        }
    }
    report("no module is a drawer", &faults.into_iter().collect::<Vec<_>>());
}

/// What changes the file system, and who else may: sockets and the demo's own directory are no lasting files, the
/// operator's exports are the operator's, `handed/` survives the process alone, and segments are written at offsets.
#[test]
fn files_change_in_one_place() {
    let words = [
        "fs::write(",
        "fs::rename(",
        "fs::remove_file(",
        "fs::remove_dir",
        "fs::create_dir",
        "DirBuilder",
        ".persist",
    ];
    let others = [
        "src/files",
        "src/local/socket.rs",
        "src/local/mod.rs",
        "src/cli/demo",
        "src/cli/event.rs",
        "src/local/deliver/marker.rs",
        "src/store/file_disk.rs",
        "src/daemon/frame_dump.rs",
    ];
    let mut faults = Vec::new();
    for file in shipped().iter().filter(|file| !others.iter().any(|other| file.path.starts_with(other))) {
        for (index, line) in file.shipped_code().lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: `{word}`: use `files` (docs/FILES.md)", file.path, index + 1));
            }
        }
    }
    report("files change in one place", &faults);
}

#[test]
fn time_comes_from_the_clock_and_every_queue_is_bounded() {
    let banned = [
        ("Instant::now", "time is an argument; only `clock` reads it"),
        ("SystemTime::now", "time is an argument; only `clock` reads it"),
        ("Timestamp::now", "time is an argument; only `clock` reads it"),
        ("unbounded", "every queue is bounded"),
        ("Unbounded", "every queue is bounded"),
        ("mpsc::channel()", "std's channel is unbounded; use `sync_channel`"),
    ];
    let mut faults = Vec::new();
    for file in shipped().iter().filter(|file| module_of(&file.path) != "clock") {
        for (index, line) in file.shipped_code().lines().enumerate() {
            for (word, why) in banned.iter().filter(|(word, _)| line.contains(word)) {
                faults.push(format!("{}:{}: `{word}`: {why}", file.path, index + 1));
            }
        }
    }
    report("time and queues", &faults);
}

#[test]
fn nothing_is_left_half_done() {
    let code_words =
        ["todo!(", "unimplemented!(", "dbg!(", "allow(dead_code)", "allow(unused", "unsafe {", "unsafe fn"];
    let comment_words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let mut faults = Vec::new();
    for file in all() {
        for (index, (code, comment)) in file.code.lines().zip(file.comments.lines()).enumerate() {
            let in_code = code_words.iter().filter(|word| code.contains(**word));
            let in_comment = comment_words.iter().filter(|word| comment.contains(**word));
            for word in in_code.chain(in_comment) {
                faults.push(format!("{}:{}: {word}", file.path, index + 1));
            }
        }
    }
    report("nothing is left half done", &faults);
}

/// A pause is right only inside a wait for a condition, which has a deadline.
#[test]
fn tests_wait_for_conditions_and_do_not_sleep() {
    let mut faults = Vec::new();
    for file in all() {
        let waits: Vec<_> = file.functions().into_iter().filter(|function| is_wait(&function.name)).collect();
        let in_test = file.path.starts_with("tests/") || file.path.ends_with("/tests.rs");
        for (index, line) in file.code.lines().enumerate().filter(|(_, line)| line.contains("sleep(")) {
            let line_number = index + 1;
            let waiting = waits.iter().any(|wait| wait.first <= line_number && line_number <= wait.last);
            if !waiting && (in_test || line.contains("thread::sleep")) {
                faults.push(format!(
                    "{}:{line_number}: wait on a condition with a deadline, in a function named wait…/until…",
                    file.path
                ));
            }
        }
    }
    report("no test sleeps to synchronise", &faults);
}

fn is_wait(name: &str) -> bool {
    words_of(name)
        .iter()
        .any(|word| ["wait", "waits", "until", "eventually", "pace", "paced"].contains(&word.as_str()))
}

#[test]
fn nothing_names_a_place_on_one_machine() {
    let banned = [concat!("/", "work/"), concat!("/", "tmp/"), concat!("/", "root/"), concat!("/", "home/")];
    let text_files = ["rs", "toml", "md", "py", "sh", "cddl", "sample", "service", "txt", ""];
    let mut faults = Vec::new();
    for path in all_files(&root()) {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if !text_files.contains(&extension.as_str()) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                faults.push(format!(
                    "{}:{}: {word}",
                    path.strip_prefix(root()).unwrap().display(),
                    index + 1
                ));
            }
        }
    }
    report("nothing names a place on one machine", &faults);
}

#[test]
fn the_reader_of_source_tells_code_from_comments_and_literals() {
    let text = r##"//! doc { of it
fn one(a: &'static str) -> char { // }
    let b = "} \" {"; /* { /* } */ */ let c = '}'; let d = '\''; let e = r#"}" {"#;
    '{'
}
#[cfg(test)]
mod tests { fn two() {} }
struct Three { a: [u8; 2], b: u8 }
"##;
    let file = Source::new("src/x.rs".into(), text.into());
    let functions = file.functions();
    assert_eq!(
        functions.iter().map(|f| (f.name.as_str(), f.first, f.last)).collect::<Vec<_>>(),
        [("one", 2, 5), ("two", 7, 7)]
    );
    assert_eq!(file.structs().len(), 1);
    assert!(file.comments.contains("doc { of it") && !file.code.contains("doc"));
    assert!(!file.shipped_code().contains("two") && file.shipped_code().contains("Three"));
    assert_eq!(words_of("HopPath_of"), ["hop", "path", "of"]);
}

#[test]
fn the_reader_of_imports_sees_paths_and_groups() {
    let code = "use crate::store::Journal;\nuse crate::{wire::Frame, policy::{Tlp, Rate}, time};\nlet a = crate::cli::run();\npub(crate) fn x() {}";
    let named: Vec<(usize, String)> =
        imports::named_in(code, "crate").into_iter().map(|(l, m, _)| (l, m)).collect();
    let want = [(1, "store"), (2, "wire"), (2, "policy"), (2, "time"), (3, "cli")];
    assert_eq!(named, want.map(|(line, module)| (line, module.to_owned())));
}

/// What tests switch by the environment is compiled in by the feature `sim`, which no default build has.
#[test]
fn the_shipped_program_has_no_switch_of_tests() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let features = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    assert!(features.contains("\ndefault = [\"node\"]\n"), "{features}");
    let node = features.split("\nnode = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    assert!(!node.contains("\"sim\""), "{node}");

    const FOR_OPERATORS: [&str; 4] =
        ["INTELMESH_DIR", "INTELMESH_LOG", "INTELMESH_PASSPHRASE_FILE", "INTELMESH_RUN"];
    let mut faults = Vec::new();
    let of_tests = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    // It sets variables for the operator's command, and reads none.
    let sets_them = |path: &str| path == "src/daemon/on_health.rs";
    for file in shipped().iter().filter(|file| !of_tests(&file.path) && !sets_them(&file.path)) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("\"INTELMESH_")) {
            let for_operators = FOR_OPERATORS.iter().any(|name| line.contains(name));
            let above = &lines[index.saturating_sub(3)..index];
            if !for_operators && !above.iter().any(|line| line.contains("#[cfg(feature = \"sim\")]")) {
                faults.push(format!("{}:{}: put it behind the feature `sim`", file.path, index + 1));
            }
        }
    }
    report("the shipped program has no switch of tests", &faults);
}
