//! The name of a consumer.

use crate::identity::{IdentityError, PublisherName};

/// The name of a consumer: as `out.sock` or the configuration gives it, in the form of a publisher's, or `CLIENT/NAME`
/// for one of a client of the HTTP door. So a client cannot take the position of another consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

impl ConsumerName {
    /// # Errors
    /// [`IdentityError::Name`].
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        PublisherName::parse(text).map(|name| Self(name.to_string()))
    }

    /// Returns the consumer `name` of a client.
    ///
    /// # Errors
    /// [`IdentityError::Name`].
    pub fn of_client(client: &PublisherName, name: &str) -> Result<Self, IdentityError> {
        PublisherName::parse(name).map(|name| Self(format!("{client}/{name}")))
    }

    /// Reads either form.
    ///
    /// # Errors
    /// [`IdentityError::Name`].
    pub fn parse_any(text: &str) -> Result<Self, IdentityError> {
        match text.split_once('/') {
            Some((client, name)) => Self::of_client(&PublisherName::parse(client)?, name),
            None => Self::parse(text),
        }
    }

    /// Returns the client of the HTTP door that it belongs to.
    pub fn client(&self) -> Option<&str> {
        self.0.split_once('/').map(|(client, _)| client)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
