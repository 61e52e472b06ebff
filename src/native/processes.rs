//! Process groups of libtorch's c10d, by the C interface of `processes.cpp`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tch::{TchError, Tensor};

use super::{Handle, Result, handle, silence};

pub(super) type Failure = *mut c_char;

unsafe extern "C" {
    fn topfive_group_create(
        address: *const c_char,
        port: c_int,
        hosts: bool,
        attempt: i64,
        rank: c_int,
        count: c_int,
        timeout: i64,
        created: *mut *mut c_void,
    ) -> Failure;
    fn topfive_group_destroy(group: *mut c_void);
    fn topfive_group_leave(group: *mut c_void) -> Failure;
    fn topfive_group_sum(group: *mut c_void, tensors: *const Handle, count: i64) -> Failure;
    fn topfive_group_total(group: *mut c_void, values: Handle, total: *mut Handle) -> Failure;
    fn topfive_group_broadcast(group: *mut c_void, tensors: *const Handle, count: i64) -> Failure;
    fn topfive_group_add(group: *mut c_void, key: *const c_char, amount: i64, sum: *mut i64) -> Failure;
}

/// Where a process finds the others of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The host of the store.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Whether this process serves the store.
    pub hosts: bool,
    /// How often the launcher has started the processes again: its store still holds what earlier attempts put there.
    pub attempt: u64,
    /// This process's number, from 0.
    pub rank: usize,
    /// The number of processes.
    pub count: usize,
    /// How long to wait, for the others to come and then for each exchange with them.
    pub timeout: Duration,
}

/// A group of c10d that exchanges tensors by Gloo.
#[derive(Debug)]
pub struct Group {
    group: *mut c_void,
    /// Exchanges are matched by their order.
    exchange: Mutex<()>,
}

// SAFETY: the store locks itself, and exchanges lock `exchange`.
unsafe impl Send for Group {}
// SAFETY: see above.
unsafe impl Sync for Group {}

impl Group {
    /// Meets the other processes.
    ///
    /// # Errors
    /// Returns an error if one does not come, or cannot be reached.
    pub fn meet(at: &Meeting) -> Result<Self> {
        silence();
        let address = c_string(&at.address)?;
        let mut group = ptr::null_mut();
        // SAFETY: the string lives through the call.
        checked(unsafe {
            topfive_group_create(
                address.as_ptr(),
                c_int::from(at.port),
                at.hosts,
                at.attempt as i64,
                at.rank as c_int,
                at.count as c_int,
                at.timeout.as_millis() as i64,
                &raw mut group,
            )
        })?;
        Ok(Group { group, exchange: Mutex::new(()) })
    }

    /// Sums each of the tensors, all of one kind and on one device, over the processes, in place.
    ///
    /// # Errors
    /// Returns an error if a process is gone, or does not answer in time.
    pub fn sum(&self, tensors: &[&Tensor]) -> Result<()> {
        self.exchange(tensors, topfive_group_sum)
    }

    /// Gives each of the tensors the values that the first process has.
    ///
    /// # Errors
    /// See [`Group::sum`].
    pub fn broadcast(&self, tensors: &[&Tensor]) -> Result<()> {
        self.exchange(tensors, topfive_group_broadcast)
    }

    fn exchange(
        &self,
        tensors: &[&Tensor],
        exchange: unsafe extern "C" fn(*mut c_void, *const Handle, i64) -> Failure,
    ) -> Result<()> {
        let handles: Vec<Handle> = tensors.iter().map(|tensor| handle(tensor)).collect();
        let _alone = self.lock();
        // SAFETY: the tensors live through the call, which waits for its work.
        checked(unsafe { exchange(self.group, handles.as_ptr(), handles.len() as i64) })
    }

    /// The sum of a tensor over the processes, through which gradients flow: those of the sum of all processes' losses.
    ///
    /// # Errors
    /// See [`Group::sum`].
    pub fn total(&self, values: &Tensor) -> Result<Tensor> {
        let _alone = self.lock();
        let mut total = ptr::null_mut();
        // SAFETY: the tensor lives through the call; the new one is the caller's. Its gradient is computed while the caller
        // waits for that, so the group lives, and no other exchange is under way.
        unsafe {
            checked(topfive_group_total(self.group, handle(values), &raw mut total))?;
            Ok(Tensor::from_ptr(total))
        }
    }

    /// Closes the connections to the others, whose exchanges then fail, too: for a process that cannot go on.
    ///
    /// # Errors
    /// Returns libtorch's error; none is known.
    pub fn leave(&self) -> Result<()> {
        let _alone = self.lock();
        // SAFETY: the group lives.
        checked(unsafe { topfive_group_leave(self.group) })
    }

    /// Adds to a number that all attempts of the launcher share, 0 at first; returns the sum.
    ///
    /// # Errors
    /// Returns an error if the store is gone.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let key = c_string(key)?;
        let mut sum = 0;
        // SAFETY: the string lives through the call.
        checked(unsafe { topfive_group_add(self.group, key.as_ptr(), amount, &raw mut sum) })?;
        Ok(sum)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the group.
        unsafe { topfive_group_destroy(self.group) };
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| TchError::Shape(format!("{text:?}: contains a NUL")))
}

/// A failure as an error.
pub(super) fn checked(failure: Failure) -> Result<()> {
    if failure.is_null() {
        return Ok(());
    }
    // SAFETY: a failure is a string that is ours to free.
    let text = unsafe {
        let text = CStr::from_ptr(failure).to_string_lossy().into_owned();
        libc::free(failure.cast());
        text
    };
    Err(TchError::Torch(text))
}
