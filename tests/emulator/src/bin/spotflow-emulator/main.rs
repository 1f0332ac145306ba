//! The embedded Platform as a program: for people who try a device without an account, and, with `--control`, for
//! tests in other languages.

mod command;
mod console;
mod control;
mod options;
mod page;
mod view;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use clap::Parser;
use options::Options;

/// A way to end the program that any thread may use.
#[derive(Clone)]
pub(crate) struct Quit(mpsc::SyncSender<()>);

impl Quit {
    pub fn ask(&self) {
        // Full: somebody asked before. Closed: it ends already.
        let _ = self.0.try_send(());
    }
}

/// Where things are.
pub(crate) struct Started {
    pub ca_file: PathBuf,
    /// The link to the page, if there is one.
    pub page: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spotflow-emulator: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let platform = Arc::new(options.builder().start()?);
    let ca_file = match &options.ca_file {
        None => platform.ca_file().to_owned(),
        Some(path) => {
            std::fs::write(path, platform.ca_certificate_pem())
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            path.clone()
        }
    };
    let (sender, ended) = mpsc::sync_channel(1);
    let quit = Quit(sender);
    let interrupted = quit.clone();
    ctrlc::set_handler(move || interrupted.ask())?;
    let page = match options.page_port() {
        None => None,
        Some(port) => Some(
            page::start(platform.clone(), &ca_file, port)
                .map_err(|error| format!("cannot serve the page on port {port}: {error}"))?,
        ),
    };
    let started = Started { ca_file, page };
    if options.control {
        control::start(platform.clone(), &started, quit);
    } else {
        console::start(platform.clone(), options, &started, quit);
    }
    ended.recv()?;
    // Threads that wait for standard input still hold the Platform; the process ends with them.
    platform.stop();
    Ok(())
}
