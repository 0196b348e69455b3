//! A server of one's own: a process on a data folder that goes with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use strongroom_bench::cores::on_core;
use strongroom_bench::now;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running server. Dropping it kills the process and removes the folder.
pub(super) struct Server {
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts one with a configuration, on a core if one is given, and waits until it is ready.
    pub(super) async fn start(core: Option<usize>, configuration: &str) -> Result<Self> {
        let folder = TempDir::with_prefix("strongroom-bench-").context("no temporary folder can be made")?;
        std::fs::write(file(folder.path()), configuration)?;
        let mut server = Self { process: serve(core, folder.path())?, folder };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Stops it as a system would, starts it again on the same folder, and waits until it is ready. Answers when the new
    /// process began.
    pub(super) async fn restart(&mut self, core: Option<usize>) -> Result<Instant> {
        let process = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(process.context("the server has ended")?, Signal::TERM).context("the server cannot be stopped")?;
        self.process.wait().await?;
        let begun = now();
        self.process = serve(core, self.folder.path())?;
        self.wait_until_ready().await?;
        Ok(begun)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..READY_POLLS_MAX {
            if self.data_dir().join("client.env").exists() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended before it was ready: {status}");
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
        bail!("the server did not become ready")
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.id()
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        data(self.folder.path())
    }

    /// What its memory is now, in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The highest since [`Server::forget_peak`], in bytes.
    pub(super) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Lets the highest begin with what it is now (proc_pid_clear_refs(5)).
    pub(super) fn forget_peak(&self) -> Result<()> {
        std::fs::write(self.proc("clear_refs")?, "5").context("the peak of the server's memory cannot be reset")
    }

    /// A field of /proc/PID/status, which has kibibytes.
    fn status(&self, field: &str) -> Result<u64> {
        Ok(number_in(&self.proc("status")?, field)? * 1024)
    }

    /// How often a core has been given to one of its threads, or taken from it, so far.
    pub(super) fn context_switches(&self) -> Result<u64> {
        let mut switches = 0;
        for thread in std::fs::read_dir(self.proc("task")?).context("the server has ended")? {
            let status = thread?.path().join("status");
            for field in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                // A thread may have ended meanwhile.
                switches += number_in(&status, field).unwrap_or(0);
            }
        }
        Ok(switches)
    }

    fn proc(&self, file: &str) -> Result<PathBuf> {
        let process = self.process.id().context("the server has ended")?;
        Ok(Path::new("/proc").join(process.to_string()).join(file))
    }
}

/// The number behind the name of a field (proc_pid_status(5)).
fn number_in(status: &Path, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(status).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("the system tells no {field}"))
}

fn serve(core: Option<usize>, folder: &Path) -> Result<Child> {
    let program = std::env::current_exe().context("this program has no path")?;
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--imds", "off"]);
    command.arg("--config").arg(file(folder)).arg("--data-dir").arg(data(folder));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    spawn(core, command).context("the server cannot be started")
}

/// Starts a program that reads nothing, on a core if one is given. It ends with what is returned.
pub(super) fn spawn(core: Option<usize>, mut command: Command) -> Result<Child> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let runtime = tokio::runtime::Handle::current();
    let spawned = on_core(core, || {
        let _entered = runtime.enter();
        command.spawn()
    })?;
    Ok(spawned?)
}

fn file(folder: &Path) -> PathBuf {
    folder.join("strongroom.toml")
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Half a minute.
const READY_POLLS_MAX: usize = 6000;
const READY_PAUSE: Duration = Duration::from_millis(5);
