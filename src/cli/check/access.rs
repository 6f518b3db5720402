//! Checks that the node's account can read and write the files that it has to. Runs as that account.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::CheckFindings;
use crate::audit::AUDIT_FILE;
use crate::config::NodeConfig;
use crate::ownership;

/// Everything that `account` cannot use, with the line that gives it.
pub(crate) fn check(config: &NodeConfig, account: u32, found: &mut CheckFindings) {
    let paths = &config.paths;
    for dir in [&paths.peers, &paths.groups, &paths.lists, &paths.clients] {
        readable(dir, account, found);
        for file in files(dir) {
            readable(&file, account, found);
        }
    }
    // If it is not there yet, the node makes it.
    let state = &paths.state;
    let written =
        [state.clone(), state.join(AUDIT_FILE), state.join("journal"), state.join("seen"), paths.run.clone()];
    for path in written.iter().chain([&paths.keys]).filter(|path| path.exists()) {
        writable(path, account, found);
    }
}

/// In the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    files.sort();
    files
}

fn readable(path: &Path, account: u32, found: &mut CheckFindings) {
    let opened = if path.is_dir() { fs::read_dir(path).map(drop) } else { File::open(path).map(drop) };
    if opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        let (shown, name) = (path.display(), ownership::account(account));
        let dir = path.parent().unwrap_or(Path::new(".")).display();
        found.error(
            format!("{shown}: the account {name} cannot read it"),
            Some(match path.is_dir() {
                true => format!("chown --reference={dir} {shown} && chmod --reference={dir} {shown}"),
                false => format!(
                    "chown --reference={dir} {shown} && chmod --reference={dir} {shown} && chmod a-x {shown}"
                ),
            }),
        );
    }
}

fn writable(path: &Path, account: u32, found: &mut CheckFindings) {
    if access(path, Access::WRITE_OK).is_err() {
        let (shown, name) = (path.display(), ownership::account(account));
        let what = format!("{shown}: the account {name} cannot write it");
        let group = ownership::group(rustix::process::getegid().as_raw());
        found.error(what, Some(format!("chown {name}:{group} {shown}")));
    }
}
