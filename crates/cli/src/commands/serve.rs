//! `cleave serve`: back halves, ensembles on ciphertexts, and trainings on ciphertexts, over QUIC.

use crate::options::DeviceOption;
use crate::serving::{BackService, EncryptedService, Lines, TrainingService};
use crate::{Failure, Output};
use clap::Args;
use cleave_encrypted::ckks::ParamSet;
use cleave_encrypted::{Release, service};
use cleave_partition::BackHalf;
use cleave_transport::{
    Hosting, Identity, Server, ServerConfig, ServerTls, Service, SessionService, Statistics, Trust,
};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Serve back halves, and ensembles and trainings on ciphertexts, to clients over QUIC
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// A back half; give the option again to serve several
    #[arg(long, required_unless_present_any = ["encrypted", "training"])]
    back: Vec<PathBuf>,
    /// An ensemble that runs on ciphertexts, as `cleave quantise` makes it; its name is that of the file unless one is given
    #[arg(long, value_name = "[NAME=]FILE")]
    encrypted: Vec<String>,
    /// Train last layers for clients on their ciphertexts, under this name
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "training")]
    training: Option<String>,
    /// Keep a training for so many seconds after its client's last message, or after its end, so that a client that was cut off can come back for it
    #[arg(long, default_value_t = 900, value_name = "SECONDS", requires = "training", value_parser = clap::value_parser!(u32).range(1..=4_233_600))]
    hold: u32,
    /// Memory for the ciphertexts and keys of all clients, as in 2GiB or 900MB; who would go beyond is put off
    #[arg(long, default_value = "4GiB", value_parser = bytes, value_name = "SIZE")]
    memory: usize,
    /// Evaluations on ciphertexts at the same time, for each ensemble, and trainings; more wait
    #[arg(long, default_value_t = 1)]
    evaluations: usize,
    /// Address to listen on; port 0 takes a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:4433")]
    listen: SocketAddr,
    /// Folder that `cleave keys` filled
    #[arg(long)]
    keys: PathBuf,
    /// Requests that one connection may have under way
    #[arg(long, default_value_t = ServerConfig::default().max_concurrent_requests)]
    max_concurrent: u16,
    /// Requests computed at the same time
    #[arg(long, default_value_t = ServerConfig::default().workers)]
    workers: u16,
    /// Requests that may wait; more are answered Busy
    #[arg(long, default_value_t = ServerConfig::default().queue)]
    queue: u16,
    /// Serve whoever asks, without a client certificate
    #[arg(long)]
    dangerously_without_client_auth: bool,
    #[command(flatten)]
    device: DeviceOption,
}

/// Where the server listens.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    models: Vec<String>,
}

impl std::fmt::Display for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "listening on {} for {}", self.listening, self.models.join(", "))
    }
}

/// What a server did from start to end.
#[derive(Serialize)]
struct Totals {
    connections: u64,
    refused: u64,
    answered: u64,
    busy: u64,
    failed: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl From<Statistics> for Totals {
    fn from(statistics: Statistics) -> Self {
        let Statistics { connections, refused, answered, busy, failed, bytes_in, bytes_out, .. } = statistics;
        Self { connections, refused, answered, busy, failed, bytes_in, bytes_out }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connections, refused, answered, busy, failed, bytes_in, bytes_out } = self;
        writeln!(f, "stopped after {connections} connections, and {refused} refused")?;
        write!(f, "{answered} requests answered, {busy} put off as busy, {failed} failed; ")?;
        write!(f, "{bytes_in} bytes in, {bytes_out} bytes out")
    }
}

impl Serve {
    /// Runs the command until Ctrl-C; requests under way are finished.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let device = self.device.open()?;
        let mut services: Vec<(String, Hosting)> = Vec::new();
        for path in &self.back {
            let back = BackHalf::load(path, &device)?;
            let name = back.manifest().terms.model.clone();
            let service = BackService::new(back).ok_or_else(|| Failure::PairHash { path: path.clone() })?;
            services.push((name, Hosting::from(Arc::new(service) as Arc<dyn Service>)));
        }
        let memory = service::Memory::new(self.memory);
        // Messages are in memory before their session sees them.
        let ciphertexts = !self.encrypted.is_empty() || self.training.is_some();
        let _messages = ciphertexts.then(|| memory.lease("messages", self.messages())).transpose()?;
        for option in &self.encrypted {
            services.push(self.ensemble(option, &memory)?);
        }
        if let Some(name) = &self.training {
            let hold = Duration::from_secs(self.hold.into());
            let provider = service::jobs::Provider::new(&ParamSet::ALL, &memory, self.evaluations, hold)?;
            let service = Arc::new(TrainingService::new(name, provider)) as Arc<dyn SessionService>;
            services.push((name.clone(), Hosting::from(service)));
        }
        let models = services.iter().map(|(name, _)| name.clone()).collect();
        let (tls, config) = (self.tls()?, self.config());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            let server = Server::bind(self.listen, tls, services, config)?.with_observer(Arc::new(Lines));
            output.result(&Listening { listening: server.local_addr()?, models })?;
            let statistics = server.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
            output.result(&Totals::from(statistics))
        });
        runtime.shutdown_background(); // a computation that outlasted the drain is not waited for
        served
    }

    fn ensemble(&self, option: &str, memory: &service::Memory) -> Result<(String, Hosting), Failure> {
        let (name, file) = match option.split_once('=') {
            Some((name, file)) => (name.to_owned(), Path::new(file)),
            None => {
                let file = Path::new(option);
                (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file)
            }
        };
        let release = Release::read(file)?;
        let provider = service::Provider::new(&release, memory, self.evaluations)?;
        let service = EncryptedService::new(&name, provider)?;
        Ok((name, Hosting::from(Arc::new(service) as Arc<dyn SessionService>)))
    }

    /// Bytes of messages and answers that are on their way at most.
    fn messages(&self) -> usize {
        let [workers, queue] = [self.workers, self.queue].map(usize::from);
        (workers + queue).saturating_mul(service::MAX_REQUEST + service::MAX_ANSWER)
    }

    fn tls(&self) -> Result<ServerTls, Failure> {
        let identity = Identity::load(&self.keys.join("server.pem"), &self.keys.join("server-key.pem"))?;
        let tls = ServerTls::new(identity, Trust::load(&self.keys.join("ca.pem"))?);
        Ok(if self.dangerously_without_client_auth { tls.dangerous_without_client_auth() } else { tls })
    }

    fn config(&self) -> ServerConfig {
        let Self { max_concurrent: max_concurrent_requests, workers, queue, .. } = *self;
        ServerConfig { max_concurrent_requests, workers, queue, ..ServerConfig::default() }
    }
}

/// A size in bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => Some(1),
        "kB" => Some(1000),
        "MB" => Some(1000_usize.pow(2)),
        "GB" => Some(1000_usize.pow(3)),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let size = factor.and_then(|factor| number.parse::<usize>().ok()?.checked_mul(factor));
    size.ok_or_else(|| "write a number and kB, MB, GB, KiB, MiB or GiB, as in 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_units() {
        assert_eq!([bytes("2GiB"), bytes("900MB"), bytes("7")], [Ok(2 << 30), Ok(900_000_000), Ok(7)]);
        for wrong in ["", "GiB", "1.5GiB", "-1", "2gib", "18446744073709551615GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
