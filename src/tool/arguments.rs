//! What can be said to the tool, and its help: the page `TOOL.md` is made of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::compression::Compression;

/// For whoever stands before a device: why does it send nothing, and what waits in its file.
///
/// Exit code: 0 all is well, 1 there are findings or it failed, 2 it cannot tell or was called wrongly. No token, password
/// or link is ever shown.
#[derive(Debug, Parser)]
#[command(name = "spotflow-device", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(StatusArguments),
    Outbox(OutboxArguments),
    Doctor(Box<DoctorArguments>),
    Send(Box<SendArguments>),
}

/// What is in a database file: who the device is, who has the file, how much waits
///
/// Can be run beside the client that uses the file, which notices nothing of it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  spotflow-device status --db /var/lib/gateway/spotflow.db")]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub database: Database,
    /// Writes one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The client's database file
    #[arg(long = "db", value_name = "FILE")]
    pub path: PathBuf,
}

/// The Messages in a database file: those that wait to be sent, and those set aside
///
/// `list`, `show` and `export` can be run beside the client that uses the file. `retry`, `drop` and `import` change it,
/// and need a file that no client has.
#[derive(Debug, Args)]
pub(crate) struct OutboxArguments {
    #[command(subcommand)]
    pub command: OutboxCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    List(ListArguments),
    Show(ShowArguments),
    Export(ExportArguments),
    Retry(RetryArguments),
    Drop(DropArguments),
    Import(ImportArguments),
}

/// Which Messages are meant
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// Those that wait to be sent
    Pending,
    /// Those that will not be sent as things stand
    SetAside,
    /// All
    All,
}

/// Lists Messages, each priority's oldest first
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device outbox list --db spotflow.db --limit 20\n  spotflow-device outbox list --db spotflow.db --state set-aside"
)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub database: Database,
    /// Which ones
    #[arg(long, value_enum, default_value_t = State::All)]
    pub state: State,
    /// At most so many
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub limit: Option<u64>,
    /// Writes a JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Shows one Message with its payload, decoded
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device outbox show --db spotflow.db 10017\n  spotflow-device outbox show --db spotflow.db 10017 --raw > payload.bin"
)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub database: Database,
    /// As `list` has it
    pub id: i64,
    /// Writes the decoded payload alone, as it is
    #[arg(long)]
    pub raw: bool,
}

/// Writes Messages as JSON lines, to be read by people and programs, or imported elsewhere
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device outbox export --db spotflow.db --output messages.jsonl\n  spotflow-device outbox export --db spotflow.db --decode | jq .payload"
)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub database: Database,
    /// Which ones
    #[arg(long, value_enum, default_value_t = State::All)]
    pub state: State,
    /// Writes payloads as JSON or text where they are that, and decompressed; such lines cannot be imported
    #[arg(long)]
    pub decode: bool,
    /// Writes to this new file, that only its owner can read; standard output unless given
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Puts Messages that were set aside back, behind all others, to be sent with the next start
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  spotflow-device outbox retry --db spotflow.db --all",
    group = ArgGroup::new("which").required(true)
)]
pub(crate) struct RetryArguments {
    #[command(flatten)]
    pub database: Database,
    /// These Messages
    #[arg(group = "which")]
    pub ids: Vec<i64>,
    /// All that were set aside
    #[arg(long, group = "which")]
    pub all: bool,
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
}

/// Deletes Messages for good
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device outbox drop --db spotflow.db 10017 10018\n  spotflow-device outbox drop --db spotflow.db --state set-aside --yes",
    group = ArgGroup::new("which").required(true)
)]
pub(crate) struct DropArguments {
    #[command(flatten)]
    pub database: Database,
    /// These Messages
    #[arg(group = "which")]
    pub ids: Vec<i64>,
    /// All in this state
    #[arg(long, value_enum, group = "which")]
    pub state: Option<State>,
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
}

/// Stores Messages that `export` wrote, behind all others, to be sent with the next start
///
/// Messages that were set aside are left out, unless they are asked for.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  spotflow-device outbox import --db new.db messages.jsonl")]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    pub database: Database,
    /// What `export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// Also Messages that were set aside: they wait to be sent then
    #[arg(long)]
    pub set_aside: bool,
    /// Also Messages of other devices: they are sent as this one's
    #[arg(long)]
    pub as_this_device: bool,
    /// Leaves out so many lines at the beginning, which an earlier import has stored: it says how many when it fails, and
    /// the next one does if it was interrupted
    #[arg(long, value_name = "LINES")]
    pub skip: Option<u64>,
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
}

