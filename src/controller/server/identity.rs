//! The certificate that the listener shows: replaced while it runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::configuration::Sensitive;

/// A certificate and its key, in use by every connection that begins.
#[derive(Clone)]
pub struct Identity(Arc<ArcSwap<CertifiedKey>>);

/// Why a certificate cannot be used. Says nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is no PEM certificate.
    #[error("failed to read the certificate of the configuration listener")]
    Certificate(#[source] rustls_pki_types::pem::Error),
    /// The key is no PEM key. What is wrong with it is left out, because it is the key.
    #[error("failed to read the private key of the configuration listener")]
    Key,
    /// They do not belong together, or are of a kind that is not supported.
    #[error("failed to use the certificate of the configuration listener")]
    Pair(#[source] rustls::Error),
}

impl Identity {
    /// A certificate chain and its key, as PEM.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(certificate: &str, key: &Sensitive) -> Result<Self, IdentityError> {
        let pair = certified(certificate, key)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(pair))))
    }

    /// Shows another one from the next connection on.
    ///
    /// # Errors
    /// When it cannot be used; the one before stays.
    pub fn replace(&self, certificate: &str, key: &Sensitive) -> Result<(), IdentityError> {
        self.0.store(Arc::new(certified(certificate, key)?));
        Ok(())
    }

    pub(super) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certified(certificate: &str, key: &Sensitive) -> Result<CertifiedKey, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(IdentityError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| IdentityError::Key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(IdentityError::Pair)
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity")
    }
}
