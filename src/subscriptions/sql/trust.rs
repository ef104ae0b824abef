//! Whose certificates a database's server may show, and what it is told of one that shows another.

use crate::config::{Sql, certificates};
use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, InvalidDnsNameError},
};
use std::{error::Error, io};

/// The server speaks none at all.
pub(super) const NO_TLS: &str =
    "offers no TLS; switch it on there, or write `tls = \"disable\"` if nobody can listen on the way";

/// Those in the owner's file, or the system's; only what can be used.
///
/// # Errors
/// A sentence, if there are none.
pub(super) fn trusted(sql: &Sql) -> Result<Vec<CertificateDer<'static>>, String> {
    let usable = |found: Vec<CertificateDer<'static>>| {
        // One odd certificate among them must not spoil the others.
        found.into_iter().filter(|one| RootCertStore::empty().add(one.clone()).is_ok()).collect::<Vec<_>>()
    };
    let (found, without) = match &sql.tls_ca {
        Some(path) => (
            usable(certificates(path)?),
            format!("{} holds no certificate that can be used; write the authority's", path.display()),
        ),
        None => (
            usable(rustls_native_certs::load_native_certs().certs),
            "the system has no certificates to trust; install ca-certificates or set `tls_ca`".to_owned(),
        ),
    };
    if found.is_empty() { Err(without) } else { Ok(found) }
}

/// Why TLS came to nothing, if it is that which an error is about; in words without names or addresses.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<rustls::Error>() {
            return Some(in_words(refusal));
        }
        if error.is::<InvalidDnsNameError>() {
            return Some(OTHER_NAME);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

const OTHER_NAME: &str = "shows a certificate for another name; write the name that stands in it into `url`";

fn in_words(refusal: &rustls::Error) -> &'static str {
    match refusal {
        rustls::Error::InvalidCertificate(why) => match why {
            // An authority of the same name as one of ours, and another key, signs in vain.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "shows a certificate that nobody vouches for whom we trust; write its authority's into a file and name \
                 that in `tls_ca`"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => OTHER_NAME,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "shows a certificate whose time is over; renew it there"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "shows a certificate whose time has not begun; is this machine's clock right?"
            }
            _ => {
                "shows a certificate that cannot be checked; it must be issued by an authority, whose own is in `tls_ca`"
            }
        },
        _ => "does not agree with us on TLS; it must speak version 1.2 or later",
    }
}
