//! One post to the operators' webhook: signed, bounded in time, never redirected.

use super::wording;
use crate::{config, store::Post, transport::Transport};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use sha2::Sha256;
use std::{sync::Arc, time::Duration};

/// Carries `sha256=` and the hex HMAC of the body's bytes.
const SIGNATURE: HeaderName = HeaderName::from_static("x-perimeterd-signature");

/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The receiver.
pub(super) struct Webhook {
    url: Url,
    key: Option<Hmac<Sha256>>,
    host: String,
    web: Arc<dyn Transport>,
}

impl Webhook {
    /// The configured receiver; `None` without one. `host` says which daemon writes.
    ///
    /// # Errors
    /// A sentence, if the URL or the secret cannot be read.
    pub(super) fn new(
        config: &config::Alerts,
        host: String,
        web: Arc<dyn Transport>,
    ) -> Result<Option<Self>, String> {
        let Some(url) = &config.url else { return Ok(None) };
        let url = Url::parse(url).map_err(|error| format!("[alerts] url is none: {error}"))?;
        let key = match &config.secret {
            Some(secret) => Some(
                Hmac::new_from_slice(secret.expose()?.as_bytes())
                    .map_err(|_| "[alerts] secret is no key".to_owned())?,
            ),
            None => None,
        };
        Ok(Some(Self { url, key, host, web }))
    }

    /// Posts; anything but a 2xx is a failure, with a sentence that holds nothing of the URL.
    pub(super) async fn post(&self, post: &Post) -> Result<(), String> {
        let answer = self.web.send(self.request(post)?).await.map_err(|error| format!("{error:?}"))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("the receiver answers {}", answer.status()))
    }

    fn request(&self, post: &Post) -> Result<Request, String> {
        let body = wording::body(post, &self.host).to_string();
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.timeout_mut() = Some(TIMEOUT);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            let mut mac = key.clone();
            mac.update(body.as_bytes());
            let tag = hex::encode(mac.finalize().into_bytes());
            let tag = HeaderValue::from_str(&format!("sha256={tag}")).map_err(|error| error.to_string())?;
            request.headers_mut().insert(SIGNATURE, tag);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}
