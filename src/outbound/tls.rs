//! TLS for outgoing connections: whom to trust, and what to show.
//!
//! There is no option to skip verification.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::configuration::Tls;

/// Why TLS options cannot be used. Says nothing of a key's content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA bundle is not PEM, or a certificate in it is none.
    #[error("failed to read the CA bundle: {0}")]
    CaBundle(String),
    /// The client certificate is not PEM, or holds none.
    #[error("failed to read the client certificate: {0}")]
    Certificate(String),
    /// The key is not PEM, or of a kind that is not supported. What exactly is wrong with it is
    /// left out, because it is the key.
    #[error("failed to read the client certificate's private key: it must be one PEM private key")]
    Key,
    /// Certificate and key do not belong together.
    #[error("failed to use the client certificate: {0}")]
    Identity(rustls::Error),
    /// The library refuses its own defaults.
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The TLS side of a client: HTTP/2 or HTTP/1.1, the public roots and those of `more_roots` (PEM),
/// or the bundle of `tls` instead of both.
pub(super) fn client_config(tls: &Tls, more_roots: Option<&str>) -> Result<ClientConfig, TlsError> {
    let Tls {
        ca_bundle,
        client_certificate,
    } = tls;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(ca_bundle.as_deref(), more_roots)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| TlsError::CaBundle(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_webpki_verifier(verifier);
    let mut config = match client_certificate {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain =
                certificates(client.certificate.as_bytes()).map_err(TlsError::Certificate)?;
            let key =
                PrivateKeyDer::from_pem_slice(client.key.expose()).map_err(|_| TlsError::Key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| match error {
                    // A key that no algorithm takes.
                    rustls::Error::General(_) => TlsError::Key,
                    error => TlsError::Identity(error),
                })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ca_bundle: Option<&str>, more_roots: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if ca_bundle.is_none() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(bundle) = ca_bundle.or(more_roots) {
        for certificate in certificates(bundle.as_bytes()).map_err(TlsError::CaBundle)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::CaBundle(error.to_string()))?;
        }
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it holds no PEM certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}
