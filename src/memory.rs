//! How this process manages its memory, and how much there is.

#[cfg(target_os = "linux")]
use std::{fs, path::Path};

/// Makes the allocator keep freed memory for the next image and the next step. By default, glibc returns large blocks
/// to the system immediately and requests them again, and the system zeroes each of their pages again: decoding then
/// takes twice as long and training a tenth longer. The cost is that memory once used stays with the process until it
/// ends.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator. A value that it rejects changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Returns freed memory to the system: after weights were read or drawn, because the gaps that their buffers
/// leave behind are too small for what a network needs next.
pub fn return_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim only releases pages that hold no allocation.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The bytes that this process could allocate now: what the machine, the process's control groups and its limit of
/// address space (`ulimit -v`) leave, whichever is least; `None` if the system does not say.
#[cfg(target_os = "linux")]
pub fn available() -> Option<u64> {
    [of_the_machine(), of_the_control_groups(), of_the_address_space()].into_iter().flatten().min()
}

/// The same for systems that are not asked.
#[cfg(not(target_os = "linux"))]
pub fn available() -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn of_the_machine() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The value of a line such as `VmSize:  512 kB`, in bytes.
#[cfg(target_os = "linux")]
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

#[cfg(target_os = "linux")]
fn of_the_address_space() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit only writes to `limit`.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    if !is_known || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    Some(limit.rlim_cur.saturating_sub(kilobytes("/proc/self/status", "VmSize:")?))
}

/// The least that version 2's control groups leave, from the process's own one up. Files that the system merely keeps
/// in memory do not count, because it gives their pages up.
#[cfg(target_os = "linux")]
fn of_the_control_groups() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |group: &Path| {
        let (most, used) = (number(&group.join("memory.max"))?, number(&group.join("memory.current"))?);
        let statistics = fs::read_to_string(group.join("memory.stat")).ok()?;
        let cached = statistics.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok());
        Some(most.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
    };
    Path::new("/sys/fs/cgroup")
        .join(own)
        .ancestors()
        .take_while(|it| it.starts_with("/sys/fs/cgroup"))
        .filter_map(left)
        .min()
}
