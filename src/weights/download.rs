//! Downloads over HTTP: resumed where they stopped, retried when the connection drops.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use indicatif::DecimalBytes;
use sha2::{Digest, Sha256};
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Error, Timeout};

use crate::report::Report;

/// A partial download: the bytes received so far, in a file of their own, with their running checksum.
pub struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
    pieced: bool,
}

impl Part {
    /// Opens what an earlier run left, or starts an empty one.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened or read, with its path.
    pub fn open(path: PathBuf) -> Result<Self> {
        let opened = || -> io::Result<(File, Sha256, u64)> {
            let mut file = File::options().create(true).read(true).append(true).open(&path)?;
            let mut hash = Sha256::new();
            let length = io::copy(&mut file, &mut hash)?;
            Ok((file, hash, length))
        };
        let (file, hash, length) = opened()
            .with_context(|| format!("cannot open {}. If it exists, delete it to start over", path.display()))?;
        Ok(Part { path, file, length, hash, pieced: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 in lower-case hex.
    pub fn digest(&self) -> String {
        format!("{:x}", self.hash.clone().finalize())
    }

    /// Whether it holds bytes of several responses, which may come from different files.
    pub fn is_pieced(&self) -> bool {
        self.pieced
    }

    /// Discards the bytes received so far.
    ///
    /// # Errors
    /// Returns an error if the file cannot be changed.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.length, self.hash, self.pieced) = (0, Sha256::new(), false);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The file, once all of it is on the disk.
    ///
    /// # Errors
    /// Returns an error if the disk is full or fails.
    pub fn synced(&self) -> io::Result<&File> {
        self.file.sync_all()?;
        Ok(&self.file)
    }

    pub fn remove(&self) {
        // If it cannot be removed, the next run continues it and checks its checksum again.
        let _ = fs::remove_file(&self.path);
    }

    /// An error for a part that could not be written. It is removed: a full disk stops other programs as well.
    pub fn unwritable(&self, error: &io::Error, total: Option<u64>) -> anyhow::Error {
        self.remove();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let room =
            total.map_or(format!("more than {}", DecimalBytes(self.length)), |total| DecimalBytes(total).to_string());
        anyhow!(
            "cannot write {}: {error}. {} needs room for {room}. Make room there, set XDG_CACHE_HOME to a folder on another disk, or use a local copy of the weights",
            self.path.display(),
            folder.display()
        )
    }
}

/// Why a download ended early.
pub enum Failure {
    /// The connection was lost; another try may help.
    Dropped(String),
    /// Another try would end the same way.
    Refused(String),
    Disk(anyhow::Error),
}

/// How long to wait for a connection, and then for each next byte. There is no limit on the whole: slow lines are fine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that may drop in a row without a single new byte.
const MOST_DROPS: u32 = 3;

/// Waited before the next try, times the drops in a row.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Download<'a> {
    url: &'a str,
    agent: Agent,
    report: Report,
    /// Whether the server has answered before, so that a refused connection is a passing fault.
    answered: bool,
}

impl<'a> Download<'a> {
    pub fn new(url: &'a str, report: Report) -> Self {
        let encrypted = url.parse().is_ok_and(|uri: Uri| uri.scheme_str() == Some("https"));
        // The proxy comes from ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and NO_PROXY: ureq's default.
        let config = Agent::config_builder()
            .user_agent(concat!("topfive/", env!("CARGO_PKG_VERSION")))
            // Ranges and checksums count the bytes of the file itself.
            .accept_encoding("identity")
            .http_status_as_error(false)
            // A redirect must not lead to an unencrypted connection.
            .https_only(encrypted)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE));
        Download { url, agent: config.build().new_agent(), report, answered: false }
    }

