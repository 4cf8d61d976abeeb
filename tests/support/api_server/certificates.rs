//! The certificates and keys of a test's API server.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// All of it as PEM.
pub struct Certificates {
    pub ca: String,
    pub server: String,
    pub server_key: String,
    /// What ServiceAccounts' tokens are signed with.
    pub accounts_key: String,
    pub accounts_public_key: String,
}

pub fn make() -> Certificates {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "tests");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let names = [
        "127.0.0.1",
        "localhost",
        "kubernetes.default.svc",
        "10.0.0.1",
    ];
    let mut server = CertificateParams::new(names.map(str::to_owned)).unwrap();
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    let server_key = KeyPair::generate().unwrap();
    let server = server.signed_by(&server_key, &ca).unwrap();
    let accounts = KeyPair::generate().unwrap();
    Certificates {
        ca: ca.pem(),
        server: server.pem(),
        server_key: server_key.serialize_pem(),
        accounts_key: accounts.serialize_pem(),
        accounts_public_key: accounts.public_key_pem(),
    }
}
