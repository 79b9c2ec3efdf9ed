//! The way to a server.

use crate::Failure;
use clap::Args;
use cleave_encrypted::service::MAX_ANSWER;
use cleave_transport::{ClientConfig, ClientTls, Identity, MessageClient, Trust, client_stem};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Between questions for progress.
pub const POLL: Duration = Duration::from_millis(250);
/// How often a message is sent again to a provider without room, with up to 5 seconds in between.
const RETRIES: u32 = 60;

/// Where the server is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct LineOptions {
    /// Host and port of the server
    #[arg(long, default_value = "127.0.0.1:4433")]
    connect: String,
    /// Name on the server's certificate; without it the host of --connect
    #[arg(long)]
    server_name: Option<String>,
    /// Folder with ca.pem and this client's certificate
    #[arg(long)]
    keys: PathBuf,
    /// This client's name, as given to `cleave keys`
    #[arg(long)]
    client: String,
}

impl LineOptions {
    /// This client's certificate, and whom it trusts.
    pub fn tls(&self) -> Result<ClientTls, Failure> {
        let stem = client_stem(&self.client)?;
        let file = |name: String| self.keys.join(name);
        let identity = Identity::load(&file(format!("{stem}.pem")), &file(format!("{stem}-key.pem")))?;
        Ok(ClientTls::new(identity, Trust::load(&file("ca.pem".into()))?))
    }

    /// Where the server is, and the name on its certificate.
    pub async fn server(&self) -> Result<(SocketAddr, &str), Failure> {
        let resolved = tokio::net::lookup_host(&self.connect)
            .await
            .map_err(|source| Failure::Address { address: self.connect.clone(), source })?;
        let mut addresses: Vec<_> = resolved.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6); // `cleave serve` listens on 127.0.0.1 by default
        let address = addresses.into_iter().next().ok_or_else(|| Failure::Address {
            address: self.connect.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let host = self.connect.rsplit_once(':').map_or(self.connect.as_str(), |(host, _)| host);
        Ok((address, self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']'])))
    }

    /// A connection to the service of this name, which computes on ciphertexts. Its notice is shown.
    pub async fn open(&self, service: &str) -> Result<MessageClient, Failure> {
        let (tls, (address, server_name)) = (self.tls()?, self.server().await?);
        let config =
            ClientConfig { expected_output_len: Some(MAX_ANSWER), retries: RETRIES, ..ClientConfig::default() };
        let client = MessageClient::connect(address, server_name, tls, service, config).await?;
        if let Some(notice) = &client.info().notice {
            eprintln!("NOTICE from the provider: {notice}");
        }
        Ok(client)
    }
}
