//! `cleave policies`: the promises that a pair can be held to.

use crate::{Failure, Output, gate};
use clap::Args;
use cleave_partition::Policy;
use serde::Serialize;

/// List the policies that come with the command, or print one as TOML to start an own from
#[derive(Args, Clone, Debug)]
pub struct Policies {
    /// A policy by name, or a TOML file to be checked
    #[arg(value_name = "NAME_OR_FILE")]
    policy: Option<String>,
}

/// Names and promises.
#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Policy>);

impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let items: Vec<_> = self.0.iter().map(|policy| format!("{}\n  {}", policy.name, policy.promise)).collect();
        f.write_str(&items.join("\n\n"))
    }
}

/// One policy, as it was written.
#[derive(Serialize)]
struct Text {
    #[serde(flatten)]
    policy: Policy,
    #[serde(skip)]
    toml: String,
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.toml.trim_end())
    }
}

impl Policies {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        match &self.policy {
            Some(name) => {
                let (toml, policy) = (gate::policy_text(name)?, gate::policy(name)?);
                output.result(&Text { policy, toml })
            }
            None => {
                let policies = Policy::SHIPPED.iter().map(|(name, _)| gate::policy(name));
                output.result(&List(policies.collect::<Result<_, _>>()?))
            }
        }
    }
}
