//! The command line: one file per subcommand. Only this stage sees all the others.

mod bands;
mod census;
mod check;
mod claims;
mod diff;
mod doctor;
mod export;
mod found;
mod inspect;
mod limits;
mod losses;
mod manifest;
mod measure;
mod origins;
mod output;
mod overhead;
mod paste;
mod policies;
mod progress;
mod record;
mod replay;
mod run;
mod studies;
mod study;
mod surveyed;
mod what_if;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Kind, Result};

/// Record what a program asks of its memory, and see what it would hold under another allocator.
#[derive(Parser)]
#[command(name = "heapcast", version, max_term_width = 110, after_help = exit_codes())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Record a program, replay the recording against policies, and write the report: all in one step
    Run(run::Args),
    /// Record a program or a running process into a trace
    Record(record::Args),
    /// Replay a trace against policies: tables and report; no privileges needed
    Replay(replay::Args),
    /// Run a trace through the real allocator libraries installed here, beside their models
    Measure(measure::Args),
    /// Compare two studies or traces: before a change and after it
    Diff(diff::Args),
    /// Check a study or trace against limits; the exit code says whether they are kept
    Check(check::Args),
    /// Write a study for other tools: Perfetto, pprof, flame graphs
    Export(export::Args),
    /// Show what is in a trace: counts, losses, allocators found, sizes, lifetimes
    Inspect(inspect::Args),
    /// List the allocator models, or the settings of one
    Policies(policies::Args),
    /// Show what this machine allows
    Doctor(doctor::Args),
}

fn exit_codes() -> String {
    let codes = Kind::ALL.iter().map(|(_, code, meaning)| format!("{code} {meaning}"));
    let codes: Vec<String> = std::iter::once("0 done".to_owned()).chain(codes).collect();
    format!("Exit codes: {}", codes.join("; "))
}

/// Runs the program: parses the command line, does what it says, prints an error if there is one.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows where each text belongs: help to stdout, complaints to stderr.
            let written = error.print();
            return ExitCode::from(if error.use_stderr() || written.is_err() { Kind::Usage.exit_code() } else { 0 });
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("heapcast: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Policies(args) => policies::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}
