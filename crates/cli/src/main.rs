//! The `cleave` command.

#![allow(unreachable_pub, reason = "a binary has no public API; `pub` marks what a module shows the others")]

mod commands;
mod failure;
mod options;
mod output;
mod training;

use clap::{Parser, Subcommand};
use failure::Failure;
use output::Output;

/// Cut a trained network in two: a client runs the front half, a provider the back half.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Train(commands::train::Train),
    Retrain(commands::retrain::Retrain),
    Eval(commands::eval::Eval),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json };
    let result = match &cli.command {
        Command::Train(command) => command.run(&output),
        Command::Retrain(command) => command.run(&output),
        Command::Eval(command) => command.run(&output),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
