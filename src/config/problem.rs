//! A problem in one of the operator's files: its position, the fault and a hint. Printed as `FILE:LINE: what` and a
//! hint; it does not decide what a problem stops.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::filter::{self, FilterFault};
use crate::format::StripRuleError;
use crate::format::intelmq::RelationFieldError;
use crate::identity::IdentityError;

/// One thing to fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// As shown: relative to the node's directory if it lies in it.
    pub file: PathBuf,
    /// From 1; `None` if the file as a whole is meant and there is none to open.
    pub line: Option<usize>,
    /// In characters, from 1, if a fault lies inside a value.
    pub column: Option<usize>,
    pub fault: ConfigFault,
}

impl ConfigProblem {
    pub fn new(file: &Path, line: usize, fault: ConfigFault) -> Self {
        Self { file: file.to_owned(), line: Some(line), column: None, fault }
    }

    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }

    /// Returns `not_built` for a setting of a later version.
    #[cfg(test)]
    pub fn code(&self) -> Option<&'static str> {
        matches!(self.fault, ConfigFault::NotBuilt { .. }).then_some("not_built")
    }
}

/// Prints `FILE:LINE: what`, without the hint.
impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        write!(f, " {}", self.fault)
    }
}

/// All problems of one load, in the order of file and line; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.0.iter().map(ConfigProblem::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigErrors(pub Vec<ConfigProblem>);

