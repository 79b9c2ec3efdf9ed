//! QUIC server and client with mutual TLS
