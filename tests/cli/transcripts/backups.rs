//! Transcripts of `backup` and `restore`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{invitation, two_nodes};
use crate::shell::Shell;

const HASH: &str =
    "token_hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n";

/// cert-at with the peer cert-ee, a removed peer, a group and a list; and `b.tar`, its backup.
fn backed_up() -> Shell {
    let shell = two_nodes();
    let invitation = invitation(&shell, "ee");
    shell.done(&format!("peer add -C at --yes {}", invitation.trim()));
    shell.done("peer remove cert-ee -C at");
    shell.done(&format!("peer add -C at --yes {}", invitation.trim()));
    for (file, text) in [
        ("groups/baltics.toml", "members = [\"cert-ee\"]\n"),
        ("lists/ours.txt", "192.0.2.0/24\n"),
        ("clients/soc.toml", HASH),
        ("journal/1.seg", "never in a backup"),
        ("keys/.unfinished-x", "half a key"),
    ] {
        let file = shell.path().join("at").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let said = "9 files of cert-at, with its private keys: keep them encrypted\n\
                the journal is not among them: its peers hold the events\n";
    shell.says("backup b.tar -C at", "", 0, "", said);
    shell
}

/// The keys of the node in `dir`, wherever that is.
fn keys(shell: &Shell, dir: &str) -> Vec<String> {
    let shown = shell.done(&format!("key show -C {dir}"));
    shown.lines().filter(|line| !line.contains(" file ")).map(str::to_owned).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_backup_is_restored_as_it_was() {
    let shell = backed_up();
    assert_eq!(mode(&shell.path().join("b.tar")), 0o600);
    let listed = Command::new("tar").args(["-tf", "b.tar"]).current_dir(shell.path()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut files: Vec<&str> = listed.lines().collect();
    assert_eq!(files.remove(0), "manifest.json");
    assert_eq!(files.len(), 9, "{listed}");
    let restored = shell.run("restore b.tar new/at", "");
    assert_eq!((restored.code, restored.stdout.as_str()), (Some(0), "new/at\n"), "{}", restored.stderr);
    assert!(
        restored.stderr.starts_with("cert-at is restored in new/at from a backup of "),
        "{}",
        restored.stderr
    );
    for file in files {
        let [before, after] = ["at", "new/at"].map(|dir| fs::read(shell.path().join(dir).join(file)));
        assert_eq!(before.unwrap(), after.unwrap(), "{file}");
    }
    for (path, expected) in [("keys", 0o700), ("keys/node.pem", 0o600), ("keys/seal.pem", 0o600)] {
        assert_eq!(mode(&shell.path().join("new/at").join(path)), expected, "{path}");
    }
    assert!(!shell.path().join("new/at/journal").exists());
    let [before, after] = ["at", "new/at"].map(|dir| keys(&shell, dir));
    assert_eq!(before, after);
    assert_eq!(shell.run("check -C new/at", "").code, Some(0));
    // Through a pipe it is the same.
    let mut piped = Command::new("sh");
    piped.args(["-c", "$0 backup - -C at | $0 restore - piped", env!("CARGO_BIN_EXE_intelmesh")]);
    assert!(piped.current_dir(shell.path()).status().unwrap().success());
    assert_eq!(before, keys(&shell, "piped"));
}

#[test]
fn nothing_is_replaced_and_nothing_is_restored_in_part() {
    let shell = backed_up();
    let exists = "error: b.tar exists\nhint: a backup replaces no file: give another name\n";
    shell.says("backup b.tar -C at", "", 2, "", exists);
    let node = "error: ee is a node already\n\
                hint: choose another directory, or go on with this one: intelmesh run\n";
    shell.says("restore b.tar ee", "", 2, "", node);
    shell.says(
        "restore b.tar",
        "",
        2,
        "",
        "error: where? restore needs a directory\nhint: intelmesh restore FILE DIR\n",
    );
    fs::create_dir_all(shell.path().join("half/peers")).unwrap();
    fs::write(shell.path().join("half/peers/cert-ee.toml"), "").unwrap();
    let half = "error: half/peers/cert-ee.toml exists\n\
                hint: restore makes a new node and replaces no file: move it away, or restore into another directory\n";
    shell.says("restore b.tar half", "", 1, "", half);
    assert!(!shell.path().join("half/keys").exists());

    let elsewhere = shell.path().join("elsewhere");
    let config = fs::read_to_string(shell.path().join("at/intelmesh.toml")).unwrap();
    let paths = format!("{config}\n[paths]\nlists = \"{}\"\n", elsewhere.display());
    fs::write(shell.path().join("at/intelmesh.toml"), paths).unwrap();
    shell.done("backup out.tar -C at");
    let out = format!(
        "error: {} of the backup is not below x\nhint: restore writes nowhere else: \
         take the archive apart (tar -xf), and put each file where it belongs\n",
        elsewhere.display()
    );
    shell.says("restore out.tar x", "", 1, "", &out);
    assert!(!elsewhere.exists() && !shell.path().join("x").exists());

    let whole = fs::read(shell.path().join("b.tar")).unwrap();
    let secret = whole.windows(11).position(|bytes| bytes == b"PRIVATE KEY").unwrap();
    let mut changed = whole.clone();
    changed[secret + 20] ^= 1;
    for (name, bytes) in
        [("part.tar", &whole[..whole.len() / 2]), ("changed.tar", &changed[..]), ("none.tar", b"")]
    {
        fs::write(shell.path().join(name), bytes).unwrap();
        let damaged = format!(
            "error: {name}: not a backup, or not all of it\nhint: give a file that intelmesh backup of this version wrote\n"
        );
        shell.says(&format!("restore {name} x"), "", 2, "", &damaged);
        assert!(!shell.path().join("x").exists());
    }
}
