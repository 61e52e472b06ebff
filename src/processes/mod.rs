//! The processes that work together on one run: this one alone, or a group that a launcher has started (`place`), whose
//! `members` give signs of life. They exchange sums, from which everything else is made.

mod members;
mod place;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, TchError, Tensor};

use members::Members;
use place::Place;

/// All processes, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Processes {
    place: Place,
    /// `None` if this process is alone, or has not met the others yet.
    members: Option<Arc<Members>>,
    /// How many of them, with this one, share its processors.
    sharing: usize,
}

/// What the attempts of a launcher count in the store once one of them has begun its work.
const BEGUN: &str = "begun";

impl Processes {
    /// This process alone.
    pub fn alone() -> Self {
        Processes { place: Place::alone(), members: None, sharing: 1 }
    }

    /// Finds this process's place in the environment; the others are met by [`Processes::meet`].
    ///
    /// # Errors
    /// Returns an error that names a variable of the environment if it is missing or contradicts another.
    pub fn of_environment() -> Result<Self> {
        Ok(Processes { place: Place::of_environment()?, members: None, sharing: 1 })
    }

    /// Meets the others, if there are any; no exchange will wait longer than `timeout`.
    ///
    /// # Errors
    /// Returns an error if one does not come, or cannot be reached.
    pub fn meet(&mut self, timeout: Duration) -> Result<()> {
        if !self.have_launcher() {
            return Ok(());
        }
        let meeting = self.place.meeting(timeout);
        let members = Members::meet(&meeting).with_context(|| {
            let (address, port, count) = (&meeting.address, meeting.port, meeting.count);
            format!("the {count} processes of this run have not met at {address}, port {port}")
        })?;
        self.members = Some(Arc::new(members));
        let own = processors();
        self.sharing = self.gather(own.clone())?.iter().filter(|other| **other == own).count();
        Ok(())
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.place.rank
    }

    /// The number of processes.
    pub fn count(&self) -> usize {
        self.place.count
    }

