//! An incident event as parsed: its checked body and the name of its format. What the fields mean is the
//! pipelines' business.

use std::fmt;
use std::sync::Arc;

/// Name of a body's format: `intelmq`, `idea`, `n6`, `misp`, or another short name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Format(Arc<str>);

impl Format {
    /// 1 to 32 of `a-z`, `0-9` and `-`, as a name.
    pub fn parse(text: &str) -> Option<Self> {
        crate::identity::ProjectName::parse(text).ok().map(|name| Self(name.as_str().into()))
    }

    pub fn intelmq() -> Self {
        Self("intelmq".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
