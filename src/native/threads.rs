//! Loops shared among libtorch's own threads, those of OpenMP: threads of our own would compete with them, since they wait
//! for their next task awake.

use std::ffi::{c_uint, c_void};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::find;

/// `GOMP_parallel` of GCC's OpenMP, which libtorch is built with.
type Parallel =
    unsafe extern "C" fn(run: extern "C" fn(*mut c_void), data: *mut c_void, threads: c_uint, flags: c_uint);

static PARALLEL: LazyLock<Option<Parallel>> = LazyLock::new(|| {
    // SAFETY: the type is that of the function's declaration in GCC's libgomp_g.h.
    find(c"GOMP_parallel").map(|address| unsafe { std::mem::transmute::<*mut c_void, Parallel>(address) })
});

struct Loop<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
}

impl Loop<'_> {
    fn run(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            (self.work)(index);
        }
    }
}

extern "C" fn run(data: *mut c_void) {
    // SAFETY: `each` passes a loop that outlives the call; its threads only share it.
    unsafe { &*data.cast::<Loop>().cast_const() }.run();
}

/// Calls `work` with 0, 1, ... below `count`, on as many threads as libtorch computes with, or on this one if libtorch uses
/// another OpenMP.
pub fn each(count: usize, work: impl Fn(usize) + Sync) {
    let threads = c_uint::try_from(tch::get_num_threads()).unwrap_or(1);
    let mut shared = Loop { work: &work, count, next: AtomicUsize::new(0) };
    match *PARALLEL {
        // SAFETY: the function returns when all threads are done with the loop.
        Some(parallel) if threads > 1 && count > 1 => unsafe { parallel(run, (&raw mut shared).cast(), threads, 0) },
        _ => shared.run(),
    }
}
