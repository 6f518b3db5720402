//! Labels of the Traffic Light Protocol 2.0, and the names of others that are read as one. `policy` decides who may
//! have an event with which label.

use std::fmt;

/// Traffic Light Protocol 2.0, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tlp {
    /// For everybody.
    Clear = 0,
    /// For the community.
    Green = 1,
    /// For recipients, their organisations and their clients.
    Amber = 2,
    /// For recipients and their organisations.
    AmberStrict = 3,
    /// For the named recipients alone.
    Red = 4,
}

impl Tlp {
    /// All labels, mildest first.
    pub const ALL: [Self; 5] = [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// Reads a label without regard to case, with or without `TLP:`; the names of TLP 1.0 (WHITE) and
    /// IntelMQ's YELLOW are understood.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        match upper.strip_prefix("TLP:").unwrap_or(&upper).trim() {
            "CLEAR" | "WHITE" => Some(Self::Clear),
            "GREEN" => Some(Self::Green),
            "AMBER" | "YELLOW" => Some(Self::Amber),
            "AMBER+STRICT" => Some(Self::AmberStrict),
            "RED" => Some(Self::Red),
            _ => None,
        }
    }

    /// Returns the label with this number in the signed core.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Clear),
            1 => Some(Self::Green),
            2 => Some(Self::Amber),
            3 => Some(Self::AmberStrict),
            4 => Some(Self::Red),
            _ => None,
        }
    }

    /// Returns the label as texts name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::AmberStrict => "AMBER+STRICT",
            Self::Red => "RED",
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
