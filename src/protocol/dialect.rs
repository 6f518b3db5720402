//! Which version of the wire a node speaks. The program speaks its own. A test (feature `sim`) may have a node speak
//! as a successor would, so that version 1 meets now what it has to get along with later. Without that feature
//! there is no such choice.

use crate::wire::WireFrame;

/// How a node says what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    #[cfg(feature = "sim")]
    successor: bool,
}

#[cfg(feature = "sim")]
impl Dialect {
    pub const SUCCESSOR: Self = Self { successor: true };

    /// Returns whether it stands for version 2.
    pub const fn is_successor(self) -> bool {
        self.successor
    }

    /// Returns `frame` as this node says it.
    pub fn spoken(self, frame: WireFrame) -> WireFrame {
        if self.successor { super::successor::spoken(frame) } else { frame }
    }
}

#[cfg(not(feature = "sim"))]
impl Dialect {
    /// Returns false: the program speaks its own version.
    pub const fn is_successor(self) -> bool {
        false
    }

    /// Returns the frame as this version says it.
    pub fn spoken(self, frame: WireFrame) -> WireFrame {
        frame
    }
}

#[cfg(not(feature = "sim"))]
const _: () = assert!(size_of::<Dialect>() == 0, "the shipped program speaks its own version only");
