//! Every command with its arguments, as Markdown.

use clap::{Arg, Command};

const START: &str = "# Commands

Made by `unprompt reference commands --out docs/commands.md`; a test compares it with the program.

";

/// The page of a program.
pub(super) fn commands(mut program: Command) -> String {
    // It gives every command its full name, and the arguments that are taken everywhere.
    program.build();
    let mut page = String::from(START);
    add_command(&mut page, &program);
    page.truncate(page.trim_end().len());
    page + "\n"
}

/// The commands below one that are there for people.
pub(super) fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    let below = command.get_subcommands();
    below.filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

fn add_command(page: &mut String, command: &Command) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    *page += &format!("## `{name}`\n\n");
    if let Some(about) = command.get_about() {
        *page += &format!("{about}.\n\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    *page += &format!("```\n{usage}\n```\n\n");
    let is_program = !name.contains(' ');
    let arguments: Vec<String> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !is_help(argument))
        // What every command takes stands with the program; formats differ.
        .filter(|argument| is_program || !argument.is_global_set() || argument.get_id() == "format")
        .map(described)
        .collect();
    if !arguments.is_empty() {
        *page += &format!("{}\n\n", arguments.join("\n"));
    }
    for below in shown(command) {
        add_command(page, below);
    }
}

fn is_help(argument: &Arg) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
}

/// One argument as a line of a list.
fn described(argument: &Arg) -> String {
    let mut line = format!("- `{}`", spelling(argument));
    if let Some(help) = argument.get_help() {
        line += &format!(": {help}");
    }
    let mut notes = Vec::new();
    let takes_value = argument.get_action().takes_values();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        notes.push(format!("one of {}", values.join(", ")));
    }
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() {
        notes.push(format!("default {}", defaults.join(", ")));
    }
    if let Some(variable) = argument.get_env() {
        notes.push(format!("environment `{}`", variable.to_string_lossy()));
    }
    if !notes.is_empty() {
        line += &format!(" ({})", notes.join("; "));
    }
    line
}

/// As it is written on a command line.
fn spelling(argument: &Arg) -> String {
    let names: Vec<&str> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| name.as_str())
        .collect();
    let value = match argument.get_action().takes_values() {
        true => names.join(" "),
        false => String::new(),
    };
    if argument.is_positional() {
        return value;
    }
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    format!("{} {value}", flags.join(", "))
        .trim_end()
        .to_owned()
}
