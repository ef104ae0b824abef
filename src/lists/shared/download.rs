//! A subscription from a URL: what makes a document and a signature that were fetched a pair.

use super::{
    Verifier,
    memory::{read, signature_of},
};
use crate::{clock::Timestamp, config, lists::Download};
use std::path::Path;

/// What fetches a list with its signature, for one that is on the web.
pub(super) fn download(
    config: &config::SharedList,
    verifier: Result<Verifier, String>,
    now: Timestamp,
) -> Option<Download> {
    let url = config.url.as_ref()?;
    let signature = signature_of(&config.path);
    let is_signed = move |list: &Path, signature: &Path| {
        let verified = read(list).and_then(|list| {
            let signature = String::from_utf8_lossy(&read(signature)?).into_owned();
            verifier.as_ref().map_err(Clone::clone)?.verify(&list, &signature)
        });
        verified.is_ok()
    };
    let what = format!("shared list {}", config.name);
    Some(Download::signed(&config.name, what, url, [&config.path, &signature], is_signed, now))
}
