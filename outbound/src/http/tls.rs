//! Whom a TLS connection trusts.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The certificate authorities that connections trust: Mozilla's, compiled in, and those that an operator adds.
///
/// They are compiled in so that the server needs no files of the system; they age with the binary.
#[derive(Clone, Debug)]
pub struct Roots {
    store: RootCertStore,
}

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// Not PEM, or broken inside.
    #[error("the certificates cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// PEM, but no certificate of an authority.
    #[error("a certificate cannot be used as an authority: {0}")]
    Certificate(#[from] rustls::Error),
    /// Nothing in it.
    #[error("there is no certificate in it")]
    Empty,
}

impl Roots {
    /// Mozilla's authorities.
    pub fn public() -> Self {
        Roots { store: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() } }
    }

    /// Also those of a PEM file's content, for receivers behind a company's own authority.
    pub fn and_pem(mut self, pem: &[u8]) -> Result<Self, RootsError> {
        let before = self.store.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            self.store.add(certificate?)?;
        }
        if self.store.len() == before { Err(RootsError::Empty) } else { Ok(self) }
    }

    /// TLS 1.2 and 1.3, no client certificate.
    pub(super) fn config(self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring offers the suites of TLS 1.2 and 1.3")
            .with_root_certificates(self.store)
            .with_no_client_auth();
        Arc::new(config)
    }
}
