//! How this process keeps its memory.

/// Makes the allocator keep what is freed for the next image and the next step. glibc gives large blocks back to the system
/// at once and takes them again, and each of their pages is then zeroed anew: decoding takes twice the time, training a
/// tenth more. The price is that memory once used stays with the process until it ends.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets numbers inside the allocator. A value that it refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