/// How the Platform is reached, as the device's program has it
#[derive(Debug, Args)]
pub(crate) struct WayToPlatform {
    /// The Platform's instance; unless given, the one that the file names, or the public one
    #[arg(long, value_name = "HOST")]
    pub instance: Option<String>,
    /// A PEM file with certificates to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// `http://`, `socks5://` or `socks5h://`, then `[user[:password]@]host[:port]`; or `none`. Unless given, the
    /// environment decides: it does not show a password to other users
    #[arg(long, value_name = "PROXY")]
    pub proxy: Option<String>,
}

/// Finds out why a device sends nothing, and says what to do
///
/// Looks at the clock, names, connections, proxy, TLS, the tokens, the database file and its disk, and what the system
/// allows; takes less than 20 s. It changes nothing, does not connect as the device, and can be run beside its client, as
/// the same user.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device doctor --db /var/lib/gateway/spotflow.db\n  spotflow-device doctor --db spotflow.db --json --bundle ticket.json\n  spotflow-device doctor --instance api.eu1.spotflow.io"
)]
pub(crate) struct DoctorArguments {
    /// The client's database file; without it, only the way to the Platform is looked at
    #[arg(long = "db", value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// A file with the device's Provisioning Token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub way: WayToPlatform,
    /// Where the hub is, for a device that cannot be told it by the Platform
    #[arg(long, value_name = "HOST")]
    pub hub: Option<String>,
    /// Where the storage for large content is, to look at the way there, too
    #[arg(long, value_name = "HOST")]
    pub storage: Option<String>,
    /// Writes one JSON object
    #[arg(long)]
    pub json: bool,
    /// Writes all that was found to this new file, too, for a support ticket
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// How much effort is spent on making payloads smaller
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Effort {
    None,
    Fastest,
    Smallest,
}

impl Effort {
    pub fn compression(self) -> Compression {
        match self {
            Effort::None => Compression::Uncompressed,
            Effort::Fastest => Compression::Fastest,
            Effort::Smallest => Compression::SmallestSize,
        }
    }
}

/// Sends Messages as the device, for scripts and cron, and waits until the Platform has them
///
/// The file must be one that no client has. What the Platform has not acknowledged in time stays in the file, for the next
/// client.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  spotflow-device send --db spotflow.db --stream readings '{\"temperatureCelsius\": 21.5}'\n  sensor | spotflow-device send --db spotflow.db --stream readings --lines\n  spotflow-device send --db spotflow.db --token-file token.txt --device-id gateway-7 < report.pdf"
)]
pub(crate) struct SendArguments {
    #[command(flatten)]
    pub database: Database,
    /// A Message for each; without any, all of standard input is one
    #[arg(value_name = "PAYLOAD")]
    pub payloads: Vec<String>,
    /// Each line of standard input is a Message, stored as it comes
    #[arg(long, conflicts_with = "payloads")]
    pub lines: bool,
    /// A file with the Provisioning Token; unless given, the one that the database file has is used
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub way: WayToPlatform,
    /// The Device ID to ask for, with the first start; unless given, the one before
    #[arg(long, value_name = "ID")]
    pub device_id: Option<String>,
    /// The Stream Group
    #[arg(long, value_name = "NAME")]
    pub stream_group: Option<String>,
    /// The Stream
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// The Batch that the Messages belong to
    #[arg(long, value_name = "ID")]
    pub batch_id: Option<String>,
    /// The Message's name within its Batch
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// Makes payloads smaller
    #[arg(long, value_enum, default_value_t = Effort::None)]
    pub compress: Effort,
    /// Only stores the Messages: the next client sends them
    #[arg(long)]
    pub no_wait: bool,
    /// How long the start, and then the acknowledgement, may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        value_parser = seconds,
        allow_negative_numbers = true
    )]
    pub timeout: Duration,
}

/// Longer than anybody waits, and not beyond what the clock can say: a century.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A number of seconds, also with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    // By what reads JSON, which is there: the standard library's own way needs a table of 10 KB.
    let seconds: f64 = serde_json::from_str(text).map_err(|_| "not a number".to_owned())?;
    let time = Duration::try_from_secs_f64(seconds);
    let time = time.map_err(|_| "not a length of time".to_owned())?;
    Ok(time.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_that_the_clock_can_say() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        let longest = seconds("1e19").unwrap();
        assert!(Instant::now().checked_add(longest).is_some());
        for text in ["", "soon", "-1", "NaN", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
