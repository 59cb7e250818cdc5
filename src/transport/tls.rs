//! One TLS configuration for all webhooks: the platform's roots and the operator's, HTTP/2 or HTTP/1.1 by ALPN.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::TransportError;

/// The provider is given here rather than installed process-wide, so that no other library can change it.
pub(super) fn client_config(extra_ca_file: Option<&Path>) -> Result<ClientConfig, TransportError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots(extra_ca_file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(extra_ca_file: Option<&Path>) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the platform's root certificates could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_ca_file {
        let refused = |problem: String| TransportError::ExtraCa { path: path.display().to_string(), problem };
        let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| refused(format!("not PEM: {error}")))?;
            roots.add(certificate).map_err(|error| refused(format!("not a CA certificate: {error}")))?;
        }
        if roots.len() == before {
            return Err(refused("holds no certificate (no -----BEGIN CERTIFICATE----- block)".into()));
        }
    }
    if roots.is_empty() {
        tracing::warn!("no root certificate found: every https receiver will be refused; set extra_ca_file");
    }
    Ok(roots)
}

/// The TLS library's own error inside an I/O error.
pub(super) fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What went wrong, in words the receiver's owner can act on.
pub(super) fn explain(error: &io::Error) -> String {
    use rustls::Error as E;
    match cause(error) {
        Some(E::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "the receiver's certificate is not signed by a known authority; \
             complete its chain, or add its CA with extra_ca_file"
                .into()
        }
        Some(E::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "the receiver's certificate has expired".into()
        }
        Some(E::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "the receiver's certificate is for another name".into(),
        Some(E::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the receiver does not speak TLS on this port".into()
        }
        Some(E::AlertReceived(AlertDescription::CertificateRequired)) => {
            "the receiver wants a client certificate, which Pombo does not send".into()
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the receiver closed the connection during the TLS handshake".into()
        }
        None => format!("the connection broke during the TLS handshake ({})", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_ca_file_that_is_missing_or_empty_names_the_file_and_the_problem() {
        let missing = client_config(Some(Path::new("/no/such/ca.pem"))).unwrap_err().to_string();
        assert!(missing.starts_with("extra_ca_file /no/such/ca.pem: "), "{missing}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"not a certificate").unwrap();
        let empty = client_config(Some(file.path())).unwrap_err().to_string();
        assert!(empty.contains("holds no certificate"), "{empty}");
    }
}
