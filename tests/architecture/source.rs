//! Rust source as the rules of the house see it: code without comments and literals, comments without code,
//! and where functions and structs begin and end. It is no parser: it knows brackets and words, which is
//! enough for rules that count lines and look for names.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, in three views with the same line numbers.
pub struct Source {
    /// From the project's directory, with `/`.
    pub path: String,
    pub text: String,
    /// Comments and the insides of string literals are blanks.
    pub code: String,
    /// All but comments is blank.
    pub comments: String,
}

/// A function or struct: its name and the lines from its keyword to its closing brace, counted from 1.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub first: usize,
    pub last: usize,
}

impl Source {
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        Self::new(path, text)
    }

    pub fn new(path: String, text: String) -> Self {
        let (code, comments) = split(&text);
        Self { path, text, code, comments }
    }

    /// Is the whole file compiled for tests alone?
    pub fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The code without what is compiled for tests alone.
    pub fn shipped_code(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let mut code = self.code.clone().into_bytes();
        while let Some(start) = String::from_utf8_lossy(&code).find("#[cfg(test)]") {
            let end = end_of_item(&code, start);
            for byte in &mut code[start..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        String::from_utf8(code).expect("blanks replaced whole items")
    }

    pub fn functions(&self) -> Vec<Item> {
        items(&self.code, "fn")
    }

    pub fn structs(&self) -> Vec<Item> {
        items(&self.code, "struct")
    }

    /// The doc comment above line `first`, attributes between included.
    pub fn doc_above(&self, first: usize) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let above = lines[..first - 1].iter().rev();
        let doc = above.take_while(|line| {
            let line = line.trim_start();
            line.starts_with("///") || line.starts_with("#[") || line.starts_with(')') || line.ends_with(',')
        });
        doc.copied().collect::<Vec<_>>().join("\n")
    }
}

/// All `.rs` files below `dir`, in a fixed order.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        all_files(dir).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect();
    files.sort();
    files
}

/// All files below `dir`, but for hidden ones and `target`.
pub fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(dir) = rest.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink()
                || (name.starts_with('.') && name != ".ci")
                || name == "target"
                || name == "__pycache__"
            {
                continue;
            }
            if path.is_dir() { rest.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Words of an identifier: `HopPath` and `hop_path` both give `hop`, `path`.
pub fn words_of(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && !before.is_uppercase()) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Identifiers and words of `text` with their line numbers, counted from 1.
pub fn identifiers(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(move |word| (index + 1, word))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum In {
    Code,
    Line,
    Block(usize),
    Text,
    Raw(usize),
}

fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut state = In::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, width) = step(&chars, at, state);
        let comment = |s: In| matches!(s, In::Line | In::Block(_));
        for (offset, &c) in chars[at..(at + width).min(chars.len())].iter().enumerate() {
            let blank = if c == '\n' { '\n' } else { ' ' };
            let plain = state == In::Code && next == In::Code && (width == 1 || offset == 0);
            code.push(if plain || (state == In::Code && !comment(next) && next != In::Code) {
                c
            } else {
                blank
            });
            comments.push(if comment(state) || comment(next) { c } else { blank });
        }
        at += width;
        state = next;
    }
    (code, comments)
}

/// The state after the characters at `at`, and how many they are.
fn step(chars: &[char], at: usize, state: In) -> (In, usize) {
    let c = chars[at];
    let next = chars.get(at + 1).copied().unwrap_or(' ');
    match state {
        In::Code => code_step(chars, at, c, next),
        In::Line if c == '\n' => (In::Code, 1),
        In::Line => (In::Line, 1),
        In::Block(depth) if c == '/' && next == '*' => (In::Block(depth + 1), 2),
        In::Block(depth) if c == '*' && next == '/' => {
            (if depth == 1 { In::Code } else { In::Block(depth - 1) }, 2)
        }
        In::Block(depth) => (In::Block(depth), 1),
        In::Text if c == '\\' => (In::Text, 2),
        In::Text if c == '"' => (In::Code, 1),
        In::Text => (In::Text, 1),
        In::Raw(hashes) if c == '"' && (1..=hashes).all(|n| chars.get(at + n) == Some(&'#')) => {
            (In::Code, 1 + hashes)
        }
        In::Raw(hashes) => (In::Raw(hashes), 1),
    }
}

fn code_step(chars: &[char], at: usize, c: char, next: char) -> (In, usize) {
    if c == '/' && next == '/' {
        return (In::Line, 2);
    }
    if c == '/' && next == '*' {
        return (In::Block(1), 2);
    }
    if c == '"' {
        return (In::Text, 1);
    }
    let starts_word =
        at == 0 || !(chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') || chars[at - 1] == 'b';
    if c == 'r' && (next == '"' || next == '#') && starts_word {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            return (In::Raw(hashes), 2 + hashes);
        }
    }
    // A character literal, as against a lifetime: `'x'`, or `'\` and up to the closing quote.
    if c == '\'' && next == '\\' {
        let length = chars[at + 3..].iter().take_while(|c| **c != '\'').count();
        return (In::Code, length + 4);
    }
    if c == '\'' && chars.get(at + 2) == Some(&'\'') {
        return (In::Code, 3);
    }
    (In::Code, 1)
}

fn items(code: &str, keyword: &str) -> Vec<Item> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find(keyword) {
        let start = from + found;
        from = start + keyword.len();
        let whole = (start == 0 || !is_word(bytes[start - 1])) && bytes.get(from) == Some(&b' ');
        let name: String =
            code[from..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !whole || name.is_empty() {
            continue;
        }
        let end = end_of_item(bytes, start);
        if bytes[end - 1] == b'}' {
            let line = |at: usize| code[..at].matches('\n').count() + 1;
            items.push(Item { name, first: line(start), last: line(end - 1) });
        }
    }
    items
}

/// Just past the brace or semicolon that ends the item which begins at `start`.
fn end_of_item(bytes: &[u8], start: usize) -> usize {
    let (mut braces, mut others) = (0usize, 0usize);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return at + 1;
                }
            }
            b';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}
