//! Asks before something is changed for good.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;

/// Goes on only if the person at the terminal says yes; without a terminal there is nobody to ask.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let rule = format!("{question} There is no terminal to ask at: say --yes");
        return Err(Failure::Refused(rule));
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ").map_err(Failure::Output)?;
    stderr.flush().map_err(Failure::Output)?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(Failure::Output)?;
    if is_yes(&line) {
        Ok(())
    } else {
        Err(Failure::NotConfirmed)
    }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES \n"));
        for line in ["", "\n", "n\n", "yesterday\n", "yy"] {
            assert!(!is_yes(line), "{line}");
        }
    }
}
