//! The system's reason why a name cannot be resolved, in words for operators: the same at each place with a name.
//! Nothing is resolved here.

use std::io;

/// The standard library puts this before the system's own words.
const LIBRARY_WORDS: &str = "failed to lookup address information: ";

/// `place` is a host, or `HOST:PORT`. An error of another kind stays as it is.
pub(crate) fn in_words(place: &str, error: io::Error) -> io::Error {
    match error.to_string().strip_prefix(LIBRARY_WORDS) {
        Some(why) => io::Error::new(error.kind(), unresolved(host_of(place), why)),
        None => error,
    }
}

/// The same for an error of a look-up, with any text of the library.
pub(crate) fn look_up_failed(host: &str, error: &io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), unresolved(host, text.strip_prefix(LIBRARY_WORDS).unwrap_or(&text)))
}

fn unresolved(host: &str, why: &str) -> String {
    format!("the name {host} cannot be resolved: {why}")
}

fn host_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_address_is_told_in_words() {
        let failed = || io::Error::other(format!("{LIBRARY_WORDS}Name or service not known"));
        let told = "the name nosuch.invalid cannot be resolved: Name or service not known";
        assert_eq!(in_words("nosuch.invalid:5001", failed()).to_string(), told);
        assert_eq!(look_up_failed("nosuch.invalid", &failed()).to_string(), told);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(in_words("h:1", refused).kind(), io::ErrorKind::ConnectionRefused);
    }
}
