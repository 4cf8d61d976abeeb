//! Stands in front of an app in the end-to-end tests and speaks TLS for it, as a sidecar does.
//!
//! `tls LISTEN TO FOLDER`: what comes in at LISTEN is decrypted and passed to TO. FOLDER is a mounted Secret of type
//! `kubernetes.io/tls`, with `tls.crt` and `tls.key`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, to, folder] = arguments.as_slice() else {
        return Err("usage: tls LISTEN TO FOLDER".into());
    };
    let acceptor = acceptor(Path::new(folder))?;
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, to) = (acceptor.clone(), to.clone());
        tokio::spawn(async move {
            if let Err(error) = pass(&acceptor, stream, &to).await {
                eprintln!("{error}");
            }
        });
    }
}

fn acceptor(folder: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    let certificates = CertificateDer::pem_file_iter(folder.join("tls.crt"))?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn pass(acceptor: &TlsAcceptor, stream: TcpStream, to: &str) -> std::io::Result<()> {
    let mut client = acceptor.accept(stream).await?;
    let mut app = TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut client, &mut app).await?;
    Ok(())
}
