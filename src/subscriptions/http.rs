//! The HTTP source: one request a person, and its failures told from its answers.
//!
//! It keeps nothing: `cache` stands before it. Headers with secrets and the number in the URL never reach an error or a
//! log.

use super::{
    cache::{NoAnswer, Respondent},
    words::Words,
};
use crate::{
    clock::{Timestamp, parse_end},
    config::{Secret, SubscriptionSource, Subscriptions},
    facts::{Status, Subscription},
    ids::Phone,
    transport::{Transport, Unanswered},
};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Request,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use serde_json::Value as Json;
use std::{sync::Arc, time::Duration};

/// The name of the source in evidence.
const SOURCE: &str = "subscription api";
/// Bytes of an answer that are read.
const MAX_BODY: usize = 256 * 1024;

/// The client for this source: follows no redirects, because headers with secrets must not travel.
///
/// # Errors
/// If TLS cannot be set up.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("perimeterd/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An API that is asked for one person.
pub(super) struct HttpSource {
    url: String,
    timeout: Duration,
    headers: Vec<(String, Secret)>,
    pointers: [String; 3],
    words: Words,
    time_zone: TimeZone,
    transport: Arc<dyn Transport>,
}

impl HttpSource {
    /// The source, and how many requests it takes at once; `None` if the configuration names another source.
    pub(super) fn new(
        config: &Subscriptions,
        time_zone: TimeZone,
        transport: Arc<dyn Transport>,
    ) -> Option<(Self, usize)> {
        let SubscriptionSource::Http { url, timeout, headers, pointers, concurrency } = &config.source else {
            return None;
        };
        let source = Self {
            url: url.clone(),
            timeout: *timeout,
            headers: headers.clone(),
            pointers: pointers.clone(),
            words: Words::new(config.status_map.clone()),
            time_zone,
            transport,
        };
        Some((source, *concurrency))
    }

    /// Reads the answer by the pointers.
    fn read(&self, json: &Json) -> Result<Subscription, String> {
        let [status, plan, expires_at] = &self.pointers;
        let word = json.pointer(status).and_then(Json::as_str);
        let word = word.ok_or_else(|| format!("the {SOURCE} answered without a status at {status}"))?;
        let expires_at = match json.pointer(expires_at) {
            None | Some(Json::Null) => None,
            Some(value) => Some(read_end(value, &self.time_zone).ok_or_else(|| {
                format!("the {SOURCE} answered with a time at {expires_at} that cannot be read")
            })?),
        };
        let plan = match json.pointer(plan) {
            Some(Json::String(plan)) => Some(plan.clone()),
            Some(Json::Number(plan)) => Some(plan.to_string()),
            _ => None,
        };
        Ok(Subscription { status: self.words.status(word), plan, expires_at: expires_at.flatten() })
    }
}

#[async_trait]
impl Respondent for HttpSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    async fn ask(&self, phone: Phone) -> Result<Subscription, NoAnswer> {
        let encoded = utf8_percent_encode(&phone.e164(), NON_ALPHANUMERIC).to_string();
        let url = self.url.replace("{phone}", &encoded).replace("{digits}", &phone.digits());
        let malformed = || NoAnswer::Source(sentence(&Unanswered::Malformed(String::new())));
        let url = url.parse().map_err(|_| malformed())?;
        let mut request = Request::new(Method::GET, url);
        *request.timeout_mut() = Some(self.timeout);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, secret) in &self.headers {
            let value = secret.expose().map_err(|why| NoAnswer::Answer(why.into()))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            request.headers_mut().append(name, value);
        }
        let response = self
            .transport
            .send(request)
            .await
            .map_err(|unanswered| NoAnswer::Source(sentence(&unanswered)))?;
        let status = response.status();
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let is_json = content_type.and_then(|value| value.to_str().ok()).is_some_and(is_json);
        match status.as_u16() {
            200..=299 => {}
            404 if is_json => {
                return Ok(Subscription { status: Status::None, plan: None, expires_at: None });
            }
            429 | 500..=599 => return Err(NoAnswer::Source(format!("the {SOURCE} answered {status}"))),
            _ => return Err(NoAnswer::Answer(format!("the {SOURCE} answered {status}"))),
        }
        let body = body(response).await?;
        let json: Json = serde_json::from_slice(&body)
            .map_err(|_| NoAnswer::Answer(format!("the {SOURCE} answered something else than JSON")))?;
        self.read(&json).map_err(NoAnswer::Answer)
    }
}

/// A date, a time, or seconds or milliseconds since 1970; `Some(None)` for an empty text, `None` if unreadable.
fn read_end(value: &Json, zone: &TimeZone) -> Option<Option<Timestamp>> {
    match value {
        Json::String(text) if text.trim().is_empty() => Some(None),
        Json::String(text) => parse_end(text.trim(), zone).ok().map(Some),
        Json::Number(number) => number.as_i64().map(|number| Some(Timestamp::from_wire(number))),
        _ => None,
    }
}

/// Reads the body up to the cap.
async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| NoAnswer::Source(sentence(&error.into())))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(NoAnswer::Answer(format!("the {SOURCE} answered more than {MAX_BODY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// What went wrong, without the URL: it holds a number.
fn sentence(unanswered: &Unanswered) -> String {
    let what = match unanswered {
        Unanswered::TimedOut(_) => "did not answer in time",
        Unanswered::NotConnected(_) => "cannot be reached",
        Unanswered::Malformed(_) => "cannot be asked: its URL or a header is malformed",
        Unanswered::BrokenOff(_) => "broke off its answer",
    };
    format!("the {SOURCE} {what}")
}
