//! The processes that work together on one run: this one alone, or a group that a launcher has started (`place`). They
//! exchange sums, from which everything else is made.

mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, TchError, Tensor};

use crate::native::processes::Group;
use place::Place;

/// All processes, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Processes {
    place: Place,
    /// `None` if this process is alone.
    members: Option<Arc<Members>>,
}

/// A group whose members give signs of life.
#[derive(Debug)]
struct Members {
    group: Arc<Group>,
    /// Gives the signs until the sender is dropped.
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The time between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A process that gives none for this long has ended.
const SILENCE: Duration = Duration::from_secs(3);

impl Processes {
    /// This process alone.
    pub fn alone() -> Self {
        Processes { place: Place::alone(), members: None }
    }

    /// Finds this process's place in the environment; the others are met by [`Processes::meet`].
    ///
    /// # Errors
    /// Returns an error that names a variable of the environment if it is missing or contradicts another.
    pub fn of_environment() -> Result<Self> {
        Ok(Processes { place: Place::of_environment()?, members: None })
    }

    /// Meets the others, if there are any; no exchange will wait longer than `timeout`.
    ///
    /// # Errors
    /// Returns an error if one does not come, or cannot be reached.
    pub fn meet(&mut self, timeout: Duration) -> Result<()> {
        if self.count() == 1 {
            return Ok(());
        }
        let meeting = self.place.meeting(timeout);
        let group = Group::meet(&meeting).map_err(|error| anyhow!(first_line(&error)));
        let group = Arc::new(group.with_context(|| {
            let (address, port, count) = (&meeting.address, meeting.port, meeting.count);
            format!("the {count} processes of this run have not met at {address}, port {port}")
        })?);
        self.members = Some(Arc::new(Members::new(group)?));
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

    /// How many processes share the processors of this one.
    pub fn local_count(&self) -> usize {
        self.place.local_count
    }

    /// Whether the launcher has started all processes again, after one had ended.
    pub fn are_restarted(&self) -> bool {
        self.place.restarts > 0
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

    /// Checks that all processes have the same.
    ///
    /// # Errors
    /// Returns an error if `what` differs, or see [`Processes::sum`].
    pub fn check_same<T: Serialize + DeserializeOwned + PartialEq>(&self, what: &str, own: T) -> Result<()> {
        let all = self.gather(own)?;
        let other = all.iter().position(|it| *it != all[0]);
        let other = other.unwrap_or_default();
        ensure!(other == 0, "{what} of rank {other} of {} are not those of rank 0", self.count());
        Ok(())
    }
}

impl Members {
    fn new(group: Arc<Group>) -> Result<Self> {
        let (beating, end) = channel();
        let beats = group.clone();
        let heart = thread::Builder::new()
            .spawn(move || while end.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) && beats.beat().is_ok() {});
        Ok(Members { group, heart: Some((beating, heart.context("cannot start a thread")?)) })
    }

    /// Why an exchange failed: mostly because another process has ended.
    fn explain(&self, error: &TchError) -> TchError {
        let reason = first_line(error);
        let lost = match self.silent() {
            // The first process serves the store.
            Err(_) => vec![0],
            Ok(silent) => silent,
        };
        let count = self.group.count();
        let ranks: Vec<String> = lost.iter().map(usize::to_string).collect();
        let ranks = ranks.join(", ");
        TchError::Shape(match lost.as_slice() {
            [] => format!("an exchange among the {count} processes failed, although all of them are alive: {reason}"),
            [_] => format!("rank {ranks} of {count} has ended, perhaps with an error of its own ({reason})"),
            _ => format!("ranks {ranks} of {count} have ended, perhaps with errors of their own ({reason})"),
        })
    }

    /// The processes that give no sign of life.
    fn silent(&self) -> Result<Vec<usize>, TchError> {
        let before = self.group.beats()?;
        thread::sleep(SILENCE);
        let after = self.group.beats()?;
        let is_silent = |rank: &usize| before[*rank] == after[*rank];
        Ok((0..before.len()).filter(is_silent).collect())
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if let Some((beating, heart)) = self.heart.take() {
            drop(beating);
            let _ = heart.join();
        }
    }
}

/// An error without libtorch's own stack trace.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) | TchError::Shape(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_string()
}