    /// This process's number among those on its machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.place.local_rank
    }

    /// How many processes, with this one, share its processors.
    pub fn sharing(&self) -> usize {
        self.sharing
    }

    /// Whether a launcher has started them, if only this one.
    pub fn have_launcher(&self) -> bool {
        self.are_several() || self.place.is_served
    }

    /// Takes note that the work has begun, for later attempts of the same launcher.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn begin(&self) -> Result<(), TchError> {
        self.members.as_ref().map_or(Ok(()), |it| it.group.add(BEGUN, 1).map(drop).map_err(|error| it.explain(&error)))
    }

    /// Whether an earlier attempt of the same launcher has begun the work: the launcher starts all processes again after
    /// one has ended.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn have_begun(&self) -> Result<bool, TchError> {
        let begun = |it: &Arc<Members>| it.group.add(BEGUN, 0).map_err(|error| it.explain(&error));
        Ok(self.members.as_ref().map_or(Ok(0), begun)? > 0)
    }

    /// Whether this process is the one that writes and prints.
    pub fn is_first(&self) -> bool {
        self.place.rank == 0
    }

    /// Whether there are others.
    pub fn are_several(&self) -> bool {
        self.place.count > 1
    }

    /// This process's part of `0..length`: parts differ by one at most.
    pub fn share(&self, length: usize) -> std::ops::Range<usize> {
        let start = |rank: usize| (length as u64 * rank as u64 / self.count() as u64) as usize;
        start(self.rank())..start(self.rank() + 1)
    }

    /// Sums each of the tensors, of one kind and on one device, over all processes, in place. All processes then have the
    /// same values, to the bit.
    ///
    /// # Errors
    /// Returns an error that names the processes that have ended, or says that an answer took too long.
    pub fn sum(&self, tensors: &[&Tensor]) -> Result<(), TchError> {
        self.members.as_ref().map_or(Ok(()), |it| it.group.sum(tensors).map_err(|error| it.explain(&error)))
    }

    /// The sum of a tensor over all processes, through which gradients flow: those of the sum of all processes' losses. All
    /// processes must compute them, as of this.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn total(&self, values: &Tensor) -> Result<Tensor, TchError> {
        let total = |it: &Arc<Members>| it.group.total(values).map_err(|error| it.explain(&error));
        self.members.as_ref().map_or_else(|| Ok(values.shallow_clone()), total)
    }

    /// The reason for an error of a gradient that exchanges take part in, if it is that another process has ended.
    pub fn explain(&self, error: TchError) -> TchError {
        let lost = self.members.as_ref().and_then(|members| members.describe_lost("while gradients were computed"));
        lost.map_or(error, TchError::Shape)
    }

    /// Gives each of the tensors the values that the first process has.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn broadcast(&self, tensors: &[&Tensor]) -> Result<(), TchError> {
        self.members.as_ref().map_or(Ok(()), |it| it.group.broadcast(tensors).map_err(|error| it.explain(&error)))
    }

    /// The sums of each of these numbers over all processes.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn totals<const N: usize>(&self, own: [f64; N]) -> Result<[f64; N], TchError> {
        if self.members.is_none() {
            return Ok(own);
        }
        let sums = Tensor::f_from_slice(&own)?;
        self.sum(&[&sums])?;
        let mut totals = [0.0; N];
        sums.f_copy_data(&mut totals, N)?;
        Ok(totals)
    }

    /// Whether something is so in any process.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn any(&self, own: bool) -> Result<bool, TchError> {
        Ok(self.totals([f64::from(u8::from(own))])?[0] > 0.0)
    }

    /// Whether work has been interrupted in any process, asked after each piece of it: several agree about it every now and
    /// then.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn is_interrupted(&self, index: usize, interrupted: &AtomicBool) -> Result<bool, TchError> {
        const PIECES: usize = 32;
        let interrupted = interrupted.load(Ordering::Relaxed);
        if !self.are_several() {
            return Ok(interrupted);
        }
        Ok(index % PIECES == PIECES - 1 && self.any(interrupted)?)
    }

    /// What each process has, in the order of their numbers.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn gather<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<Vec<T>> {
        if self.members.is_none() {
            return Ok(vec![own]);
        }
        let bytes = serde_json::to_vec(&own)?;
        let mut lengths = vec![0i64; self.count()];
        lengths[self.rank()] = bytes.len() as i64;
        let sums = Tensor::f_from_slice(&lengths)?;
        self.sum(&[&sums])?;
        sums.f_copy_data(&mut lengths, self.count())?;
        // Each has its own stretch, where the others have zeros.
        let all = Tensor::f_zeros([lengths.iter().sum::<i64>()], (Kind::Uint8, Device::Cpu))?;
        let start = lengths[..self.rank()].iter().sum();
        all.f_narrow(0, start, bytes.len() as i64)?.f_copy_(&Tensor::f_from_slice(&bytes)?)?;
        self.sum(&[&all])?;
        let mut rest = vec![0u8; all.numel()];
        all.f_copy_data(&mut rest, all.numel())?;
        let mut rest = rest.as_slice();
        let mut gathered = Vec::with_capacity(self.count());
        for length in lengths {
            let (own, others) = rest.split_at(length as usize);
            gathered.push(serde_json::from_slice(own)?);
            rest = others;
        }
        Ok(gathered)
    }

    /// What the first process has, which alone gives something.
    ///
    /// # Errors
    /// See [`Processes::sum`].
    pub fn of_first<T: Serialize + DeserializeOwned>(&self, own: Option<T>) -> Result<T> {
        let first = self.gather(own)?.into_iter().next().flatten();
        first.context("expected a value of the first process, found none")
    }

    /// Checks that all processes have the same. For the error, `what` names it, and `remedy` says what to do.
    ///
    /// # Errors
    /// Returns an error if it differs, or see [`Processes::sum`].
    pub fn check_same<T: Serialize + DeserializeOwned + PartialEq>(
        &self,
        what: &str,
        remedy: &str,
        own: T,
    ) -> Result<()> {
        let all = self.gather(own)?;
        let other = all.iter().position(|it| *it != all[0]).unwrap_or_default();
        ensure!(other == 0, "{what} of rank {other} of {} differ from those of rank 0. {remedy}", self.count());
        Ok(())
    }
}

/// What tells the processors that this process may use from those of others: the machine, the container, and the set of
/// processors that the launcher or the system gives it.
fn processors() -> [String; 3] {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let container = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let status = read("/proc/self/status");
    let allowed = status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap_or_default();
    [read("/proc/sys/kernel/random/boot_id"), container.display().to_string(), allowed.to_string()]
}
