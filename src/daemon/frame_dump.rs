//! With `INTELMESH_FRAMES_DIR` set, each frame that the node sends is also written to a file of its own, so
//! that a test can hold it against docs/messages.cddl. Nothing else looks at it.

use std::path::PathBuf;

use crate::wire::Frame;
use crate::wire::frame::encode;

/// Names the directory.
const VARIABLE: &str = "INTELMESH_FRAMES_DIR";

#[derive(Debug)]
pub struct FrameDump {
    dir: Option<PathBuf>,
    written: u64,
}

impl FrameDump {
    pub fn from_env() -> Self {
        Self { dir: std::env::var_os(VARIABLE).map(PathBuf::from), written: 0 }
    }

    /// Writes the CBOR of `frame`, without its length.
    pub fn write(&mut self, frame: &Frame) {
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
