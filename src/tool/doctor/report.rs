//! What was found, as text and as JSON.

use serde_json::{Value, json};

use super::board::{Check, Verdict};
use crate::tool::failure::{Failure, Outcome};
use crate::tool::output::Output;

/// All checks.
pub(crate) struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    pub fn new(checks: Vec<Check>) -> Report {
        Report { checks }
    }

    /// The finding that explains the others.
    pub fn deepest(&self) -> Option<&Check> {
        let findings = self.checks.iter().filter(|check| check.found.is_finding());
        findings.min_by_key(|check| check.found.cause)
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.checks
            .iter()
            .any(|check| check.found.verdict == verdict)
    }

    pub fn outcome(&self) -> Outcome {
        if self.has(Verdict::Finding) {
            Outcome::Findings
        } else if self.has(Verdict::CannotTell) {
            Outcome::CannotTell
        } else {
            Outcome::Done
        }
    }

    pub fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let width = self.checks.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or(0);
        for check in &self.checks {
            let (mark, name, ms) = (
                mark(check.found.verdict),
                &check.name,
                check.took.as_millis(),
            );
            let summary = one_line(&check.found.summary);
            output.line(format!("{mark:7} {name:width$} {ms:>6} ms  {summary}"))?;
            if let Some(advice) = check.found.advice {
                output.line(format!("{:1$}-> {advice}", "", width + 20))?;
            }
        }
        output.line("")?;
        output.line(self.conclusion())
    }

    fn conclusion(&self) -> String {
        match (self.deepest(), self.outcome()) {
            (Some(check), _) => {
                let cause = check.found.cause.map_or("", |cause| cause.name());
                let summary = one_line(&check.found.summary);
                format!("Most likely cause: {cause} ({}): {summary}", check.name)
            }
            (None, Outcome::CannotTell) => {
                "Nothing is found wrong, but not all could be looked at.".to_owned()
            }
            (None, _) => "All is well.".to_owned(),
        }
    }

    pub fn to_json(&self) -> Value {
        let checks = self.checks.iter().map(|check| {
            let found = &check.found;
            json!({
                "check": check.name,
                "took_ms": u64::try_from(check.took.as_millis()).unwrap_or(u64::MAX),
                "verdict": word(found.verdict),
                "cause": found.cause.map(|cause| cause.name()),
                "summary": one_line(&found.summary),
                "advice": found.advice,
            })
        });
        let checks: Vec<Value> = checks.collect();
        let cause = self.deepest().and_then(|check| check.found.cause);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            "verdict": match self.outcome() {
                Outcome::Done => "well",
                Outcome::Findings => "findings",
                Outcome::CannotTell => "cannot tell",
            },
            "cause": cause.map(|cause| cause.name()),
            "conclusion": self.conclusion(),
            "checks": checks,
        })
    }
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Well => "ok",
        Verdict::Note => "note",
        Verdict::Finding => "FINDING",
        Verdict::CannotTell => "?",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Well => "well",
        Verdict::Note => "note",
        Verdict::Finding => "finding",
        Verdict::CannotTell => "cannot tell",
    }
}

/// What others have written can be in it: a line stays a line, and a terminal what it is.
fn one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.collect()
}
