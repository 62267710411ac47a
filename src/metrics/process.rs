//! What the system says about this process, from `/proc`. Where there is none, nothing is known and nothing is said.

use rustix::param::{clock_ticks_per_second, page_size};
use std::fs;

/// The process at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Processor time used, user and system, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory that is in RAM, in bytes; mapped parts of the log that are in the page cache count.
    pub resident_bytes: Option<u64>,
    /// Of these, what belongs to no file, in bytes: the ledger's own memory.
    pub anonymous_bytes: Option<u64>,
    /// Address space, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most that there may be.
    pub max_fds: Option<u64>,
    /// When it started, in seconds since 1970.
    pub start_seconds: Option<f64>,
}

impl Process {
    /// Reads everything anew.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut process = Process::default();
        process.take_stat(&read("/proc/self/stat"), &read("/proc/stat"));
        process.take_status(&read("/proc/self/status"));
        process.open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64);
        process.max_fds = read("/proc/self/limits")
            .lines()
            .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
        process
    }

    fn take_stat(&mut self, own: &str, system: &str) {
        // The name stands in parentheses and may hold anything; behind it the fields are numbers.
        let Some((_, behind)) = own.rsplit_once(')') else { return };
        let fields: Vec<&str> = behind.split_whitespace().collect();
        // Numbered from 1 in proc_pid_stat(5), and the first one behind the name is number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = clock_ticks_per_second().max(1);
        self.cpu_seconds = field(14).zip(field(15)).map(|(user, kernel)| seconds(user + kernel, ticks));
        self.threads = field(20);
        self.virtual_bytes = field(23);
        self.resident_bytes = field(24).map(|pages| pages * page_size() as u64);
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        self.start_seconds = field(22).zip(boot).map(|(start, boot)| seconds(boot * ticks + start, ticks));
    }

    fn take_status(&mut self, status: &str) {
        let kib =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok());
        self.anonymous_bytes = kib.map(|kib: u64| kib * 1024);
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name_holds() {
        let own =
            "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 7 0 1000 409600 25 18446744073709551615";
        let mut process = Process::default();
        process.take_stat(own, "cpu 1 2 3\nbtime 1700000000\n");
        process.take_status("VmRSS:\t 100 kB\nRssAnon:\t      64 kB\n");
        let ticks = clock_ticks_per_second();
        assert_eq!(process.cpu_seconds, Some(seconds(200, ticks)));
        assert_eq!((process.threads, process.virtual_bytes), (Some(7), Some(409_600)));
        assert_eq!(process.resident_bytes, Some(25 * page_size() as u64));
        assert_eq!(process.anonymous_bytes, Some(65536));
        assert_eq!(process.start_seconds, Some(seconds(1_700_000_000 * ticks + 1000, ticks)));
    }

    #[test]
    fn nonsense_is_nothing() {
        let mut process = Process::default();
        process.take_stat("", "");
        process.take_stat("1 (x) S", "btime x");
        process.take_status("RssAnon: many kB");
        assert_eq!(process, Process::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_known() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(
            process.open_fds.zip(process.max_fds).is_some_and(|(open, max)| open > 0 && open <= max),
            "{process:?}"
        );
        assert!(process.start_seconds.is_some_and(|start| start > 1.5e9), "{process:?}");
        assert!(process.cpu_seconds.is_some() && process.threads.is_some_and(|threads| threads > 0), "{process:?}");
    }
}
