//! Format versions of the store's files. The version is compared before anything else of a file is read, a CRC
//! included, so that a file of another version is never called damaged and never overwritten. The content of the files
//! does not matter here.

use thiserror::Error;

/// A file of another version than the one that this program reads. The node refuses to start, and changes nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file}: format {found} was {}, this program reads format {reads}", if self.is_newer() {
    "written by a newer version of intelmesh"
} else {
    "made before this version of intelmesh"
})]
pub struct OtherFormat {
    pub file: String,
    pub found: u32,
    pub reads: u32,
    /// The directory to be moved away, if its content can be made again from the journal.
    pub derived: Option<&'static str>,
}

impl OtherFormat {
    pub fn is_newer(&self) -> bool {
        self.found > self.reads
    }

    /// Returns the steps that the operator can take.
    pub fn hint(&self) -> String {
        match (self.is_newer(), self.derived) {
            (true, None) => "run the newer intelmesh that wrote it; nothing was changed".into(),
            (true, Some(what)) => format!(
                "run the newer intelmesh that wrote it, or move {what} out of the node's directory: it is made again from the journal"
            ),
            (false, Some(what)) => {
                format!(
                    "move {what} out of the node's directory and start again: it is made again from the journal"
                )
            }
            (false, None) => {
                "move journal/, seen/ and links/ out of the node's directory and start again: the node \
                              begins a new journal, and takes from its peers what they still keep"
                    .into()
            }
        }
    }
}

/// The first eight bytes of a derived file: seven that name the kind, and the version as a digit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileFormat {
    kind: [u8; 7],
    version: u8,
    derived: &'static str,
}

impl FileFormat {
    pub(crate) const fn new(kind: [u8; 7], version: u8, derived: &'static str) -> Self {
        assert!(version < 10, "the version is one digit");
        Self { kind, version, derived }
    }

    pub(crate) const fn magic(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g] = self.kind;
        [a, b, c, d, e, f, g, b'0' + self.version]
    }

    /// Returns whether `bytes` begin as a file of this kind and version; `label` is the file for the operator.
    ///
    /// # Errors
    /// [`OtherFormat`]: it is of this kind and of another version.
    pub(crate) fn check(&self, label: &str, bytes: &[u8]) -> Result<bool, OtherFormat> {
        match bytes.split_first_chunk::<7>() {
            Some((kind, [digit, ..])) if *kind == self.kind && digit.is_ascii_digit() => {
                let (found, reads) = (u32::from(digit - b'0'), u32::from(self.version));
                let other =
                    || OtherFormat { file: label.to_owned(), found, reads, derived: Some(self.derived) };
                if found == reads { Ok(true) } else { Err(other()) }
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named_and_rubbish_is_not() {
        let format = FileFormat::new(*b"imeshxy", 2, "xy/");
        assert_eq!(format.check("xy/f", b"imeshxy2..."), Ok(true));
        for rubbish in [&b""[..], b"imeshxy", b"imeshxz2", b"imeshxy\0", &[0; 20]] {
            assert_eq!(format.check("xy/f", rubbish), Ok(false));
        }
        let newer = format.check("xy/f", b"imeshxy3").unwrap_err();
        assert_eq!(
            newer.to_string(),
            "xy/f: format 3 was written by a newer version of intelmesh, this program reads format 2"
        );
        let older = format.check("xy/f", b"imeshxy1").unwrap_err();
        assert_eq!(
            older.to_string(),
            "xy/f: format 1 was made before this version of intelmesh, this program reads format 2"
        );
        assert!(newer.hint().starts_with("run the newer intelmesh") && older.hint().starts_with("move xy/"));
    }
}
