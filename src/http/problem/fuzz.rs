//! Problem documents of any content.

use serde_json::Value;
use spotflow_fuzz::fuzz;

use super::*;

#[test]
fn a_problem_is_told_on_one_bounded_line_without_secrets() {
    const SECRETS: [&str; 2] = ["hunter2", "rt-5"];
    fuzz("problem+json", |choices| {
        let mut problem = choices.document(1);
        for field in ["type", "title", "detail", "status"] {
            if choices.bool() {
                continue;
            }
            let mut text = choices.text();
            for _ in 0..choices.below(4) {
                text.push_str(choices.pick(&SECRETS));
                text.push_str(&choices.text());
            }
            if choices.one_in(16) {
                text = text.repeat(40);
            }
            problem.insert(field.to_owned(), choices.damaged_text(&text).into());
        }
        let mut body = Value::Object(problem).to_string().into_bytes();
        choices.damage(&mut body);
        let problem = Problem::parse(&body);
        let _ = problem.is_operation_cancelled();
        let Some(text) = problem.text(&SECRETS) else {
            return;
        };
        assert!(!text.is_empty() && text.chars().count() <= 300);
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(
            SECRETS.iter().all(|secret| !text.contains(secret)),
            "{text:?}"
        );
    });
}
