//! The HTTP source: one request a person, and its failures told from its answers.
//!
//! It keeps nothing: `cache` stands before it. Headers with secrets and the number in the URL never reach an error or a
//! log.

use super::{
    cache::{NoAnswer, Respondent},
    words::Words,
};
use crate::{
    clock::{Clock, Timestamp, parse_end},
    config::{Secret, SubscriptionSource, Subscriptions},
    facts::{Status, Subscription},
    ids::Phone,
    numbering,
    transport::{Transport, Unanswered},
};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Request,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::Value as Json;
use std::{sync::Arc, time::Duration};

/// The name of the source in evidence.
pub(super) const SOURCE: &str = "subscription api";
/// Bytes of an answer that are read.
const MAX_BODY: usize = 256 * 1024;
/// Somebody whom the source does not know.
pub(super) const NOBODY: Subscription = Subscription { status: Status::None, plan: None, expires_at: None };

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
    people: Option<String>,
    phone: Option<String>,
    words: Words,
    time_zone: TimeZone,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

impl HttpSource {
    /// The source, and how many requests it takes at once; `None` if the configuration names another source.
    pub(super) fn new(
        config: &Subscriptions,
        time_zone: TimeZone,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Option<(Self, usize)> {
        let SubscriptionSource::Http { url, timeout, headers, pointers, people, phone, concurrency, .. } =
            &config.source
        else {
            return None;
        };
        let source = Self {
            url: url.clone(),
            timeout: *timeout,
            headers: headers.clone(),
            pointers: pointers.clone(),
            people: people.clone(),
            phone: phone.clone(),
            words: Words::new(config.status_map.clone()),
            time_zone,
            transport,
            clock,
        };
        Some((source, *concurrency))
    }

    /// The phone that is told of a person, if one can be read.
    pub(super) fn phone_in(&self, told: &Json) -> Option<Phone> {
        match told.pointer(self.phone.as_deref().unwrap_or("/phone"))? {
            Json::String(text) => numbering::spelled(text, None),
            Json::Number(number) => Phone::from_u64(number.as_u64()?),
            _ => None,
        }
    }

    /// Whether it is of somebody else. Where the owner names the place of the phone it has to be there.
    fn is_of_another(&self, told: &Json, asked: Phone) -> bool {
        match self.phone_in(told) {
            Some(phone) => phone != asked,
            None => self.phone.is_some(),
        }
    }

    /// Reads the answer to a question about one person.
    fn read_about(&self, json: &Json, asked: Phone) -> Result<Subscription, String> {
        let another = || format!("the {SOURCE} answered for another person");
        let Some(people) = &self.people else {
            return if self.is_of_another(json, asked) { Err(another()) } else { self.read(json) };
        };
        let found = json.pointer(people).and_then(Json::as_array);
        let found = found.ok_or_else(|| format!("the {SOURCE} answered without a list at `{people}`"))?;
        if found.is_empty() {
            return Ok(NOBODY);
        }
        // Searches find more than was asked for.
        let theirs = found.iter().filter(|told| !self.is_of_another(told, asked));
        let theirs = theirs.map(|told| self.read(told)).collect::<Result<Vec<_>, _>>()?;
        theirs.into_iter().max_by_key(|told| self.weight(told)).ok_or_else(another)
    }

    /// Which of several subscriptions of one person counts: one that entitles now; else one that nobody understands, for
    /// it might; then the one that reaches furthest.
    pub(super) fn weight(&self, told: &Subscription) -> (u8, i64) {
        let kind = match told.status {
            _ if told.is_active(self.clock.now()) => 3,
            Status::Unknown => 2,
            Status::None => 0,
            _ => 1,
        };
        (kind, told.reach())
    }

    /// Reads what is told of one person by the pointers.
    pub(super) fn read(&self, json: &Json) -> Result<Subscription, String> {
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
        match self.exchange(Method::GET, &url, None, MAX_BODY).await? {
            Some(json) => self.read_about(&json, phone).map_err(NoAnswer::Answer),
            None => Ok(NOBODY),
        }
    }
}

impl HttpSource {
    /// One request and its JSON, of at most `most` bytes; `None` for a 404 that is one.
    pub(super) async fn exchange(
        &self,
        method: Method,
        url: &str,
        json: Option<String>,
        most: usize,
    ) -> Result<Option<Json>, NoAnswer> {
        let malformed = || NoAnswer::Source(sentence(&Unanswered::Malformed(String::new())));
        let mut request = Request::new(method, url.parse().map_err(|_| malformed())?);
        *request.timeout_mut() = Some(self.timeout);
        let as_json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, as_json.clone());
        if let Some(json) = json {
            request.headers_mut().insert(CONTENT_TYPE, as_json);
            *request.body_mut() = Some(json.into());
        }
        for (name, secret) in &self.headers {
            let value = secret.expose().map_err(|why| NoAnswer::Answer(why.into()))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(true);
            request.headers_mut().append(name, value);
        }
        let sent = self.transport.send(request).await;
        let response = sent.map_err(|unanswered| NoAnswer::Source(sentence(&unanswered)))?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_json = content_type.and_then(|value| value.to_str().ok()).is_some_and(is_json);
        match status.as_u16() {
            200..=299 => {}
            404 if is_json => return Ok(None),
            429 | 500..=599 => return Err(NoAnswer::Source(format!("the {SOURCE} answered {status}"))),
            _ => return Err(NoAnswer::Answer(format!("the {SOURCE} answered {status}"))),
        }
        let body = body(response, most).await?;
        let json = serde_json::from_slice(&body)
            .map_err(|_| NoAnswer::Answer(format!("the {SOURCE} answered something else than JSON")))?;
        Ok(Some(json))
    }
}

/// A date, a time, or seconds or milliseconds since 1970; `Some(None)` for an empty text, `None` if unreadable.
fn read_end(value: &Json, zone: &TimeZone) -> Option<Option<Timestamp>> {
    match value {
        Json::String(text) if text.trim().is_empty() => Some(None),
        Json::String(text) => {
            parse_end(text.trim(), zone).ok().or_else(|| local(text.trim(), zone)).map(Some)
        }
        Json::Number(number) => number.as_i64().map(|number| Some(Timestamp::from_wire(number))),
        _ => None,
    }
}

/// A time without a zone is one of the configured zone.
fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let moment = local.to_zoned(zone.clone()).ok()?.timestamp();
    Some(Timestamp(moment.as_millisecond()))
}

/// Reads the body up to the cap.
async fn body(mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| NoAnswer::Source(sentence(&error.into())))?
    {
        if body.len() + chunk.len() > most {
            return Err(NoAnswer::Answer(format!("the {SOURCE} answered more than {most} bytes")));
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
