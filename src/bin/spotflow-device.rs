//! The tool for whoever stands before a device: see `spotflow-device --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(spotflow_device::tool::run(std::env::args_os()))
}
