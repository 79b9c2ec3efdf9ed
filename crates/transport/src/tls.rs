//! TLS 1.3 with certificates on both sides, and what its alerts mean for a person.

use std::sync::Arc;

use quinn::{
    ConnectionError, TransportErrorCode,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use crate::{
    CertificateFault, TransportError,
    keys::{Identity, Trust},
};

/// Name of the protocol in the TLS handshake (ALPN).
pub const PROTOCOL: &str = "cleave/1";

/// Who the server is and whose clients it answers.
pub struct ServerTls {
    identity: Identity,
    client_authority: Option<Trust>,
}

impl ServerTls {
    /// A server that answers only clients with a certificate that `client_authority` issued.
    pub fn new(identity: Identity, client_authority: Trust) -> Self {
        Self { identity, client_authority: Some(client_authority) }
    }

    /// Answers anybody who can reach the port. For experiments on one machine.
    #[must_use]
    pub fn dangerous_without_client_auth(self) -> Self {
        Self { client_authority: None, ..self }
    }

    pub(crate) fn config(&self) -> Result<QuicServerConfig, TransportError> {
        let verifier = match &self.client_authority {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(trust) => {
                let roots = Arc::new(trust.roots()?);
                WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|source| TransportError::Verifier { source })?
            }
        };
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.identity.chain(), self.identity.key())
            .map_err(tls)?;
        config.alpn_protocols = vec![PROTOCOL.into()];
        // A resumed session would skip the certificate check, and early data can be replayed.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(no_initial_suite)
    }
}

/// Whom the client trusts and who it is.
pub struct ClientTls {
    trust: Trust,
    identity: Option<Identity>,
}

impl ClientTls {
    /// A client that shows `identity` and answers to servers issued by `trust` only.
    pub fn new(identity: Identity, trust: Trust) -> Self {
        Self { trust, identity: Some(identity) }
    }

    /// A client that shows no certificate. Servers refuse it unless they were made with
    /// [`ServerTls::dangerous_without_client_auth`].
    pub fn without_identity(trust: Trust) -> Self {
        Self { trust, identity: None }
    }

    pub(crate) fn config(&self) -> Result<QuicClientConfig, TransportError> {
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(tls)?
            .with_root_certificates(self.trust.roots()?);
        let mut config = match &self.identity {
            Some(me) => builder.with_client_auth_cert(me.chain(), me.key()).map_err(tls)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.into()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        QuicClientConfig::try_from(config).map_err(no_initial_suite)
    }
}

/// Says what a connection error means while a connection is being made. With TLS 1.3 a client has
/// finished its handshake before the server looks at its certificate, so the refusal arrives as
/// the loss of a connection that seemed to stand.
pub(crate) fn explain(error: ConnectionError, during: &'static str, server_name: &str) -> TransportError {
    match &error {
        ConnectionError::TransportError(local) => match alert(local.code) {
            Some(NO_APPLICATION_PROTOCOL) => TransportError::NoCommonProtocol { expected: PROTOCOL },
            Some(alert) => TransportError::ServerCertificateRefused {
                server_name: server_name.into(),
                fault: fault(alert),
                detail: local.reason.clone(),
            },
            None => TransportError::Lost { during, source: error },
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(NO_APPLICATION_PROTOCOL) => TransportError::NoCommonProtocol { expected: PROTOCOL },
            Some(alert) => TransportError::ClientCertificateRefused { fault: fault(alert) },
            None => TransportError::Lost { during, source: error },
        },
        _ => TransportError::Lost { during, source: error },
    }
}

const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The TLS alert inside a QUIC error code: RFC 9001 maps alert `n` to `0x100 + n`.
fn alert(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

/// Meaning of the alerts that rustls sends for a certificate.
fn fault(alert: u8) -> CertificateFault {
    match alert {
        42 => CertificateFault::WrongName, // bad_certificate
        43 => CertificateFault::WrongPurpose,
        45 => CertificateFault::Expired,
        48 | 51 => CertificateFault::UnknownAuthority, // 51: one of the same name signed it
        116 => CertificateFault::Missing,
        other => CertificateFault::Other(other),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls(source: rustls::Error) -> TransportError {
    TransportError::Tls { source }
}

fn no_initial_suite(error: quinn::crypto::rustls::NoInitialCipherSuite) -> TransportError {
    tls(rustls::Error::General(error.to_string()))
}
