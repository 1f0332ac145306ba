//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use spotflow_emulator::{Approval, Builder, Platform};

/// The Spotflow IoT Platform on this machine, for trying out a device without an account.
///
/// It takes one port on a loopback address, where devices provision themselves over HTTPS and send Messages over
/// MQTT. At the start it prints what a device has to be told. Everything that happens is shown; type "help" for
/// what can be done. All is forgotten when it ends. An option given twice counts as it was given last.
#[derive(Parser)]
#[command(
    version,
    about,
    long_about,
    max_term_width = 100,
    args_override_self = true
)]
pub(crate) struct Options {
    /// Who lets devices in: each at once, or you, with the commands "approve" and "refuse".
    #[arg(long, value_enum, default_value = "manual")]
    approve: Approve,

    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,

    /// The port to listen on; 0 is any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Listen on 443 and 8883, for devices that know no other ports. Where they are taken, another loopback
    /// address is chosen.
    #[arg(long, conflicts_with = "port")]
    standard_ports: bool,

    /// Give the hub a port of its own.
    #[arg(long, conflicts_with = "standard_ports")]
    own_hub_port: bool,

    /// The port of the page, which shows what happens and takes orders, for a browser on this machine; 0 is any that
    /// is free. The link to it is printed. With --control there is a page only if this is given.
    #[arg(long, value_name = "PORT")]
    page_port: Option<u16>,

    /// Serve no page.
    #[arg(long, conflicts_with = "page_port")]
    no_page: bool,

    /// Where to write the CA certificate that devices have to trust; else a temporary file.
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,

    /// The Provisioning Token; else a random one.
    #[arg(long, value_name = "TOKEN")]
    provisioning_token: Option<String>,

    /// The Workspace's id; else a random one.
    #[arg(long, value_name = "ID")]
    workspace_id: Option<String>,

    /// How long a Registration Token is valid, such as "30days" or "5m"; "never" for without an end.
    #[arg(long, value_name = "TIME", default_value = "30days", value_parser = lifetime)]
    registration_token_lifetime: Lifetime,

    /// How long a password for the hub is valid.
    #[arg(long, value_name = "TIME", default_value = "1day", value_parser = humantime::parse_duration)]
    sas_lifetime: Duration,

    /// How long a device may write to a place in the storage that it was given.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    upload_sas_lifetime: Duration,

    /// Keep every byte that goes over a connection, for the command "traffic".
    #[arg(long, requires = "control")]
    record_traffic: bool,

    /// Read commands as JSON lines from standard input, and answer each with one JSON line; for other programs.
    /// The library's documentation describes them.
    #[arg(long)]
    pub control: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Approve {
    Auto,
    Manual,
}

/// `None` where it never ends.
#[derive(Clone, Copy)]
struct Lifetime(Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, humantime::DurationError> {
    match text {
        "never" => Ok(Lifetime(None)),
        _ => humantime::parse_duration(text).map(|duration| Lifetime(Some(duration))),
    }
}

impl Options {
    pub fn builder(&self) -> Builder {
        let mut builder = Platform::builder()
            .approval(if self.asks() {
                Approval::Manual
            } else {
                Approval::Auto
            })
            .bind(self.bind)
            .port(self.port)
            .standard_ports(self.standard_ports)
            .own_hub_port(self.own_hub_port)
            .record_traffic(self.record_traffic)
            .registration_token_lifetime(self.registration_token_lifetime.0)
            .sas_lifetime(self.sas_lifetime)
            .upload_sas_lifetime(self.upload_sas_lifetime);
        if let Some(token) = &self.provisioning_token {
            builder = builder.provisioning_token(token);
        }
        if let Some(id) = &self.workspace_id {
            builder = builder.workspace_id(id);
        }
        builder
    }

    /// Where to serve the page; nothing if not at all.
    pub fn page_port(&self) -> Option<u16> {
        let default = (!self.control && !self.no_page).then_some(0);
        self.page_port.or(default)
    }

    /// Whether somebody decides on operations.
    pub fn asks(&self) -> bool {
        self.approve == Approve::Manual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_consistent() {
        Options::command().debug_assert();
        assert!(Options::try_parse_from(["emulator"]).is_ok_and(|options| options.asks()));
        assert!(Options::try_parse_from(["emulator", "--standard-ports", "--port", "1"]).is_err());
        let twice = ["emulator", "--approve", "auto", "--approve", "manual"];
        assert!(Options::try_parse_from(twice).is_ok_and(|options| options.asks()));
        let page_port = |options: &[&str]| Options::try_parse_from(options).unwrap().page_port();
        assert_eq!(page_port(&["emulator"]), Some(0));
        assert_eq!(page_port(&["emulator", "--no-page"]), None);
        assert_eq!(page_port(&["emulator", "--control"]), None);
        assert_eq!(
            page_port(&["emulator", "--control", "--page-port", "0"]),
            Some(0)
        );
        let never = ["emulator", "--registration-token-lifetime", "never"];
        assert!(
            Options::try_parse_from(never).is_ok_and(|o| o.registration_token_lifetime.0.is_none())
        );
    }
}
