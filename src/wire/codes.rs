//! Numbers with which nodes answer each other: verdicts on entries and reasons to close a feed. A number of a later
//! version has no name here and is understood by its range (PROTOCOL.md §4.4, §6). Other modules decide when each one
//! is sent.

use std::fmt;

/// Defines an enum from a table of its variants, their numbers on the wire and their names in texts.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $code:ident = $number:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "PROTOCOL.md §4.4 and §6 say when each is sent")]
        pub enum $name {
            $($(#[$doc])* $code = $number,)*
        }

        impl $name {
            /// All codes of this version.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Returns the code with this number on the wire.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$code),)*
                    _ => None,
                }
            }

            /// Returns the code as texts name it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Why an entry was deferred (to be asked for again) or rejected (never, or not while trust stands as it
    /// is). Numbers are PROTOCOL.md §6.
    VerdictCode {
        // Deferred.
        InFlight = 1 "in_flight",
        Rate = 2 "rate",
        Ahead = 3 "ahead",
        UnknownKeyStatement = 4 "unknown_key_statement",
        KeyRevoked = 5 "key_revoked",
        // Rejected for what is in the bytes.
        Malformed = 16 "malformed",
        BadSignature = 17 "bad_signature",
        TooOld = 19 "too_old",
        TooFarAhead = 20 "too_far_ahead",
        Equivocation = 21 "equivocation",
        ContentIdMismatch = 22 "content_id_mismatch",
        BadBody = 23 "bad_body",
        BadPath = 24 "bad_path",
        Expired = 25 "expired",
        TooLarge = 26 "too_large",
        // Rejected, and read again when trust or version changes.
        UnknownPublisher = 32 "unknown_publisher",
        UnknownKey = 33 "unknown_key",
        RelayNotAllowed = 34 "relay_not_allowed",
        TlpNotAllowed = 35 "tlp_not_allowed",
        UnknownVersion = 36 "unknown_version",
        NotWanted = 37 "not_wanted",
        NameMismatch = 38 "name_mismatch",
    }
}

impl VerdictCode {
    /// To be asked for again, rather than rejected.
    pub const fn is_deferred(self) -> bool {
        VerdictNumber(self as u8).is_deferred()
    }

    /// Rejected, but a change of the trust list or of the version can cure it (PROTOCOL.md §5.5).
    pub const fn is_curable(self) -> bool {
        VerdictNumber(self as u8).is_curable()
    }
}

/// First number of a final rejection; all lower ones are deferrals.
const FINAL_FROM: u8 = 16;
/// First number of a curable rejection.
const CURABLE_FROM: u8 = 32;

/// A verdict as a peer gave it: one of [`VerdictCode`], or one of a later version, of which its range tells
/// enough (PROTOCOL.md §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerdictNumber(u8);

impl VerdictNumber {
    /// Returns `None` for 0, which is never a verdict.
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the verdict if this version has it.
    pub fn known(self) -> Option<VerdictCode> {
        VerdictCode::from_number(self.0)
    }

    /// The peer will ask for the entry again by itself.
    pub const fn is_deferred(self) -> bool {
        self.0 < FINAL_FROM
    }

    /// The peer rejected the entry, and reads it again when something changes there.
    pub const fn is_curable(self) -> bool {
        self.0 >= CURABLE_FROM
    }
}

impl From<VerdictCode> for VerdictNumber {
    fn from(code: VerdictCode) -> Self {
        Self(code as u8)
    }
}

impl fmt::Display for VerdictNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(code) => f.write_str(code.as_str()),
            None => write!(f, "verdict_{}", self.0),
        }
    }
}

codes! {
    /// Why a stream is closed. Numbers are PROTOCOL.md §4.4.
    FaultCode {
        /// Bytes that are no frame, or a frame out of turn.
        Protocol = 1 "protocol",
        /// No version in common.
        Version = 2 "version",
        /// HELLO names another federation.
        Federation = 3 "federation",
        /// HELLO's name is not the one that the trust list binds to this key.
        Name = 4 "name",
        /// Another live process runs with this key.
        Cloned = 5 "cloned",
        /// A newer stream of the same peer replaces this one.
        Replaced = 6 "replaced",
        /// The peer was paused or removed.
        Paused = 7 "paused",
        /// The node stops.
        Stopping = 8 "stopping",
        /// No frame for 30 s.
        Silent = 9 "silent",
        /// SUBSCRIBE asks for something that is not built.
        NotBuilt = 10 "not_built",
        /// The node cannot store: its disk is full.
        DiskFull = 11 "disk_full",
    }
}

/// A fault as a peer gave it: one of [`FaultCode`], or one of a later version, which counts as `protocol` and keeps
/// its number and detail (PROTOCOL.md §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultNumber(u8);

impl FaultNumber {
    /// Returns `None` for 0, which is never a fault.
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the fault as which it is handled.
    pub fn handled_as(self) -> FaultCode {
        FaultCode::from_number(self.0).unwrap_or(FaultCode::Protocol)
    }
}

impl From<FaultCode> for FaultNumber {
    fn from(code: FaultCode) -> Self {
        Self(code as u8)
    }
}

impl fmt::Display for FaultNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match FaultCode::from_number(self.0) {
            Some(code) => f.write_str(code.as_str()),
            None => write!(f, "fault_{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_later_version_are_understood_by_range() {
        let class = |number| {
            let verdict = VerdictNumber::new(number).unwrap();
            (verdict.is_deferred(), verdict.is_curable(), verdict.to_string())
        };
        assert_eq!(class(15), (true, false, "verdict_15".to_owned()));
        assert_eq!(class(31), (false, false, "verdict_31".to_owned()));
        assert_eq!(class(60), (false, true, "verdict_60".to_owned()));
        assert_eq!(class(255), (false, true, "verdict_255".to_owned()));
        assert_eq!(class(36), (false, true, "unknown_version".to_owned()));
        let fault = FaultNumber::new(99).unwrap();
        assert_eq!((fault.handled_as(), fault.to_string()), (FaultCode::Protocol, "fault_99".to_owned()));
        assert_eq!((VerdictNumber::new(0), FaultNumber::new(0)), (None, None));
    }
}
