//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use strongroom_server::audit_log::{Timestamp, timestamp};
use strongroom_server::config::{Configuration, Flags, LogFormat, Settings};
use strongroom_server::http::host::Domain;
use strongroom_server::serve::StartError;

/// The Managed HSM API on machines you own.
#[derive(Debug, Parser)]
#[command(version, long_version = LONG_VERSION, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a deployment; the first start on an empty folder founds one.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArguments),
    /// Tell the whole story on one machine: serve, make a managed HSM, activate it, use its keys, back up, recover, drill.
    #[command(after_help = QUICKSTART_EXAMPLES)]
    Quickstart(QuickstartArguments),
    /// Look at a configuration file without starting anything.
    #[command(after_help = CHECK_CONFIG_EXAMPLES)]
    CheckConfig(CheckConfigArguments),
    /// Look after the store of a deployment that nobody serves.
    #[command(subcommand, after_help = STORE_EXAMPLES)]
    Store(StoreCommand),
    /// Handle a security domain offline: custodians' keys, checks, opening, new custodians.
    #[command(subcommand, after_help = CEREMONY_EXAMPLES)]
    Ceremony(strongroom_cli::ceremony::Ceremony),
    /// Look at the audit log of a data folder; the server may be running.
    #[command(subcommand, after_help = AUDIT_EXAMPLES)]
    Audit(AuditCommand),
    /// Look at the nodes that serve a deployment from one etcd, add one, empty one.
    #[command(subcommand, after_help = CLUSTER_EXAMPLES)]
    Cluster(ClusterCommand),
    /// Look after the security domain of a managed HSM: status, files for other custodians, rotation.
    #[command(subcommand, after_help = DOMAIN_EXAMPLES)]
    Domain(strongroom_cli::domain::Domain),
    /// Rehearse a recovery: restore a backup in memory, prove every key, and write a report that the custodians sign.
    #[command(subcommand, after_help = DRILL_EXAMPLES)]
    Drill(strongroom_cli::drill::DrillCommand),
    /// Measure how fast this build is on this machine.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(strongroom_cli::bench::Bench),
    /// Manage the built-in directory of a running server.
    #[command(after_help = DIRECTORY_EXAMPLES)]
    Directory(strongroom_cli::directory::Directory),
    /// Say who can do something with a key or a resource, and by which right.
    #[command(after_help = WHO_CAN_EXAMPLES)]
    WhoCan(strongroom_cli::who_can::WhoCan),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy all records into another, empty store, and compare both.
    #[command(after_help = STORE_EXAMPLES)]
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// The configuration (TOML) of the deployment as it is; all its nodes must be stopped.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The configuration (TOML) it will be served with; only its store counts here, and its data folder if the store is there.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the nodes, as the store shows them; exit code 1 if one does not renew its registration.
    #[command(after_help = CLUSTER_EXAMPLES)]
    Status {
        #[command(flatten)]
        place: ClusterPlace,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prepare a data folder for a new node: look whether it can serve the deployment, and remember which one that is.
    #[command(after_help = CLUSTER_EXAMPLES)]
    Join {
        #[command(flatten)]
        place: ClusterPlace,
    },
    /// Have a node say that it is not ready, while it goes on serving.
    #[command(after_help = CLUSTER_EXAMPLES)]
    Drain {
        #[command(flatten)]
        place: ClusterPlace,
        /// Its id, or its name if no other node has it.
        #[arg(value_name = "NODE")]
        node: String,
        /// Take it back.
        #[arg(long)]
        undo: bool,
    },
}

/// Which cluster.
#[derive(Debug, Args)]
pub(crate) struct ClusterPlace {
    /// Configuration file (TOML) of a node; its `[store]` says where the cluster is.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The node's folder [default: what the file says].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ClusterPlace {
    /// What a server on it would be started with.
    pub(crate) fn settings(self) -> Result<Settings, StartError> {
        let Self { config, data_dir } = self;
        configured(&config, Flags { data_dir, ..Flags::default() })
    }
}

