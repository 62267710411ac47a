//! What the server asks of the system and of its disk.

use drawdown::http::App;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;

/// File descriptors that are needed beside those of connections: segments of the log, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 512;

/// Lets the process have as many file descriptors as the system allows, and warns if that is fewer than its limits may need.
pub(crate) fn raise_descriptor_limit(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), wanted) = (limit.current, connections as u64 + OTHER_DESCRIPTORS) else { return };
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    let raised = current < allowed && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok();
    let have = if raised { allowed } else { current };
    if have < wanted {
        tracing::warn!(
            have,
            wanted,
            "fewer file descriptors than the limit of connections may need: raise LimitNOFILE"
        );
    }
}

/// Free and all bytes of the file system that holds `path`, for whoever is not root.
fn disk_bytes(path: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
}

/// Shows how full the ledger's disk is.
pub(crate) fn show_disk(app: &App, data: &Path) {
    let (free, size) = (data.to_owned(), data.to_owned());
    let metrics = app.extra_metrics();
    metrics.gauge("drawdown_disk_free_bytes", "Free bytes of the disk that holds the ledger.", move || {
        disk_bytes(&free).map(|(free, _)| free)
    });
    metrics.gauge("drawdown_disk_size_bytes", "Size of the disk that holds the ledger.", move || {
        disk_bytes(&size).map(|(_, size)| size)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_size_and_less_of_it_is_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let (free, size) = disk_bytes(directory.path()).expect("a file system");
        assert!(free <= size && size > 0);
        assert_eq!(disk_bytes(Path::new("/no/such/directory")), None);
    }
}
