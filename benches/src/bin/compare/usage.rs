//! What processes have used, as the kernel counts it.

use std::fs;

use anyhow::Context as _;

/// Ticks of processor time in a second, in `/proc` on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What some processes have used since they were started, together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time, in user and kernel mode, in seconds.
    pub(crate) cpu_s: f64,
    /// Resident memory now.
    pub(crate) resident_bytes: u64,
    /// The most resident memory, since it was last [forgotten](forget_peak).
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Looks at processes.
    pub(crate) fn of(processes: &[u32]) -> anyhow::Result<Usage> {
        let mut sum = Usage::default();
        for process in processes {
            let read = |name: &str| {
                let path = format!("/proc/{process}/{name}");
                fs::read_to_string(&path).with_context(|| path)
            };
            sum.cpu_s += cpu_s(&read("stat")?).context("/proc/PID/stat")?;
            let status = read("status")?;
            let kilobytes = |name| field(&status, name).context("/proc/PID/status");
            sum.resident_bytes += kilobytes("VmRSS:")? * 1024;
            sum.peak_bytes += kilobytes("VmHWM:")? * 1024;
        }
        Ok(sum)
    }
}

/// Lets the most memory be counted from now on.
pub(crate) fn forget_peak(processes: &[u32]) -> anyhow::Result<()> {
    for process in processes {
        let path = format!("/proc/{process}/clear_refs");
        fs::write(&path, "5").with_context(|| path)?;
    }
    Ok(())
}

/// The 14th and 15th field; the second is a name, in which there may be anything.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some((user + kernel) as f64 / TICKS_PER_SECOND)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_anything_in_it() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(cpu_s(stat), Some(3.0));
        assert_eq!(cpu_s("7 (a) S 1"), None);
        let status = "Name:\tVmPeak: 1\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(2048));
        assert_eq!(field(status, "VmPeak:"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::of(&[std::process::id()]).unwrap();
        assert!(usage.resident_bytes > 0 && usage.peak_bytes >= usage.resident_bytes / 2);
        assert!(Usage::of(&[u32::MAX]).is_err());
    }
}