/// What a server with this file and these flags would be started with.
pub(crate) fn configured(file: &Path, flags: Flags) -> Result<Settings, StartError> {
    Ok(Settings::resolve(Configuration::read(file)?, flags, default_data_dir())?)
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Say whether the log is as it was written; exit code 1 and the place if not.
    #[command(after_help = AUDIT_EXAMPLES)]
    Verify(VerifyArguments),
    /// Show events, newest last.
    #[command(after_help = AUDIT_EXAMPLES)]
    Show(ShowArguments),
    /// Write lines out as they are, or as OTLP/JSON.
    #[command(after_help = AUDIT_EXAMPLES)]
    Export(ExportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub(crate) place: AuditPlace,
    /// Only this operation, such as KeySign.
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// Only requests of this caller, by object id.
    #[arg(long, value_name = "OID")]
    pub(crate) caller: Option<String>,
    /// Only what happened at this time (RFC 3339, UTC, such as 2026-01-31T08:00:00Z) or later.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Timestamp>,
    /// Only requests that failed.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Print whole lines of the log.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(crate) place: AuditPlace,
    /// Lines as they are, or export requests of OpenTelemetry (only if the program was built with the feature `otlp`).
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Only lines behind this sequence number.
    #[arg(long, value_name = "SEQUENCE", default_value = "0")]
    pub(crate) after: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportFormat {
    Jsonl,
    OtlpJson,
}

/// Where an audit log lies.
#[derive(Debug, Args)]
pub(crate) struct AuditPlace {
    /// Configuration file (TOML) of the server, for its folder and its `[audit] checkpoint_file`.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The server's folder [default: $XDG_DATA_HOME/strongroom or ~/.local/share/strongroom].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) place: AuditPlace,
    /// Your own copy of the key that signs checkpoints (DIR/audit-key.json), kept where the log's owner cannot change it.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// A file with checkpoints that were kept elsewhere, one a line; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Serve a store that is older than this node has seen; what was written since is lost. The audit log says so.
    #[arg(long)]
    accept_rollback: bool,
    /// Found a new deployment although a root file exists already.
    #[arg(long)]
    init: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuickstartArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Stop when the story has been told; the exit code says whether all went well.
    #[arg(long)]
    pub(crate) exit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfigArguments {
    /// The file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// Where a server lives and listens.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// Configuration file (TOML); the flags here override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything that is kept [default: $XDG_DATA_HOME/strongroom or ~/.local/share/strongroom].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen; may be given several times; port 0 takes a free one [default: port 8443 of 127.0.0.1 and ::1].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// The domain below which all hosts lie [default: localhost].
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<Domain>,
    /// Instance metadata service: `off`, or where it listens [default: 127.0.0.1:8480 while all listeners are on loopback].
    #[arg(long, value_name = "ADDR:PORT")]
    imds: Option<String>,
    /// The log on stderr: for people, or one JSON object a line.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormatArgument>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormatArgument {
    Text,
    Json,
}

impl ServeArguments {
    /// File, flags and defaults together.
    pub(crate) fn settings(self) -> Result<Settings, StartError> {
        let Self { place, accept_rollback, init } = self;
        place.settings(|flags| Flags { accept_rollback, init, ..flags })
    }
}

impl PlaceArguments {
    /// File, flags and defaults together; `more` adds flags that only one command has.
    pub(crate) fn settings(self, more: impl FnOnce(Flags) -> Flags) -> Result<Settings, StartError> {
        let Self { config, data_dir, listen, domain, imds, log_format } = self;
        let configuration = config.map(|file| Configuration::read(&file)).transpose()?.unwrap_or_default();
        let log_format = log_format.map(|format| match format {
            LogFormatArgument::Text => LogFormat::Text,
            LogFormatArgument::Json => LogFormat::Json,
        });
        let flags = Flags { data_dir, listen, domain, metadata: imds, log_format, ..Flags::default() };
        Ok(Settings::resolve(configuration, more(flags), default_data_dir())?)
    }
}

/// `$XDG_DATA_HOME/strongroom`, or `~/.local/share/strongroom` (XDG Base Directory Specification: a relative
/// `$XDG_DATA_HOME` does not count).
#[expect(clippy::disallowed_methods, reason = "the program's entry is where the environment is read")]
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home = from("XDG_DATA_HOME").or_else(|| Some(from("HOME")?.join(".local/share")))?;
    Some(data_home.join("strongroom"))
}

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nLicence: Apache-2.0. API-compatible with Azure Managed HSM; not affiliated with Microsoft, not FIPS 140 validated."
);

const EXAMPLES: &str = "\
Examples:
  strongroom quickstart              a managed HSM with working keys, in a minute
  strongroom serve                   a server on this machine, for this machine
  . ~/.local/share/strongroom/client.env   then use az or an SDK as usual";

const SERVE_EXAMPLES: &str = "\
Examples:
  strongroom serve
  strongroom serve --data-dir ./data --listen 127.0.0.1:0 --imds off
  strongroom serve --config /etc/strongroom/strongroom.toml
  strongroom serve --domain hsm.example.com --listen 0.0.0.0:443 --listen '[::]:443'

Ready when DIR/client.env is there and https://management.DOMAIN:PORT/health answers 200. SIGTERM stops it gracefully.";

fn time(text: &str) -> Result<Timestamp, &'static str> {
    timestamp(text).ok_or("not a time as in RFC 3339, such as 2026-01-31T08:00:00Z")
}

const QUICKSTART_EXAMPLES: &str = "\
Examples:
  strongroom quickstart
  strongroom quickstart --data-dir ./demo --exit

