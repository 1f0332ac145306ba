//! Runs the program, and looks at all that it says for secrets.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::Stage;
use crate::support::leaks::{Leaks, Text};

/// What a run of the program left.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The output's lines as JSON.
    pub fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:#?}")))
            .collect()
    }
}

/// Runs it; nothing of the Platform's secrets may be in what it says.
pub fn run(stage: &Stage, arguments: &[&str]) -> Ended {
    run_with_input(stage, arguments, b"")
}

pub fn run_with_input(stage: &Stage, arguments: &[&str], input: &[u8]) -> Ended {
    run_command(stage, Command::new(PATH), arguments, input)
}

/// Where it is.
pub const PATH: &str = env!("CARGO_BIN_EXE_spotflow-device");

/// Runs it by another command.
pub fn run_command(stage: &Stage, mut command: Command, arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Fails if the program does not read it: that is then seen by what it says.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    let said = |source: &str, text: &str| Text {
        source: source.to_owned(),
        text: text.to_owned(),
    };
    let texts = [said("stdout", &ended.stdout), said("stderr", &ended.stderr)];
    let leaks = Leaks::of(stage.platform.secrets()).find(&texts);
    assert!(leaks.is_empty(), "secrets were shown: {leaks:#?}");
    ended
}

/// As text, for an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