    /// Fetches the missing bytes.
    ///
    /// # Errors
    /// Returns an error if the server refuses, if the connection drops repeatedly, or if the disk is full. Except on
    /// disk errors, the part keeps what was received.
    pub fn run(&mut self, part: &mut Part) -> Result<(), Failure> {
        let (mut drops, mut furthest) = (0, part.length());
        loop {
            let reason = match self.attempt(part) {
                Err(Failure::Dropped(reason)) => reason,
                ended => return ended,
            };
            if part.length() > furthest {
                (drops, furthest) = (0, part.length());
            }
            drops += 1;
            let kept = DecimalBytes(part.length());
            if drops > MOST_DROPS {
                return Err(Failure::Refused(format!(
                    "the connection was lost {drops} times in a row (last reason: {reason}). \
                     {kept} are kept in {}; run the command again to resume",
                    part.path.display()
                )));
            }
            self.report.note(format!("connection lost after {kept} ({reason}); trying again"));
            thread::sleep(PAUSE * drops);
        }
    }

    fn attempt(&mut self, part: &mut Part) -> Result<(), Failure> {
        let mut request = self.agent.get(self.url);
        if part.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.length));
        }
        let response = request.call().map_err(|error| self.unanswered(&error))?;
        self.answered = true;
        let total = match response.status().as_u16() {
            200 => {
                // The whole file, even if a range was requested: not every server supports ranges.
                part.clear().map_err(|error| Failure::Disk(part.unwritable(&error, None)))?;
                response.body().content_length()
            }
            206 => match content_range(&response) {
                Some((start, total)) if start == part.length => {
                    part.pieced = start > 0;
                    total
                }
                _ => {
                    part.clear().map_err(|error| Failure::Disk(part.unwritable(&error, None)))?;
                    return Err(Failure::Dropped("the server sent a range other than the one requested".to_string()));
                }
            },
            // Range not satisfiable: the part is complete, or of another file; its checksum tells.
            416 if part.length > 0 => {
                part.pieced = true;
                return Ok(());
            }
            _ => return Err(Failure::Refused(format!("the server answered {}", response.status()))),
        };
        self.receive(response.into_body(), total, part)
    }

    fn receive(&self, body: Body, total: Option<u64>, part: &mut Part) -> Result<(), Failure> {
        let mut body = body.into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut bar = self.report.bytes_bar(total, "fetching");
        let (started, before) = (Instant::now(), part.length);
        let ended = loop {
            match body.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    if let Err(error) = part.write(&buffer[..count]) {
                        break Err(Failure::Disk(part.unwritable(&error, total)));
                    }
                    let rate = (part.length - before) as f64 / started.elapsed().as_secs_f64().max(1e-3);
                    bar.at(part.length, format!("{}/s", DecimalBytes(rate as u64)));
                }
                Err(error) => break Err(Failure::Dropped(reason(&error.into()))),
            }
        };
        bar.clear();
        ended?;
        // A server may answer with a shorter range than requested.
        match total {
            Some(total) if part.length < total => Err(Failure::Dropped("the server ended early".to_string())),
            _ => Ok(()),
        }
    }

    fn unanswered(&self, error: &Error) -> Failure {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let lost = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
        match error {
            Error::Io(error) if lost.contains(&error.kind()) => Failure::Dropped(error.to_string()),
            error if self.answered => Failure::Dropped(reason(error)),
            error => Failure::Refused(reason(error)),
        }
    }
}

/// First byte and total length in `bytes 21010-47021/47022`. RFC 9110, section 14.4.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (bounds, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    Some((bounds.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn reason(error: &Error) -> String {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection within {} s", PATIENCE.as_secs())
        }
        Error::Timeout(_) => format!("no data within {} s", PATIENCE.as_secs()),
        Error::HostNotFound => "the host has no address".to_string(),
        // rustls's own errors come as these while the connection is made.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => format!("TLS: {error}"),
        Error::Io(error) => error.to_string(),
        Error::Rustls(error) => format!("TLS: {error}"),
        Error::RequireHttpsOnly(address) => format!("it redirects to {address}, which is not encrypted"),
        error => error.to_string(),
    }
}