Run again on the same folder it shows what is there and serves it.";

const CEREMONY_EXAMPLES: &str = "\
Examples:
  strongroom ceremony make-key --name alice --password-file alice.password
  strongroom ceremony verify --file ContosoMHSM-SD.json --key alice.key bob.key
  strongroom ceremony open --file ContosoMHSM-SD.json --key alice.key bob.key --transfer-key exchange.cer --out upload.json

No step opens a connection. Each prints its protocol with the hashes of all files: for people, or with --json.";

const AUDIT_EXAMPLES: &str = "\
Examples:
  strongroom audit verify
  strongroom audit verify --data-dir /var/lib/strongroom --public-key audit-key.json --checkpoints /mnt/worm/checkpoints
  strongroom audit verify --config /etc/strongroom/strongroom.toml --json
  strongroom audit show --operation KeySign --failed
  strongroom audit export --after 120000 > events.jsonl";

const CLUSTER_EXAMPLES: &str = "\
Examples:
  strongroom cluster status --config /etc/strongroom/strongroom.toml
  strongroom cluster join --config /etc/strongroom/strongroom.toml
  strongroom cluster drain --config /etc/strongroom/strongroom.toml node2

They read the store, and ask no server: they work while nodes are down.";

const DOMAIN_EXAMPLES: &str = "\
Examples:
  strongroom domain status --hsm-name ContosoMHSM
  strongroom domain rotate --hsm-name ContosoMHSM --certificate a.cer b.cer c.cer --quorum 2 --out ContosoMHSM-SD-2.json

It asks the server that runs on the data folder, as the administrator of its client.env.";

const DIRECTORY_EXAMPLES: &str = "\
Examples:
  strongroom directory user add alice --display-name 'Alice Example'
  strongroom directory service-principal add payments
  strongroom directory secret add payments --days 90
  strongroom directory group add-member operators alice

Each talks to the running server as the administrator, with DIR/client.env.";

const WHO_CAN_EXAMPLES: &str = "\
Examples:
  strongroom who-can sign --hsm ContosoMHSM --key orders
  strongroom who-can --hsm ContosoMHSM --principal payments
  strongroom who-can sign --hsm ContosoMHSM --if-added 'Managed HSM Crypto User' payments /keys/orders
  strongroom who-can wrapkey --vault contoso
  strongroom who-can Microsoft.KeyVault/managedHSMs/delete

Who may give itself a right counts as one who has it; the answer says by which way. It reads as the principal of
DIR/client.env, which must be allowed to see the roles.";

const DRILL_EXAMPLES: &str = "\
Examples:
  strongroom drill run --container file:///srv/backups --backup-folder mhsm-contosomhsm-2026112607000000 \\
      --file ContosoMHSM-SD.json --key alice.key bob.key --operator 'Erin Example' --report drill-2026-q4
  strongroom drill verify drill-2026-q4.json --file ContosoMHSM-SD.json

The running managed HSM is neither asked nor touched.";

const BENCH_EXAMPLES: &str = "\
Examples:
  strongroom bench                             every operation beside what this machine could do at best; some minutes
  strongroom bench --only sign-es256 get-key --http 1.1 --seconds 10 --repeat 7
  strongroom bench --json bench.json           the table here, the figures in the file
  strongroom bench --target ./data             the server that runs on this folder
  strongroom bench overload
  strongroom bench scale
  strongroom bench peers --peer ./venv/bin/bao         beside OpenBao
  strongroom bench backup --keys 1000 100000

docs/performance.md says how to read the table. Exit code 1 if a request failed: its row is void.";

const STORE_EXAMPLES: &str = "\
Examples:
  strongroom store copy --config embedded.toml --to etcd.toml
  strongroom store copy --config etcd.toml --to embedded.toml --json

Records stay sealed; no root is needed. The store that is copied from stays as it is: do not serve both.";

const CHECK_CONFIG_EXAMPLES: &str = "\
Example:
  strongroom check-config --config /etc/strongroom/strongroom.toml";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_has_examples() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands() {
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", subcommand.get_name());
        }
    }

    #[test]
    fn wrong_flags_are_usage_errors() {
        for arguments in [
            vec!["strongroom"],
            vec!["strongroom", "serve", "--nonsense"],
            vec!["strongroom", "serve", "--listen", "localhost"],
            vec!["strongroom", "serve", "--domain", "a..b"],
            vec!["strongroom", "serve", "--log-format", "xml"],
        ] {
            let error = Arguments::try_parse_from(&arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
        let version = Arguments::try_parse_from(["strongroom", "--version"]).unwrap_err();
        assert_eq!((version.kind(), version.exit_code()), (ErrorKind::DisplayVersion, 0));
        assert!(version.to_string().contains("not FIPS 140 validated"));
    }
}
