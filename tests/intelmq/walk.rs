//! The walks of docs/howto/intelmq-over-*.md, word for word, with two fresh IntelMQ installations as `intelmqsetup` makes them: its
//! lines of `runtime.yaml` and `intelmesh.toml` are put where it says, its shell lines are run, and what it promises to
//! show is looked for. Addresses, ports and directories alone are others, so that two organisations fit on one
//! machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use support::intelmq::{python, unprivileged, unprivileged_prefix};
use support::node::{binary, free_port, own_loopback};
use support::shape::{together, unstarted_mesh};
use support::{Node, Redis, wait_for};
use tempfile::TempDir;

const ARRIVAL: Duration = Duration::from_secs(60);

/// The blocks of one language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/howto").join(page);
    let document = fs::read_to_string(document).unwrap();
    let lines: Vec<_> = document.lines().collect();
    let fence = format!("```{language}");
    let found = lines.split(|line| line.starts_with("```")).collect::<Vec<_>>();
    // Text and blocks take turns; the fence that opened a block is gone, so it is looked up by its number.
    let opened: Vec<_> = lines.iter().filter(|line| line.starts_with("```")).step_by(2).collect();
    let blocks = found.iter().skip(1).step_by(2).zip(opened);
    blocks.filter(|(_, opened)| **opened == fence).map(|(lines, _)| lines.join("\n") + "\n").collect()
}

/// One organisation: its IntelMQ, its Redis and its node.
struct Site {
    home: TempDir,
    redis: Redis,
    node: Node,
    ports: (u16, u16),
}

impl Site {
    fn new(node: Node) -> Self {
        let site = Self {
            home: TempDir::new().unwrap(),
            redis: Redis::start(),
            node,
            ports: (free_port(), free_port()),
        };
        fs::set_permissions(site.home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        site.shim("redis-cli", &format!("redis-cli -p {}", site.redis.port()));
        let intelmqctl = python().with_file_name("intelmqctl");
        let words = [unprivileged_prefix(), vec![intelmqctl.display().to_string()]].concat();
        site.shim("intelmqctl", &words.join(" "));
        let setup = unprivileged(&python().with_file_name("intelmqsetup"))
            .args(["--skip-ownership", "--skip-api", "--skip-manager", "--skip-webserver"])
            .env("INTELMQ_ROOT_DIR", site.opt_intelmq())
            .current_dir("/")
            .output()
            .unwrap();
        assert!(setup.status.success(), "intelmqsetup: {setup:?}");
        site
    }

    /// A command of the walk's that runs another in its place.
    fn shim(&self, name: &str, instead: &str) {
        let path = self.home.path().join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let found = instead.replacen("redis-cli", "/usr/bin/redis-cli", 1);
        fs::write(&path, format!("#!/bin/sh\nexec {found} \"$@\"\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn opt_intelmq(&self) -> PathBuf {
        self.home.path().join("intelmq")
    }

    /// What the page says, with this site's ports and directories.
    fn adapted(&self, text: &str) -> String {
        // In two steps: a free port may look like one of the page's.
        let ports = [("5000", "<into>", self.ports.0), ("5001", "<out>", self.ports.1)];
        let ports = [ports[0], ports[1], ("6379", "<redis>", self.redis.port())];
        let marked = ports.iter().fold(text.to_owned(), |text, (said, mark, _)| text.replace(said, mark));
        let adapted =
            ports.iter().fold(marked, |text, (_, mark, port)| text.replace(mark, &port.to_string()));
        let own = own_loopback().to_string();
        adapted
            .replace("ip: 127.0.0.1", &format!("ip: {own}"))
            .replace(&format!("127.0.0.1:{}", self.ports.0), &format!("{own}:{}", self.ports.0))
            .replace(&format!("127.0.0.1:{}", self.ports.1), &format!("{own}:{}", self.ports.1))
            .replace("-C DIR", &format!("-C {}", self.node.dir().display()))
            .replace("/opt/intelmq", &self.opt_intelmq().display().to_string())
    }

    /// Puts the lines of the page where it says, and starts the node.
    fn configure(&mut self, page: &str) {
        let runtime = self.opt_intelmq().join("etc/runtime.yaml");
        let text = fs::read_to_string(&runtime).unwrap() + &blocks(page, "yaml").concat();
        fs::write(&runtime, self.adapted(&text)).unwrap();
        let doors = self.adapted(&blocks(page, "toml").concat());
        self.node.edit("intelmesh.toml", |text| text + "\n" + &doors);
        self.node.start();
    }

    /// Runs lines of the page in a shell, as a reader does.
    fn shell(&self, lines: &str) -> Output {
        let mut path = vec![self.home.path().join("bin")];
        path.push(binary().parent().unwrap().to_owned());
        path.push(python().parent().unwrap().to_owned());
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let port = self.redis.port().to_string();
        Command::new("timeout")
            .args(["120", "bash", "-euc", &self.adapted(lines)])
            .current_dir("/")
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("INTELMQ_ROOT_DIR", self.opt_intelmq())
            // The second Redis of this machine: the walk has but one.
            .env("INTELMQ_SOURCE_PIPELINE_PORT", &port)
            .env("INTELMQ_DESTINATION_PIPELINE_PORT", &port)
            .env("INTELMQ_STATISTICS_PORT", &port)
            .output()
            .unwrap()
    }

    /// The same; every line must succeed.
    fn follow(&self, lines: &str) -> String {
        let output = self.shell(lines);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = self.logs();
        assert!(
            output.status.success(),
            "{lines}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n--- logs\n{log}"
        );
        stdout.into_owned()
    }

    fn logs(&self) -> String {
        let logs = fs::read_dir(self.opt_intelmq().join("var/log")).into_iter().flatten().flatten();
        logs.map(|file| {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(12)..].join("\n");
            format!("{}:\n{tail}\n", file.file_name().display())
        })
        .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.shell("intelmqctl -q stop || true");
    }
}

/// Follows one page at two sites: what the first puts into its pipeline comes out of the second's.
fn walk(page: &str, address: &str) {
    let mut sites: Vec<Site> = unstarted_mesh(&["cert-at", "cert-ee"]).into_iter().map(Site::new).collect();
    sites.iter_mut().for_each(|site| site.configure(page));
    sites.iter().for_each(|site| together(&site.node));
    let [start, publish, look] = <[String; 3]>::try_from(blocks(page, "sh")).expect("three steps");
    for site in &sites {
        site.follow(&start);
    }
    let shown = sites[0].follow(&publish);
    assert!(shown.contains(address), "the event did not reach the node:\n{shown}\n{}", sites[0].logs());
    let what = format!("{address} arrives at the other organisation");
    let arrived = wait_for(&what, ARRIVAL, || {
        let shown = sites[1].follow(&look);
        shown.contains(address).then_some(shown)
    });
    for promised in blocks(page, "").concat().split('"').filter(|word| word.starts_with("extra.intelmesh.")) {
        assert!(arrived.contains(promised), "without {promised}:\n{arrived}");
    }
    assert!(arrived.lines().any(|line| line.starts_with("ok: ")), "status is not ok:\n{arrived}");
}

#[test]
fn the_walk_through_tcp_works_as_written() {
    walk("intelmq-over-tcp.md", "192.0.2.1");
}

#[test]
fn the_walk_through_redis_works_as_written() {
    walk("intelmq-over-redis.md", "192.0.2.2");
}
