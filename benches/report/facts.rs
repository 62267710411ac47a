//! On which machine, from which commit and when the figures were taken.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

/// Facts as pairs of a name and what is known; what the system does not tell is left out.
pub(crate) fn facts(measured: SystemTime) -> Vec<(&'static str, String)> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| gigabytes(&text));
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned()).filter(|text| !text.is_empty());
    let seconds = measured.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    [
        ("Measured", Some(date(seconds))),
        ("Commit", commit()),
        ("Processor", processor),
        ("Cores", cores),
        ("Memory", memory),
        ("Kernel", kernel),
        ("Target", Some(format!("{} on {}", std::env::consts::ARCH, std::env::consts::OS))),
    ]
    .into_iter()
    .filter_map(|(name, fact)| Some((name, fact?)))
    .collect()
}

/// The value of `name: value` in one of the system's files.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

fn gigabytes(kilobytes: &str) -> Option<String> {
    let number: u64 = kilobytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{} GiB", (number + (1 << 19)) >> 20))
}

/// The commit that is checked out now, and whether files differ from it.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    Some(if is_clean { commit } else { format!("{commit}, with changes") })
}

/// Seconds since 1970 as `2026-11-22 09:00 UTC`.
fn date(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", left + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (1_795_338_000, "2026-11-22 09:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn facts_are_found_in_the_systems_files() {
        assert_eq!(field("processor\t: 0\nmodel name\t: Fast 9000\n", "model name").as_deref(), Some("Fast 9000"));
        assert_eq!(field("processor\t: 0\n", "model name"), None);
        assert_eq!(gigabytes("24576000 kB").as_deref(), Some("23 GiB"));
        assert_eq!(gigabytes("many"), None);
    }
}
