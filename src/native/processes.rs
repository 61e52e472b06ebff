//! Process groups of libtorch's c10d, by the C interface of `processes.cpp`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tch::{TchError, Tensor};

use super::{Handle, Result, handle, silence};

pub(super) type Failure = *mut c_char;

unsafe extern "C" {
    fn topfive_group_create(
        address: *const c_char,
        port: c_int,
        hosts: bool,
        prefix: *const c_char,
        rank: c_int,
        count: c_int,
        timeout: i64,
        created: *mut *mut c_void,
    ) -> Failure;
    fn topfive_group_destroy(group: *mut c_void);
    fn topfive_group_sum(group: *mut c_void, tensors: *const Handle, count: i64) -> Failure;
    fn topfive_group_broadcast(group: *mut c_void, tensors: *const Handle, count: i64) -> Failure;
    fn topfive_group_beat(group: *mut c_void) -> Failure;
    fn topfive_group_beats(group: *mut c_void, beats: *mut i64) -> Failure;
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
    /// What the names of the group's keys in the store begin with.
    pub prefix: String,
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
    count: usize,
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
        let text = |text: &str| CString::new(text).map_err(|_| TchError::Shape(format!("{text:?}: contains a NUL")));
        let (address, prefix) = (text(&at.address)?, text(&at.prefix)?);
        let mut group = ptr::null_mut();
        // SAFETY: the strings live through the call.
        checked(unsafe {
            topfive_group_create(
                address.as_ptr(),
                c_int::from(at.port),
                at.hosts,
                prefix.as_ptr(),
                at.rank as c_int,
                at.count as c_int,
                at.timeout.as_millis() as i64,
                &raw mut group,
            )
        })?;
        Ok(Group { group, count: at.count, exchange: Mutex::new(()) })
    }

    /// The number of processes.
    pub fn count(&self) -> usize {
        self.count
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
        let _alone = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the tensors live through the call, which waits for its work.
        checked(unsafe { exchange(self.group, handles.as_ptr(), handles.len() as i64) })
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    /// Returns an error if the store is gone.
    pub fn beat(&self) -> Result<()> {
        // SAFETY: the group lives.
        checked(unsafe { topfive_group_beat(self.group) })
    }

    /// How many signs of life each process has given.
    ///
    /// # Errors
    /// Returns an error if the store is gone.
    pub fn beats(&self) -> Result<Vec<i64>> {
        let mut beats = vec![0; self.count];
        // SAFETY: there is room for a number of each process.
        checked(unsafe { topfive_group_beats(self.group, beats.as_mut_ptr()) })?;
        Ok(beats)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the group.
        unsafe { topfive_group_destroy(self.group) };
    }
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
