//! The processes: a server on a core of its own, HAProxy and wrk on the others. All of them end
//! with this one.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::flags::Flags;
use crate::server::Server;

const CONFIG: &str = include_str!("haproxy.cfg");
/// How long a process may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How HAProxy is told to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Aggressive,
    Default,
}

impl Check {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Default => "default",
        }
    }
}

/// A server, and HAProxy in front of it. Both are ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Rig {
    server: Ended,
    _haproxy: Ended,
    dir: RunDir,
    front: SocketAddr,
}

impl Rig {
    /// Starts both; returns also what HAProxy logs.
    ///
    /// # Errors
    ///
    /// If one of them does not come up.
    pub(crate) fn start(
        server: Server,
        flags: &Flags,
    ) -> Result<(Self, ChildStdout), Box<dyn Error>> {
        let (server, [bulk, health]) = start_server(server, flags)?;
        let dir = RunDir::make()?;
        let front = free_address()?;
        let config = dir.0.join("haproxy.cfg");
        fs::write(&config, CONFIG)?;
        let complaints = dir.0.join("haproxy.err");
        let mut haproxy = Ended(
            on_cores(|cores| rest(cores), "haproxy")?
                .args(["-db".as_ref(), "-f".as_ref(), config.as_os_str()])
                .env("RUN_DIR", &dir.0)
                .env("CHECK", flags.check.name())
                .env("FRONT_PORT", front.port().to_string())
                .env("BULK_PORT", bulk.port().to_string())
                .env("HEALTH_PORT", health.port().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(fs::File::create(&complaints)?)
                .spawn()
                .map_err(|error| not_started("haproxy", &error))?,
        );
        let log = haproxy.0.stdout.take().expect("its standard output is piped");
        let rig = Self { server, _haproxy: haproxy, dir, front };
        let started = Instant::now();
        while !rig.stats_socket().exists() {
            if started.elapsed() > PATIENCE {
                return Err(
                    format!("HAProxy did not start: {}", fs::read_to_string(complaints)?).into()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok((rig, log))
    }

    /// Starts the load, which ends by itself after the time it is to last.
    ///
    /// # Errors
    ///
    /// If wrk cannot be started.
    pub(crate) fn load(&self, flags: &Flags) -> Result<Load, Box<dyn Error>> {
        let wrk = on_cores(|cores| rest(cores), "wrk")?
            .args(["--threads", "1", "--connections", &flags.connections.to_string()])
            .args(["--duration", &format!("{}s", flags.seconds), "--timeout", "60s"])
            .arg(format!("http://{}/work", self.front))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| not_started("wrk", &error))?;
        Ok(Load(Ended(wrk)))
    }

    pub(crate) fn stats_socket(&self) -> PathBuf {
        self.dir.0.join("stats.sock")
    }

    /// Returns the processor time that the server has used, in all its threads.
    ///
    /// # Errors
    ///
    /// If the system does not tell: only Linux does.
    pub(crate) fn server_cpu(&self) -> io::Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.server.0.id()))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
            nanos += on_cpu.ok_or_else(|| io::Error::other(format!("no schedstat: {stat:?}")))?;
        }
        Ok(Duration::from_nanos(nanos))
    }
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load(Ended);

impl Load {
    /// Waits for the end and returns what wrk says of it.
    ///
    /// # Errors
    ///
    /// If that cannot be read.
    pub(crate) fn report(mut self) -> io::Result<String> {
        io::read_to_string(self.0.0.stdout.take().expect("its standard output is piped"))
    }
}

/// Starts this program again as the server; it ends when its standard input does.
fn start_server(server: Server, flags: &Flags) -> Result<(Ended, [SocketAddr; 2]), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let mut serving = Ended(
        on_cores(|cores| &cores[..1], &program)?
            .args(["--serve", "--only", server.name()])
            .args(["--work", &flags.work.as_micros().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| not_started("the server", &error))?,
    );
    let said = serving.0.stdout.take().expect("its standard output is piped");
    let mut addresses = String::new();
    BufReader::new(said).read_line(&mut addresses)?;
    let (bulk, health) = addresses.trim().split_once(' ').ok_or("the server ended early")?;
    Ok((serving, [bulk.parse()?, health.parse()?]))
}

/// Begins a command that runs `program` on some of the cores this process may use.
fn on_cores(
    which: impl Fn(&[u32]) -> &[u32],
    program: impl AsRef<Path>,
) -> Result<Command, Box<dyn Error>> {
    let cores = cores()?;
    let cores: Vec<String> = which(&cores).iter().map(u32::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cores.join(",")]).arg(program.as_ref());
    Ok(command)
}

/// All cores but the server's, if there are any others.
fn rest(cores: &[u32]) -> &[u32] {
    if cores.len() > 1 { &cores[1..] } else { cores }
}

/// Lists the cores this process may use.
fn cores() -> Result<Vec<u32>, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut cores = Vec::new();
    for range in list.ok_or("the system does not say which cores there are")?.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<u32>()?..=last.parse()?);
    }
    Ok(cores)
}

/// An address that nobody listens at, for the moment.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn not_started(what: &str, error: &io::Error) -> String {
    format!("{what} could not be started: {error}; examples/haproxy/run.sh says what is needed")
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory for the time of a run.
#[derive(Debug)]
struct RunDir(PathBuf);

impl RunDir {
    fn make() -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("evenloop-haproxy-{}", std::process::id()));
        fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What is left is a few kilobytes of a temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}
