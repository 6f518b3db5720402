//! The figures that Prometheus knows of every process, from `/proc/self`. One that cannot be read is left out.

use std::fs;

use super::text::{Kind, MetricsText};
use crate::clock;

pub(crate) fn write(text: &mut MetricsText, uptime_s: f64) {
    let started = clock::now().wall.0 as f64 / 1_000.0 - uptime_s;
    gauge(text, "process_start_time_seconds", "Start of the process, in seconds since 1970", Some(started));
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let cpu = cpu_ticks(&stat).map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
    if let Some(cpu) = cpu {
        text.family("process_cpu_seconds_total", Kind::Counter, "CPU time of the process, in seconds");
        text.sample(&[], cpu);
    }
    let page = rustix::param::page_size() as f64;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = |at: usize| statm.split(' ').nth(at).and_then(|pages| pages.parse::<u64>().ok());
    let bytes = |at: usize| pages(at).map(|pages| pages as f64 * page);
    gauge(text, "process_virtual_memory_bytes", "Virtual memory", bytes(0));
    gauge(text, "process_resident_memory_bytes", "Resident memory", bytes(1));
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    gauge(text, "process_open_fds", "Open file descriptors", open);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    gauge(text, "process_max_fds", "Limit of open file descriptors", limit.map(|limit| limit as f64));
}

fn gauge(text: &mut MetricsText, name: &'static str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        text.family(name, Kind::Gauge, help);
        text.sample(&[], value);
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`. The second field, the name, may hold blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }
}
