//! A node as contrib/README.md lays it out, with accounts of their own: the node, the pipeline and the administrator are
//! three. Accounts are numbers here (setpriv), which is all that the kernel knows of them. Needs root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Node, Said, binary};
use tempfile::TempDir;

/// The node's account and group, the group of `socket_group`, and an account of the pipeline.
pub const NODE: u32 = 61_001;
pub const GROUP: u32 = 61_002;
pub const PIPELINE: u32 = 61_003;

/// A node as contrib/README.md lays it out, below a directory of the test's own.
pub struct Packaged {
    pub node: Node,
    pub place: TempDir,
}

pub fn own(path: &Path, uid: u32, gid: u32, mode: u32) {
    chown(path, Some(uid), Some(gid)).expect("this test needs root");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn owner(path: &Path) -> (u32, u32, u32) {
    let data = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (data.uid(), data.gid(), data.mode() & 0o777)
}

impl Packaged {
    pub fn new(name: &str, socket_group: bool) -> Self {
        let place = TempDir::new().unwrap();
        own(place.path(), 0, 0, 0o755);
        let mut node = Node::init_in(place.path(), name);
        let (state, run) = (place.path().join("state"), place.path().join("run"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&run).unwrap();
        node.edit("intelmesh.toml", |text| {
            let group = if socket_group { format!("socket_group = \"{GROUP}\"\n") } else { String::new() };
            let paths = format!("[paths]\nstate = \"{}\"\nrun = \"{}\"\n", state.display(), run.display());
            group + &text + &paths
        });
        let packaged = Self { node, place };
        let dir = packaged.node.dir().to_owned();
        own(&dir, 0, NODE, 0o750);
        own(&dir.join("intelmesh.toml"), 0, NODE, 0o640);
        for name in ["peers", "groups", "lists"] {
            own(&dir.join(name), 0, NODE, 0o750);
        }
        own(&dir.join("keys"), NODE, NODE, 0o700);
        for key in fs::read_dir(dir.join("keys")).unwrap().flatten() {
            own(&key.path(), NODE, NODE, 0o600);
        }
        own(&state, NODE, NODE, 0o700);
        // As RuntimeDirectory= makes it.
        own(&run, NODE, NODE, 0o750);
        packaged
    }

    pub fn start(&mut self) {
        let (user, group) = (format!("--reuid={NODE}"), format!("--regid={NODE}"));
        let groups = format!("--groups={GROUP}");
        self.node.set_prefix(&["setpriv", &user, &group, &groups, "--no-new-privs"]);
        self.node.start();
    }

    pub fn run(&self) -> PathBuf {
        self.place.path().join("run")
    }

    pub fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// An account of the pipeline, which may not look into the node's directory.
    pub fn pipeline(&self, args: &[&str], stdin: &str, groups: &str) -> Said {
        let (user, group) = (format!("--reuid={PIPELINE}"), format!("--regid={PIPELINE}"));
        let mut command = Command::new("setpriv");
        command.args([&user, &group, groups]).arg(binary()).args(args);
        command.env("INTELMESH_DIR", self.node.dir()).env("INTELMESH_RUN", self.run());
        said(command, stdin)
    }
}

pub fn said(mut command: Command, stdin: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
