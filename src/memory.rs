//! How this process manages its memory.

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
