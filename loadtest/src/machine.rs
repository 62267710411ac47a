//! Where a run took place: figures never stand without it. What the system does not tell is absent.

use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where a run took place.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: Option<usize>,
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The file system of the directory that the generator was started in, and its device.
    pub filesystem: Option<String>,
    /// Load averages before the run: other work makes figures worse.
    pub load_before: Option<String>,
    /// And after it, this run included.
    pub load_after: Option<String>,
    /// The commit of the checkout that the generator was started in, if it is one of drawdown. Whether the server was built from it,
    /// the generator cannot know.
    pub commit: Option<String>,
}

impl Machine {
    /// Looks around; called before the run.
    pub fn look() -> Self {
        Machine {
            cpu: after_colon("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            memory_mib: after_colon("/proc/meminfo", "MemTotal")
                .and_then(|total| total.strip_suffix(" kB")?.parse::<u64>().ok())
                .map(|kib| kib / 1024),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            filesystem: std::env::current_dir().ok().and_then(|directory| filesystem(&directory)),
            load_before: load(),
            load_after: None,
            commit: commit(),
        }
    }

    /// Notes the load after the run.
    #[must_use]
    pub fn after(self) -> Self {
        Machine { load_after: load(), ..self }
    }
}

/// Time that a thread has had a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it, the kernel's work for the thread included.
    pub total: Duration,
    /// Outside the kernel. Counted in hundredths of a second, so that it says something about seconds only.
    pub user: Duration,
}

impl CpuTime {
    /// The calling thread's, so far.
    pub fn of_thread() -> Option<Self> {
        let total = first_line("/proc/thread-self/schedstat")?.split(' ').next()?.parse().ok()?;
        let status = first_line("/proc/thread-self/stat")?;
        // The thread's name comes second, in parentheses, and may hold spaces; user time is the twelfth field behind it.
        let ticks: u64 = status.rsplit_once(") ")?.1.split(' ').nth(11)?.parse().ok()?;
        Some(CpuTime { total: Duration::from_nanos(total), user: Duration::from_millis(10 * ticks) })
    }

    /// What came since.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let (total, user) = (self.total.saturating_sub(before.total), self.user.saturating_sub(before.user));
        CpuTime { total, user }
    }

    /// Adds another thread's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        CpuTime { total: self.total + other.total, user: self.user + other.user }
    }
}

/// The type of the file system that holds a directory, and its device.
pub fn filesystem(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    filesystem_in(&fs::read_to_string("/proc/self/mountinfo").ok()?, &directory)
}

fn filesystem_in(mounts: &str, directory: &Path) -> Option<String> {
    let holds = |line: &&str| line.split(' ').nth(4).is_some_and(|mount| directory.starts_with(mount));
    // A later mount hides an earlier one at the same place.
    let line = mounts.lines().filter(holds).max_by_key(|line| line.split(' ').nth(4).map(str::len))?;
    let mut fields = line.split_once(" - ")?.1.split(' ');
    Some(format!("{} on {}", fields.next()?, fields.next()?))
}

fn after_colon(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().next().map(|line| line.trim().to_owned())
}

fn load() -> Option<String> {
    let line = first_line("/proc/loadavg")?;
    Some(line.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn commit() -> Option<String> {
    git(&["cat-file", "-e", "HEAD:loadtest/Cargo.toml"])?;
    git(&["describe", "--always", "--dirty", "--abbrev=12"])
}

/// What git prints, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 25 0:26 / /tmp rw - tmpfs tmpfs rw\n\
            31 25 0:27 / /tmpfoo rw - xfs /dev/vdb rw\n\
            32 30 0:28 / /tmp rw - btrfs /dev/vdc rw\n";
        let check = |directory: &str, expected: &str| {
            assert_eq!(filesystem_in(mounts, Path::new(directory)).as_deref(), Some(expected));
        };
        check("/home", "ext4 on /dev/vda");
        check("/tmp/x", "btrfs on /dev/vdc");
        check("/tmpfoo", "xfs on /dev/vdb");
    }

    #[test]
    fn a_thread_knows_how_long_it_ran() {
        let Some(before) = CpuTime::of_thread() else { return };
        let mut work = 1_u64;
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {
            work = std::hint::black_box(work.wrapping_mul(3));
        }
        let spent = CpuTime::of_thread().expect("it was told before").since(before);
        assert!(spent.total > Duration::ZERO && spent.total < Duration::from_secs(1), "{spent:?}");
    }
}
