//! The `cleave` command.

#![allow(unreachable_pub, reason = "a binary has no public API; `pub` marks what a module shows the others")]

mod auditing;
mod commands;
mod config;
mod decoys;
mod defences;
mod failure;
mod features;
mod gate;
mod inputs;
mod line;
mod model;
mod options;
mod output;
mod page;
mod quantising;
mod secret;
mod serving;
mod shares;
mod training;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use output::Output;

/// Cut a trained network in two: a client runs the front half, a provider the back half.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    /// TOML file with a table of options for each command; the command line wins
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(commands::demo::Demo),
    Train(commands::train::Train),
    Import(commands::import::Import),
    Retrain(commands::retrain::Retrain),
    Eval(commands::eval::Eval),
    Features(commands::features::FeaturesCommand),
    Attach(commands::attach::Attach),
    Check(commands::check::Check),
    Cut(commands::check::CutCommand),
    Audit(commands::audit::AuditCommand),
    AuditConfused(commands::audit_confused::AuditConfused),
    AuditEncrypted(commands::audit_encrypted::AuditEncrypted),
    AuditTraining(commands::audit_training::AuditTraining),
    Policies(commands::policies::Policies),
    Key(commands::key::Key),
    Lock(commands::lock::LockCommand),
    Confuse(commands::confuse::Confuse),
    Strip(commands::confuse::Strip),
    EncryptImages(commands::encrypt_images::EncryptImages),
    EncryptedTrain(commands::encrypted_train::EncryptedTrain),
    Quantise(commands::quantise::Quantise),
    Inspect(commands::inspect::Inspect),
    Keys(commands::keys::Keys),
    Serve(commands::serve::Serve),
    Infer(commands::infer::Infer),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    fn run(&self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Demo(command) => command.run(output),
            Self::Train(command) => command.run(output),
            Self::Import(command) => command.run(output),
            Self::Retrain(command) => command.run(output),
            Self::Eval(command) => command.run(output),
            Self::Features(command) => command.run(output),
            Self::Attach(command) => command.run(output),
            Self::Check(command) => command.run(output),
            Self::Cut(command) => command.run(output),
            Self::Audit(command) => command.run(output),
            Self::AuditConfused(command) => command.run(output),
            Self::AuditEncrypted(command) => command.run(output),
            Self::AuditTraining(command) => command.run(output),
            Self::Policies(command) => command.run(output),
            Self::Key(command) => command.run(output),
            Self::Lock(command) => command.run(output),
            Self::Confuse(command) => command.run(output),
            Self::Strip(command) => command.run(output),
            Self::EncryptImages(command) => command.run(output),
            Self::EncryptedTrain(command) => command.run(output),
            Self::Quantise(command) => command.run(output),
            Self::Inspect(command) => command.run(output),
            Self::Keys(command) => command.run(output),
            Self::Serve(command) => command.run(output),
            Self::Infer(command) => command.run(output),
            Self::Completions { shell } => {
                clap_complete::generate(*shell, &mut Cli::command(), "cleave", &mut std::io::stdout());
                Ok(())
            }
        }
    }
}

/// The names of all commands.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn main() -> std::process::ExitCode {
    let arguments = match config::expand(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(failure) => return failure.report(),
    };
    let cli = Cli::parse_from(arguments);
    match cli.command.run(&Output { json: cli.json }) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
