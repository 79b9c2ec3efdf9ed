//! `cleave serve`: back halves over QUIC.

use crate::options::DeviceOption;
use crate::serving::{BackService, Lines};
use crate::{Failure, Output};
use clap::Args;
use cleave_partition::BackHalf;
use cleave_transport::{Identity, Server, ServerConfig, ServerTls, Service, Statistics, Trust};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Serve back halves to clients over QUIC
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// A back half; give the option again to serve several
    #[arg(long, required = true)]
    back: Vec<PathBuf>,
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
        let mut services: Vec<(String, Arc<dyn Service>)> = Vec::new();
        for path in &self.back {
            let back = BackHalf::load(path, &device)?;
            let name = back.manifest().terms.model.clone();
            let service = BackService::new(back).ok_or_else(|| Failure::PairHash { path: path.clone() })?;
            services.push((name, Arc::new(service)));
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
