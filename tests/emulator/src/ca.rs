//! The throw-away certificate authority: made at start, its key forgotten once the server's certificate is signed.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Error;

pub(crate) struct Authority {
    pub ca_pem: String,
    pub server: Arc<ServerConfig>,
}

/// Makes a CA, and a certificate of it for `localhost` and the loopback addresses.
pub(crate) fn create(bound: IpAddr) -> Result<Authority, Error> {
    let ca_key = KeyPair::generate().map_err(failed)?;
    let ca_params = ca_params().map_err(failed)?;
    let ca = ca_params.self_signed(&ca_key).map_err(failed)?;
    let issuer = Issuer::new(ca_params, ca_key);

    let key = KeyPair::generate().map_err(failed)?;
    let certificate = server_params(bound)
        .and_then(|params| params.signed_by(&key, &issuer))
        .map_err(failed)?;

    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
        })
        .map_err(failed)?;
    Ok(Authority {
        ca_pem: ca.pem(),
        server: Arc::new(server),
    })
}

fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Spotflow emulator's throw-away CA");
    Ok(params)
}

fn server_params(bound: IpAddr) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let bound = bound.to_string();
    if !names.contains(&bound) {
        names.push(bound);
    }
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Spotflow emulator");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Certificate(Box::new(error))
}
