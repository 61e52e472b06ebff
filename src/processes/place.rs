//! The place of this process among those that a launcher has started together, as torchrun, Open MPI and SLURM tell it in the
//! environment.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::native::processes::Meeting;

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// This process's number among all, from 0.
    pub rank: usize,
    /// The number of processes.
    pub count: usize,
    /// This process's number among those on its machine, from 0.
    pub local_rank: usize,
    /// Whether the launcher itself serves the store in which the processes meet.
    pub is_served: bool,
    /// How often the launcher has started all of them again.
    restarts: u64,
    address: String,
    port: u16,
}

/// The port where a launcher names none; PyTorch's.
const PORT: u16 = 29500;

impl Place {
    /// A process that nobody has started together with others.
    pub fn alone() -> Self {
        let address = "127.0.0.1".to_string();
        Place { rank: 0, count: 1, local_rank: 0, is_served: false, restarts: 0, address, port: PORT }
    }

    /// The place that this process's environment tells.
    ///
    /// # Errors
    /// Returns an error that names a variable if it is missing, not a number, or contradicts another.
    pub fn of_environment() -> Result<Self> {
        Place::of(&Variables(|name: &str| env::var(name).ok().filter(|value| !value.is_empty())))
    }

    fn of(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self> {
        let place = if variables.has("RANK") || variables.has("WORLD_SIZE") {
            Place::of_torchrun(variables)
        } else if variables.has("OMPI_COMM_WORLD_RANK") {
            Place::of_open_mpi(variables)
        } else if variables.has("SLURM_PROCID") && !variables.is_slurm_script() {
            Place::of_slurm(variables)
        } else {
            Ok(Place::alone())
        }?;
        Ok(if place.count == 1 && !place.is_served { Place::alone() } else { place })
    }

    fn of_torchrun(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self> {
        let (rank, count) = variables.rank_and_count("RANK", "WORLD_SIZE")?;
        let local_rank = match variables.has("LOCAL_WORLD_SIZE") {
            true => variables.rank_and_count("LOCAL_RANK", "LOCAL_WORLD_SIZE")?.0,
            // Kubernetes starts one process per machine and names no more.
            false => variables.number_or("LOCAL_RANK", 0)?,
        };
        Ok(Place {
            rank,
            count,
            local_rank,
            is_served: variables.get("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True"),
            restarts: variables.number_or("TORCHELASTIC_RESTART_COUNT", 0)?,
            address: variables.text("MASTER_ADDR")?,
            port: variables.number("MASTER_PORT")?,
        })
    }

    fn of_open_mpi(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self> {
        let (rank, count) = variables.rank_and_count("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")?;
        let (local_rank, on_machine) =
            variables.rank_and_count("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")?;
        let address = match variables.get("MASTER_ADDR") {
            Some(address) => address,
            None if on_machine == count => "127.0.0.1".to_string(),
            None => bail!(
                "MASTER_ADDR is missing: Open MPI has started {count} processes, {on_machine} of them here, but does not say where the first one is; name its host with mpirun -x MASTER_ADDR=HOST"
            ),
        };
        let port = variables.number_or("MASTER_PORT", PORT)?;
        Ok(Place { rank, count, local_rank, address, port, ..Place::alone() })
    }

    fn of_slurm(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self> {
        let (rank, count) = variables.rank_and_count("SLURM_PROCID", "SLURM_NTASKS")?;
        let local_rank = variables.number("SLURM_LOCALID")?;
        let nodes = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"];
        let nodes = nodes.into_iter().find_map(|name| variables.get(name));
        let address = match (variables.get("MASTER_ADDR"), nodes) {
            (Some(address), _) => address,
            (None, Some(nodes)) => first_host(&nodes),
            (None, None) if count == 1 => String::new(),
            (None, None) => {
                bail!(
                    "SLURM_JOB_NODELIST is missing, so the host of the first of {count} processes is unknown; name it with MASTER_ADDR"
                )
            }
        };
        // Jobs that share a machine do not share a port.
        let job: u64 = variables.number_or("SLURM_JOB_ID", u64::from(PORT) - 20_000)?;
        let port = variables.number_or("MASTER_PORT", 20_000 + (job % 20_000) as u16)?;
        Ok(Place { rank, count, local_rank, address, port, ..Place::alone() })
    }

    /// Where the processes meet.
    pub fn meeting(&self, timeout: Duration) -> Meeting {
        Meeting {
            address: self.address.clone(),
            port: self.port,
            hosts: self.rank == 0 && !self.is_served,
            attempt: self.restarts,
            rank: self.rank,
            count: self.count,
            timeout,
        }
    }
}

/// The first host of SLURM's compressed list: `gpu[03-05,9],login` is gpu03, gpu04, gpu05, gpu9, login.
fn first_host(nodes: &str) -> String {
    let (mut host, mut rest) = (String::new(), nodes);
    while let Some(end) = rest.find(['[', ',']) {
        host += &rest[..end];
        let Some((numbers, after)) = rest[end..].strip_prefix('[').and_then(|inside| inside.split_once(']')) else {
            return host;
        };
        host += numbers.split([',', '-']).next().unwrap_or_default();
        rest = after;
    }
    host + rest
}

/// The environment.
struct Variables<Get>(Get);

impl<Get: Fn(&str) -> Option<String>> Variables<Get> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether this is the script of a job, whose variables speak of the processes that it is yet to start.
    fn is_slurm_script(&self) -> bool {
        self.has("SLURM_JOB_ID") && !self.has("SLURM_STEP_ID")
    }

    fn text(&self, name: &str) -> Result<String> {
        let set = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"];
        let set = set.into_iter().find(|set| self.has(set)).unwrap_or("its kin");
        self.get(name).with_context(|| {
            format!("the environment variable {name} is missing, although {set} is set; start all processes with torchrun, srun or mpirun, or unset {set} to run alone")
        })
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<N> {
        let text = self.text(name)?;
        let number = text.parse().ok();
        number.with_context(|| format!("the environment variable {name}: expected a number in range, found {text:?}"))
    }

    fn number_or<N: std::str::FromStr>(&self, name: &str, otherwise: N) -> Result<N> {
        if self.has(name) { self.number(name) } else { Ok(otherwise) }
    }

    fn rank_and_count(&self, rank: &str, count: &str) -> Result<(usize, usize)> {
        let (number, of): (usize, usize) = (self.number(rank)?, self.number(count)?);
        ensure!(
            number < of && of <= 1 << 20,
            "the environment variables {rank} and {count} contradict each other: expected a rank from 0 below the number of processes, found {number} of {of}"
        );
        Ok((number, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Place> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Place::of(&Variables(|name: &str| find(name).map(|(_, value)| value.to_string())))
    }

    #[test]
    fn each_launcher_tells_the_place() {
        let torchrun = [("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")];
        let torchrun = [&torchrun[..], &[("MASTER_ADDR", "a1"), ("MASTER_PORT", "1234")]].concat();
        let mpi = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1")];
        let mpi = [&mpi[..], &[("OMPI_COMM_WORLD_LOCAL_SIZE", "2"), ("MASTER_ADDR", "a1")]].concat();
        let slurm = [("SLURM_PROCID", "3"), ("SLURM_NTASKS", "4"), ("SLURM_LOCALID", "1"), ("SLURM_JOB_ID", "7")];
        let slurm = [&slurm[..], &[("SLURM_STEP_ID", "0"), ("SLURM_JOB_NODELIST", "a[1-2]")]].concat();
        for (variables, port) in [(torchrun, 1234), (mpi, 29500), (slurm, 20007)] {
            let found = place(&variables).expect("a place");
            assert_eq!((found.rank, found.count, found.local_rank), (3, 4, 1));
            assert_eq!((found.address.as_str(), found.port), ("a1", port));
        }
        assert_eq!(place(&[]).expect("a place"), Place::alone());
        // The script of a SLURM job runs once.
        let script = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_JOB_ID", "7")];
        assert_eq!(place(&script).expect("a place"), Place::alone());
    }

    #[test]
    fn what_is_missing_or_contradicts_is_named() {
        let error = |variables: &[(&str, &str)]| format!("{:#}", place(variables).expect_err("an error"));
        assert!(error(&[("RANK", "0")]).contains("WORLD_SIZE is missing, although RANK is set"));
        assert!(error(&[("WORLD_SIZE", "2")]).contains("RANK is missing, although WORLD_SIZE is set"));
        assert!(error(&[("RANK", "2"), ("WORLD_SIZE", "2")]).contains("found 2 of 2"));
        assert!(
            error(&[("RANK", "one"), ("WORLD_SIZE", "2")]).contains("RANK: expected a number in range, found \"one\"")
        );
        let mpi = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_LOCAL_RANK", "0")];
        let mpi = [&mpi[..], &[("OMPI_COMM_WORLD_LOCAL_SIZE", "2")]].concat();
        assert!(error(&mpi).contains("MASTER_ADDR is missing"));
    }

    #[test]
    fn the_first_host_of_slurms_list_is_found() {
        for (nodes, first) in [
            ("login", "login"),
            ("a,b", "a"),
            ("gpu[03-05,9],login", "gpu03"),
            ("rack[1-2]n[007,9].site,b", "rack1n007.site"),
        ] {
            assert_eq!(first_host(nodes), first);
        }
    }
}
