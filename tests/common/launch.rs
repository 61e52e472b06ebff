//! Several processes of the program, started as launchers start them: by the variables of the environment.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use super::{Ran, Workplace};

/// What a launcher sets for one process of several on this machine.
pub type Variables = fn(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)>;

pub fn torchrun(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("RANK", rank.clone()),
        ("WORLD_SIZE", count.clone()),
        ("LOCAL_RANK", rank),
        ("LOCAL_WORLD_SIZE", count),
        ("MASTER_ADDR", "127.0.0.1".into()),
        ("MASTER_PORT", port.to_string()),
    ]
}

pub fn slurm(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("SLURM_PROCID", rank.clone()),
        ("SLURM_NTASKS", count),
        ("SLURM_LOCALID", rank),
        ("SLURM_JOB_NODELIST", "localhost".into()),
        ("MASTER_PORT", port.to_string()),
    ]
}

pub fn open_mpi(rank: usize, count: usize, port: u16) -> Vec<(&'static str, String)> {
    let [rank, count] = [rank, count].map(|number| number.to_string());
    vec![
        ("OMPI_COMM_WORLD_RANK", rank.clone()),
        ("OMPI_COMM_WORLD_SIZE", count.clone()),
        ("OMPI_COMM_WORLD_LOCAL_RANK", rank),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", count),
        ("MASTER_PORT", port.to_string()),
    ]
}

pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port").port()
}

pub fn start(place: &Workplace, variables: Variables, count: usize, arguments: &[&str]) -> Vec<Child> {
    start_at(free_port(), place, variables, count, arguments)
}

/// Starts processes that meet at this port.
pub fn start_at(port: u16, place: &Workplace, variables: Variables, count: usize, arguments: &[&str]) -> Vec<Child> {
    let start = |rank| {
        let mut command = place.command(arguments);
        command.envs(variables(rank, count, port)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program runs")
    };
    (0..count).map(start).collect()
}

/// The ends of processes, in the order of their ranks.
pub fn ends(children: Vec<Child>) -> Vec<Ran> {
    let wait = |child: Child| thread::spawn(|| Ran::of(child.wait_with_output().expect("an end")));
    let waiting: Vec<_> = children.into_iter().map(wait).collect();
    waiting.into_iter().map(|end| end.join().expect("an end")).collect()
}

/// Runs to the end in so many processes, of which only the first one speaks; returns what that one said.
pub fn run(place: &Workplace, variables: Variables, count: usize, arguments: &[&str]) -> Ran {
    first(ends(start(place, variables, count, arguments)))
}

/// What the first of processes said, of which all succeeded and no other speaks.
pub fn first(ends: Vec<Ran>) -> Ran {
    let mut all = ends.into_iter();
    let first = all.next().expect("a first process").succeeds();
    for (index, other) in all.enumerate() {
        let (other, rank) = (other.succeeds(), index + 1);
        assert_eq!((other.stdout.as_str(), other.stderr.as_str()), ("", ""), "rank {rank} speaks");
    }
    first
}

/// Waits until a run has saved its first state.
pub fn await_save(place: &Workplace, out: &str, children: &mut [Child]) {
    while !place.path(&format!("{out}/last.safetensors")).exists() {
        assert!(children[0].try_wait().expect("a status").is_none(), "ended before it was disturbed");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}
