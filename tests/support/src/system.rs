//! What lies below a node and can be bent: a file system that fills, a clock that jumps, a network of its own,
//! and what the kernel says about a process. Needs root where it mounts or makes a network, and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::Node;
use crate::wait::wait_until;

/// `USER_HZ`: 100 on every Linux that anybody runs (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A small file system in memory, unmounted when dropped.
pub struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    /// One of `megabytes`. Fails loudly where mounting is not allowed.
    pub fn of(megabytes: u32) -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let size = format!("size={megabytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path()).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "mounting a tmpfs needs root (CAP_SYS_ADMIN): run this test as root"
        );
        Self { place }
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Fills what is free; removing the file that it gives frees it.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.place.path().join("ballast");
        let mut file = fs::File::create(&ballast).expect("a file can be made");
        let block = vec![0_u8; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.place.path()).status();
    }
}

/// A wall clock for one node, set from outside while it runs (libfaketime; steady time is left alone).
pub struct FakeClock {
    place: TempDir,
}

impl FakeClock {
    /// Gives `node` this clock from its next start on. Fails loudly where libfaketime is not installed.
    pub fn for_node(node: &mut Node) -> Self {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu", ""]
            .iter()
            .map(|arch| Path::new("/usr/lib").join(arch).join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists())
            .expect("libfaketime is not installed: apt-get install faketime");
        let clock = Self { place: TempDir::new().expect("a temporary directory") };
        clock.set("+0");
        node.set_env("LD_PRELOAD", library);
        node.set_env("FAKETIME_TIMESTAMP_FILE", clock.file());
        node.set_env("FAKETIME_NO_CACHE", "1");
        node.set_env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        clock
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("faketime")
    }

    /// How far the clock is from the true one: `+36h`, `-2m`, `+0`.
    pub fn set(&self, offset: &str) {
        let new = self.place.path().join("new");
        fs::write(&new, format!("{offset}\n")).expect("a file can be written");
        fs::rename(new, self.file()).expect("a file can be replaced");
    }
}

/// A network namespace with a loopback of its own, so that what crosses it can be counted.
pub struct Network {
    keeper: Child,
}

impl Network {
    /// `None` where the kernel does not allow it (not root).
    pub fn new() -> Option<Self> {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && exec sleep 86400"])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let counters = format!("/proc/{}/net/dev", keeper.id());
        let own = fs::read_link("/proc/self/ns/net").ok()?;
        let mut ended = false;
        wait_until("a network of its own", Duration::from_secs(5), || {
            ended = keeper.try_wait().ok().flatten().is_some();
            let theirs = fs::read_link(format!("/proc/{}/ns/net", keeper.id()));
            let up = fs::read_to_string(format!("/proc/{}/cmdline", keeper.id()));
            ended || theirs.is_ok_and(|net| net != own) && up.is_ok_and(|words| words.starts_with("sleep"))
        });
        (!ended && fs::metadata(counters).is_ok()).then_some(Self { keeper })
    }

    /// Lets `node` run in it from its next start on.
    pub fn hold(&self, node: &mut Node) {
        node.set_prefix(&["nsenter", "--net", &format!("--target={}", self.keeper.id())]);
    }

    /// All bytes that crossed its loopback, with the headers of TCP/IP.
    pub fn bytes(&self) -> u64 {
        let table = fs::read_to_string(format!("/proc/{}/net/dev", self.keeper.id())).expect("its counters");
        let line = table.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("a loopback");
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A size of `/proc/PID/status` in bytes: `VmRSS` now, `VmHWM` at its peak.
pub fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("the kernel says it");
    let kilobytes: u64 =
        line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("a number");
    kilobytes * 1024
}

/// CPU seconds that the process has used, user and system.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let after_name = stat.rsplit(") ").next().expect("fields");
    let fields: Vec<f64> =
        after_name.split(' ').skip(11).take(2).map(|word| word.parse().unwrap_or(0.0)).collect();
    (fields[0] + fields[1]) / TICKS_PER_SECOND
}

/// The time `seconds` from now, as RFC 3339.
pub fn timestamp_in(seconds: i64) -> String {
    let shift = format!("{seconds} seconds");
    let said = Command::new("date").args(["-u", "-d", &shift, "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(said.expect("date(1)").stdout).expect("a date").trim().to_owned()
}
