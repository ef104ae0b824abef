//! Whose certificates a database's server may show.

use crate::config::{Sql, certificates};
use rustls::pki_types::CertificateDer;

/// Those in the owner's file, or the system's.
///
/// # Errors
/// A sentence, if there are none.
pub(super) fn trusted(sql: &Sql) -> Result<Vec<CertificateDer<'static>>, String> {
    if let Some(path) = &sql.tls_ca {
        return certificates(path);
    }
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err("the system has no certificates to trust; install ca-certificates or set `tls_ca`".into());
    }
    Ok(found)
}
