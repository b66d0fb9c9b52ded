//! TLS by ring, with the operating system's certificates or our own copy.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::{ClientConfig, RootCertStore};

/// Builds a client, also where the machine has no certificate store (an image without
/// ca-certificates): Mozilla's list, compiled in, is used then.
pub(crate) fn build_client(
    configure: impl Fn(ClientBuilder) -> ClientBuilder,
) -> reqwest::Result<Client> {
    // An error says that a provider is installed already, and then building works too.
    let _already = rustls::crypto::ring::default_provider().install_default();
    configure(Client::builder()).build().or_else(|_| {
        configure(Client::builder())
            .tls_backend_preconfigured(trusting(webpki_roots::TLS_SERVER_ROOTS))
            .build()
    })
}

/// A client that writes requests and is never connected to anything. It trusts nobody, which spares
/// it the reading of certificates.
pub(crate) fn build_unconnected_client() -> reqwest::Result<Client> {
    let _already = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(trusting(&[]))
        .build()
}

fn trusting(roots: &[rustls::pki_types::TrustAnchor<'static>]) -> ClientConfig {
    let roots = Arc::new(RootCertStore {
        roots: roots.to_vec(),
    });
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_built_from_the_compiled_in_certificates() {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let roots = trusting(webpki_roots::TLS_SERVER_ROOTS);
        let client = Client::builder().tls_backend_preconfigured(roots);
        assert!(client.build().is_ok());
    }
}