/// The keys of one section of a file; the name of the top one is empty.
pub(crate) type KnownKeys = (&'static str, &'static [&'static str]);

/// The faults of files. The operator has to fix them all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigFault {
    #[error("no such file")]
    NotFound,
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("{bytes} bytes, more than {max}")]
    TooLarge { bytes: u64, max: u64 },
    #[error("{0}")]
    Syntax(String),
    #[error("unknown key \"{key}\"")]
    UnknownKey { key: String, known: &'static [&'static str], sections: &'static [KnownKeys] },
    #[error("not_built: \"{key}\" is not built yet")]
    NotBuilt { key: String },
    #[error("\"{key}\" is missing")]
    Missing { key: &'static str, hint: &'static str },
    #[error("\"{key}\" is empty")]
    Empty { key: &'static str, hint: &'static str },
    #[error("\"{key}\" must be {wanted}, not {found}")]
    Kind { key: String, wanted: &'static str, found: &'static str },
    #[error("\"{key}\": \"{value}\" is not {wanted}")]
    Value { key: String, value: String, wanted: &'static str },
    #[error("\"{key}\": {fault}")]
    Identity { key: &'static str, fault: IdentityError },
    #[error("\"{0}\" is not a valid name for a peer")]
    FileName(String),
    #[error("\"{0}\" is not a valid name for a group")]
    GroupName(String),
    #[error("\"{0}\" is not a valid name for a client")]
    ClientName(String),
    #[error("the same token as in {}", .0.display())]
    SameToken(PathBuf),
    #[error("\"{key}\": {fault}")]
    Filter { key: &'static str, fault: FilterFault },
    #[error("this is our own name")]
    OwnName,
    #[error("this is our own key")]
    OwnKey,
    #[error("the same key as in {}", .0.display())]
    SameKey(PathBuf),
    #[error("\"{name}\" is a name in {} already", .file.display())]
    SameName { name: String, file: PathBuf },
    #[error("more than {0} peers")]
    TooMany(usize),
    #[error("\"{key}\" is not a key of a door {way}")]
    NotOfDoor { key: &'static str, way: String },
    #[error("\"harmonization\": {0}")]
    Harmonization(String),
    #[error("\"relation_fields\": {0}")]
    RelationFields(RelationFieldError),
    #[error("\"strip\": {0}")]
    Strip(StripRuleError),
    #[error("another door is called \"{0}\"")]
    DoorName(String),
    #[error("\"listen\": {0} can be reached by others, and \"allow\" does not say who may")]
    OpenDoor(std::net::SocketAddr),
    #[error("\"listen\": {0} can be reached by others, and there is no TLS")]
    OpenWeb(std::net::SocketAddr),
    #[error("door {door} {what}")]
    AtOdds { door: String, what: String, hint: &'static str },
    #[error("more than {0} groups")]
    TooManyGroups(usize),
    #[error("more than {0} clients")]
    TooManyClients(usize),
}

impl ConfigFault {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Filter { fault, .. } => fault.hint(),
            Self::Value { value, wanted, .. } => {
                filter::nearest(value, choices(wanted)).map(|near| format!("did you mean \"{near}\"?"))
            }
            Self::Unreadable(why) if why.starts_with("Permission denied") => Some(
                "run this as the account that the files belong to, or as root (see docs/howto/let-accounts-use-a-node.md)".into(),
            ),
            Self::NotFound => Some(
                "name the node's directory: -C DIR, or INTELMESH_DIR; a new node: intelmesh init DIR --name NAME".into(),
            ),
            Self::UnknownKey { key, known, sections } => Some(unknown_key(key, known, sections)),
            Self::NotBuilt { key } => {
                Some(format!("take \"{key}\" out: it is refused rather than ignored until it is built"))
            }
            Self::Missing { hint, .. } | Self::Empty { hint, .. } | Self::AtOdds { hint, .. } => {
                Some((*hint).into())
            }
            Self::FileName(stem) => Some(match crate::identity::PublisherName::parse(&stem.to_lowercase()) {
                Ok(name) => format!("rename the file to {name}.toml"),
                Err(_) => "the file's name is the peer's: 1 to 32 of a-z, 0-9 and \"-\"".into(),
            }),
            Self::GroupName(_) => {
                Some("the file's name is the group's: 1 to 32 of a-z, 0-9 and \"-\"".into())
            }
            Self::ClientName(_) => {
                Some("the file's name is the client's: 1 to 32 of a-z, 0-9 and \"-\"".into())
            }
            Self::SameToken(_) => {
                Some("one token is one client: intelmesh client remove one of them, and add it again".into())
            }
            Self::OwnName | Self::OwnKey => Some("a node is no peer of its own: remove the file".into()),
            Self::SameKey(_) => {
                Some("one key is one peer: keep one file, with the other name in aliases".into())
            }
            Self::NotOfDoor { way, .. } => Some(format!("take it out: it means nothing {way}")),
            Self::Harmonization(_) => Some(
                "name the receiver's harmonization.conf, or leave the key out: then it is IntelMQ 3.5.0's"
                    .into(),
            ),
            Self::RelationFields(_) => {
                Some("relation_fields = { withdrawn_by = \"extra.withdrawn_by\" }, or false".into())
            }
            Self::Strip(fault) => Some(fault.hint().into()),
            Self::DoorName(_) => Some("give one of them a name of its own: name = \"…\"".into()),
            Self::OpenDoor(_) => Some(
                "listen on 127.0.0.1, or name the networks of your bots: allow = [\"192.0.2.0/24\"]".into(),
            ),
            Self::OpenWeb(_) => Some(
                "listen on 127.0.0.1 behind a proxy, or name a certificate: tls_cert = \"FILE\", tls_key = \"FILE\"".into(),
            ),
            Self::SameName { .. } => Some("one name is one peer: rename one, or take the alias out".into()),
            _ => None,
        }
    }
}

/// The words of a message that may stand in a file: those in quotation marks, and labels.
fn choices(wanted: &'static str) -> impl Iterator<Item = &'static str> {
    let label = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'+');
    let labels = wanted.split([' ', ',']).filter(label);
    wanted.split('"').skip(1).step_by(2).chain(labels)
}

fn unknown_key(key: &str, known: &[&'static str], sections: &[KnownKeys]) -> String {
    if let Some(near) = nearest(key, known) {
        return format!("did you mean \"{near}\"?");
    }
    let elsewhere =
        sections.iter().find_map(|(section, keys)| nearest(key, keys).map(|near| (*section, near)));
    match elsewhere {
        Some(("", near)) => format!("did you mean \"{near}\"? it belongs above the first [section]"),
        Some((section, near)) => format!("did you mean \"{near}\"? it belongs below [{section}]"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known key that was probably meant.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let typed = key.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, name), *name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 4))
        .min()
        .map(|(_, name)| name)
}
