//! The conversation with the provider.

use super::JobFault;
use crate::Failure;
use crate::line::{LineOptions, POLL};
use cleave_encrypted::service::jobs::{ClientJob, Step, describe, terms};
use cleave_transport::{MessageClient, TransportError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How often a lost connection is dialled again in a row, and the pause before.
const REDIALS: u32 = 5;
const REDIAL: Duration = Duration::from_secs(2);

/// What went over the line, and where the time went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Traffic {
    bytes_sent: u64,
    bytes_received: u64,
    connections: u32,
    seconds: Seconds,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Seconds {
    /// Making, encrypting and sending keys, data and weights.
    send: f64,
    wait: f64,
    train: f64,
    /// Fetching and decrypting weights.
    fetch: f64,
    total: f64,
}

impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes_sent, bytes_received, connections, seconds } = self;
        let Seconds { send, wait, train, fetch, total } = seconds;
        writeln!(f, "traffic    {bytes_sent} bytes sent, {bytes_received} received, connections {connections}")?;
        write!(f, "time       {total:.1} s: {send:.1} encrypting and sending, {wait:.1} waiting, ")?;
        write!(f, "{train:.1} training, {fetch:.1} fetching and decrypting")
    }
}

/// What a provider has to have for a job.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Name of the parameter set.
    pub set: &'static str,
    /// Bytes of memory.
    pub memory: u64,
}

/// The way to one provider.
pub struct Line<'a> {
    options: &'a LineOptions,
    service: &'a str,
    needs: Needs,
    /// Whether the job can be come back to.
    kept: bool,
    hold: Duration,
    bar: ProgressBar,
    traffic: Traffic,
}

impl<'a> Line<'a> {
    /// To the service of this name; `kept` says whether a file lets the job go on later.
    pub fn new(options: &'a LineOptions, service: &'a str, needs: Needs, kept: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {percent}% {msg}");
        let bar = ProgressBar::new(1000).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { options, service, needs, kept, hold: Duration::ZERO, bar, traffic: Traffic::default() }
    }

    /// Goes through the whole job. `each` is called before every message, and with the iterations of a round that is over.
    pub async fn run(
        &mut self,
        job: &mut ClientJob<'_>,
        mut each: impl FnMut(&mut ClientJob<'_>, Option<u32>) -> Result<(), Failure>,
    ) -> Result<Traffic, Failure> {
        let began = Instant::now();
        let mut client = self.open().await?;
        let mut lost = 0;
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        loop {
            let mut clock = Instant::now();
            let Some(message) = job.next()? else { break };
            each(job, None)?;
            let told = tokio::select! {
                biased;
                _ = &mut stop => return self.leave(client, job).await,
                told = client.ask(message) => told,
            };
            let told = match told {
                Ok(told) => told,
                Err(error @ TransportError::Lost { .. }) if lost < REDIALS => {
                    lost += 1;
                    self.bar.println(format!("the connection was lost ({error}); dialling again"));
                    client = self.redial(job).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            lost = 0;
            self.traffic.bytes_sent += told.bytes_sent;
            self.traffic.bytes_received += told.bytes_received;
            let step = job.take(&told.message)?;
            if let Step::Round(iterations, of) = step {
                each(job, Some(iterations))?;
                self.bar.println(format!("iteration {iterations} of {of}"));
            }
            let pause = self.show(step, job);
            if pause {
                tokio::select! {
                    biased;
                    _ = &mut stop => return self.leave(client, job).await,
                    () = tokio::time::sleep(POLL) => {}
                }
            }
            self.account(step, &mut clock);
        }
        self.bar.finish_and_clear();
        client.close().await;
        self.traffic.seconds.total = began.elapsed().as_secs_f64();
        Ok(self.traffic)
    }

    /// Has the provider forget the job, if it has it.
    pub async fn give_up(&mut self, job: &mut ClientJob<'_>) -> Result<(), Failure> {
        let mut client = self.open().await?;
        if let Some(begin) = job.next()? {
            job.take(&client.ask(begin).await?.message)?;
            let cancel = job.cancel();
            job.take(&client.ask(cancel).await?.message)?;
        }
        client.close().await;
        Ok(())
    }

    async fn open(&mut self) -> Result<MessageClient, Failure> {
        let mut client = self.options.open(self.service).await?;
        self.traffic.connections += 1;
        let terms = terms(&client.ask(describe()).await?.message)?;
        let Needs { set, memory: needed } = self.needs;
        if !terms.sets.iter().any(|offered| offered == set) {
            return Err(JobFault::SetNotOffered { set, offered: terms.sets }.into());
        }
        if needed > terms.memory {
            return Err(JobFault::TooLarge { needed, allowed: terms.memory }.into());
        }
        self.hold = Duration::from_secs(terms.hold_seconds.into());
        Ok(client)
    }

    async fn redial(&mut self, job: &mut ClientJob<'_>) -> Result<MessageClient, Failure> {
        job.reconnected();
        let mut left = REDIALS;
        loop {
            tokio::time::sleep(REDIAL).await;
            match self.open().await {
                Err(Failure::Transport(_)) if left > 0 => left -= 1,
                opened => return opened,
            }
        }
    }

    /// After Ctrl-C: a job that can be come back to stays, another is given up.
    async fn leave(&mut self, mut client: MessageClient, job: &mut ClientJob<'_>) -> Result<Traffic, Failure> {
        self.bar.finish_and_clear();
        if !self.kept && job.is_begun() {
            let cancel = job.cancel();
            drop(client.ask(cancel).await);
        }
        client.close().await;
        Err(JobFault::Left { kept: self.kept.then_some(self.hold.as_secs()) }.into())
    }

    /// Shows a step; whether to pause before the next message.
    fn show(&self, step: Step, job: &ClientJob<'_>) -> bool {
        let share = |got: u32, of: u32| u64::from(got) * 1000 / u64::from(of.max(1));
        let (position, message, pause) = match step {
            Step::Sending(what, got, of) => (share(got, of), format!("{what} sent"), false),
            Step::Waiting { ahead } => (0, format!("waiting, trainings before this one: {ahead}"), true),
            Step::Training { share, elapsed, left } => {
                let (done, of) = job.state().progress();
                // Rounds take the same time, but for what is sent in between.
                let rounds = (of - done).div_ceil(job.plan().each).saturating_sub(1);
                let left = left.map(|left| left + (elapsed + left) * rounds);
                let left =
                    left.map_or_else(String::new, |left| format!(", about {} s of training left", left.as_secs() + 1));
                ((share * 1000.0) as u64, format!("trained, {done} of {of} iterations done{left}"), true)
            }
            Step::Fetching(got, of) => (share(got, of), "weights fetched".to_owned(), false),
            Step::Round(done, of) => (share(done, of), "iterations".to_owned(), false),
            _ => (1000, String::new(), false),
        };
        self.bar.set_position(position);
        self.bar.set_message(message);
        pause
    }

    fn account(&mut self, step: Step, clock: &mut Instant) {
        let spent = clock.elapsed().as_secs_f64();
        let seconds = &mut self.traffic.seconds;
        match step {
            Step::Sending(..) => seconds.send += spent,
            Step::Waiting { .. } => seconds.wait += spent,
            Step::Training { .. } => seconds.train += spent,
            _ => seconds.fetch += spent,
        }
        *clock = Instant::now();
    }
}
