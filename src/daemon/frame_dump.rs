//! For tests (feature `sim`): with `INTELMESH_FRAMES_DIR` set, each frame that the node sends is also written to a file
//! of its own, to be held against docs/messages.cddl. Without that feature nothing is ever written: a file would
//! hold what labels and seals keep from others.

#[cfg(feature = "sim")]
use std::path::PathBuf;

use crate::wire::WireFrame;
#[cfg(feature = "sim")]
use crate::wire::frame::encode;

/// Names the directory.
#[cfg(feature = "sim")]
const VARIABLE: &str = "INTELMESH_FRAMES_DIR";

#[derive(Debug)]
pub(crate) struct FrameDump {
    #[cfg(feature = "sim")]
    dir: Option<PathBuf>,
    #[cfg(feature = "sim")]
    written: u64,
}

#[cfg(feature = "sim")]
impl FrameDump {
    pub(crate) fn from_env() -> Self {
        Self { dir: std::env::var_os(VARIABLE).map(PathBuf::from), written: 0 }
    }

    /// Writes the CBOR of `frame`, without its length.
    pub(crate) fn write(&mut self, frame: &WireFrame) {
        let Some(dir) = &self.dir else { return };
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        let file = dir.join(format!("{}-{:08}.frame", std::process::id(), self.written));
        self.written += 1;
        if let Err(error) = std::fs::write(&file, bytes.get(4..).unwrap_or_default()) {
            tracing::warn!("{VARIABLE}: {}: {error}", file.display());
        }
    }
}

#[cfg(not(feature = "sim"))]
impl FrameDump {
    pub fn from_env() -> Self {
        Self {}
    }

    pub fn write(&mut self, _frame: &WireFrame) {}
}

#[cfg(not(feature = "sim"))]
const _: () = assert!(size_of::<FrameDump>() == 0, "the shipped program writes no frames to files");
