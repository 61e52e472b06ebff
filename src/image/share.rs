//! Shares of the memory that images may take together. An allocation that fails aborts the process, so each decoder
//! takes its share before it allocates, and waits while other threads hold too much.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use anyhow::{Result, ensure};
use indicatif::DecimalBytes;

use crate::memory;

/// Bytes that an image may allocate; they are free again when it is dropped.
#[derive(Debug)]
pub struct Share {
    bytes: u64,
    pool: &'static Pool,
}

#[derive(Debug)]
struct Pool {
    total: u64,
    taken: Mutex<u64>,
    /// Signalled whenever a share becomes smaller.
    freed: Condvar,
}

/// The memory that images may take where nothing is known about how much there is.
const UNKNOWN: u64 = 4 << 30;

/// Half of what is left when the first image is decoded: the rest is for the networks, and for what images become.
fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        total: memory::available().map_or(UNKNOWN, |bytes| bytes / 2),
        taken: Mutex::new(0),
        freed: Condvar::new(),
    })
}

impl Share {
    /// Takes `bytes`, and waits for them if necessary. A thread that holds a share must not take another one: all could
    /// wait for each other.
    ///
    /// # Errors
    /// Returns an error if all images together may not take as much.
    pub fn take(bytes: u64) -> Result<Self> {
        Share::of(pool(), bytes)
    }

    fn of(pool: &'static Pool, bytes: u64) -> Result<Self> {
        ensure!(
            bytes <= pool.total,
            "the image takes {} of memory while it is decoded, and there is {} for images. Scale it down, or make more memory available",
            DecimalBytes(bytes),
            DecimalBytes(pool.total)
        );
        let mut taken = pool.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken + bytes > pool.total {
            taken = pool.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Ok(Share { bytes, pool })
    }

    /// Returns all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        *self.pool.taken.lock().unwrap_or_else(PoisonError::into_inner) -= freed;
        self.pool.freed.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    static SMALL: Pool = Pool { total: 100, taken: Mutex::new(0), freed: Condvar::new() };

    #[test]
    fn threads_together_never_hold_more_than_there_is_and_all_get_their_share() {
        let held = AtomicU64::new(0);
        thread::scope(|scope| {
            for bytes in [60, 50, 100, 1, 40, 99] {
                let held = &held;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let mut share = Share::of(&SMALL, bytes).expect("a share");
                        assert!(held.fetch_add(bytes, Ordering::SeqCst) + bytes <= SMALL.total);
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        share.shrink(bytes / 2);
                    }
                });
            }
        });
        assert_eq!(*SMALL.taken.lock().expect("a lock"), 0);
    }

    #[test]
    fn an_image_that_needs_more_than_there_is_for_all_is_refused() {
        let reason = Share::of(&SMALL, 101).expect_err("an error").to_string();
        assert!(reason.contains("takes 101 B") && reason.contains("there is 100 B"), "{reason}");
    }
}
