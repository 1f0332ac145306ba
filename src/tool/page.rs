//! The page `TOOL.md`, made of the help: a test keeps it as that is.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::arguments::Arguments;

const HEAD: &str = "# spotflow-device

The tool for whoever stands before a device with a shell. It is the program `spotflow-device`
(`cargo install --path . --features tool`), and in the Python package `python -m spotflow_device` or, where the package's
scripts are in the path, `spotflow-device`. What to do with a gateway that sends nothing is in
[OPERATING.md](OPERATING.md#a-gateway-that-sends-nothing).

This page is what `--help` says; `SPOTFLOW_WRITE_PAGE=1 cargo test --features tool --lib tool::page` writes it.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut command = Arguments::command();
    command.build();
    add(&mut page, &mut command, "spotflow-device");
    page
}

/// The command, and those below it.
fn add(page: &mut String, command: &mut Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines = help.lines().map(str::trim_end).collect::<Vec<_>>();
    let level = name.split(' ').count() + 1;
    let help = lines.join("\n");
    write!(
        page,
        "\n{} {name}\n\n```text\n{}\n```\n",
        "#".repeat(level.min(3)),
        help.trim_end()
    )
    .unwrap();
    for below in command.get_subcommands_mut() {
        let name = format!("{name} {}", below.get_name());
        add(page, below, &name);
    }
}

#[test]
fn the_page_says_what_the_help_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/TOOL.md");
    if std::env::var_os("SPOTFLOW_WRITE_PAGE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page(), "TOOL.md is not what the help says");
}

#[test]
fn every_command_is_well_formed_and_has_an_example() {
    let mut command = Arguments::command();
    command.build();
    command.clone().debug_assert();
    let with_arguments = ["status", "doctor", "send"];
    for name in with_arguments {
        let of = command.find_subcommand_mut(name).unwrap();
        assert!(
            of.render_long_help().to_string().contains("Example"),
            "{name}"
        );
    }
    let outbox = command.find_subcommand_mut("outbox").unwrap();
    for of in outbox.get_subcommands_mut() {
        assert!(
            of.render_long_help().to_string().contains("Example"),
            "{of}"
        );
    }
}
