//! The name of a consumer.

use crate::identity::{IdentityError, PublisherName};

/// The name of a consumer, as `out.sock` or the configuration gives it: the same form as a publisher's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(PublisherName);

impl ConsumerName {
    /// # Errors
    /// [`IdentityError::Name`].
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        PublisherName::parse(text).map(Self)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl std::fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
