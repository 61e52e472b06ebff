//! A group whose members give signs of life, so that the ones that have ended can be named.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tch::TchError;

use crate::native::processes::{Group, Meeting};

/// The members of a group, as one of them sees them.
#[derive(Debug)]
pub struct Members {
    /// The group.
    pub group: Arc<Group>,
    rank: usize,
    /// What each member counts its signs of life by in the store.
    keys: Arc<[String]>,
    /// Gives the signs until the sender is dropped.
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The time between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A process that gives none for this long has ended.
const SILENCE: Duration = Duration::from_secs(3);
/// A store that does not answer for this long is lost.
const ANSWER: Duration = Duration::from_secs(2);

impl Members {
    /// Meets the other members.
    ///
    /// # Errors
    /// Returns an error if one does not come, or cannot be reached.
    pub fn meet(meeting: &Meeting) -> Result<Self> {
        let group = Group::meet(meeting).map_err(|error| TchError::Shape(first_line(&error)))?;
        let keys = (0..meeting.count).map(|rank| format!("{}/beat/{rank}", meeting.attempt));
        let (group, keys) = (Arc::new(group), keys.collect::<Arc<[String]>>());
        let (beating, end) = channel();
        let (beats, own) = (group.clone(), keys[meeting.rank].clone());
        let heart = thread::Builder::new().spawn(move || {
            while end.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) && beats.add(&own, 1).is_ok() {}
        });
        let heart = heart.context("cannot start a thread")?;
        Ok(Members { group, rank: meeting.rank, keys, heart: Some((beating, heart)) })
    }

    /// Why an exchange failed: usually because another process has ended. Then this one cannot go on either, and leaves.
    pub fn explain(&self, error: &TchError) -> TchError {
        let (count, reason) = (self.keys.len(), first_line(error));
        TchError::Shape(self.describe_lost(&reason).unwrap_or_else(|| {
            format!("an exchange among the {count} processes failed, although none has ended; one may be slower than the others by more than the timeout ({reason})")
        }))
    }

    /// Says which processes have ended; `None` if all are alive.
    pub fn describe_lost(&self, reason: &str) -> Option<String> {
        // The others then fail at once as well, whichever of them they are waiting for, and ask for signs of life while all
        // but the lost ones still give them.
        let _ = self.group.leave();
        let lost = self.lost();
        if self.rank == 0 {
            // The first process may serve the store.
            thread::sleep(BEAT);
        }
        let (count, ranks) = (self.keys.len(), lost.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
        match lost.len() {
            0 => None,
            1 => {
                Some(format!("rank {ranks} of {count} has ended or cannot be reached; it may have said why ({reason})"))
            }
            _ => Some(format!(
                "ranks {ranks} of {count} have ended or cannot be reached; they may have said why ({reason})"
            )),
        }
    }

    /// The processes that give no sign of life.
    fn lost(&self) -> Vec<usize> {
        let (group, keys) = (self.group.clone(), self.keys.clone());
        let (answering, answer) = channel();
        // On a thread of its own, as a lost machine never answers.
        let asking = thread::Builder::new().spawn(move || {
            let beats = || keys.iter().map(|key| group.add(key, 0)).collect::<Result<Vec<i64>, TchError>>();
            let before = beats();
            thread::sleep(SILENCE);
            let _ = answering.send(before.and_then(|before| Ok((before, beats()?))));
        });
        match asking.ok().and_then(|_| answer.recv_timeout(SILENCE + ANSWER).ok()) {
            Some(Ok((before, after))) => (0..before.len()).filter(|&rank| before[rank] == after[rank]).collect(),
            // The store is gone, and with it the machine of the first process.
            Some(Err(_)) | None => vec![0],
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let Some((beating, heart)) = self.heart.take() else { return };
        drop(beating);
        // Its last sign may be on the way to a machine that is lost.
        let begun = Instant::now();
        while !heart.is_finished() && begun.elapsed() < ANSWER {
            thread::sleep(Duration::from_millis(1));
        }
        if heart.is_finished() {
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
