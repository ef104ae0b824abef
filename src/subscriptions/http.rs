//! The HTTP source: one request a person, and its failures told from its answers.
//!
//! It keeps nothing: `cache` stands before it. Headers with secrets and the number in the URL never reach an error or a
//! log.

use super::{
    cache::{NoAnswer, Respondent},
    words::{Cell, Words},
};
use crate::{
    clock::Clock,
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
    Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
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
    words: Arc<Words>,
    time_zone: TimeZone,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

impl HttpSource {
    /// The source, and how many requests it takes at once; `None` if the configuration names another source.
    pub(super) fn new(
        config: &Subscriptions,
        words: Arc<Words>,
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
            words,
            time_zone,
            transport,
            clock,
        };
        Some((source, *concurrency))
    }

    /// The phone that is told of a person, if one can be read.
    pub(super) fn phone_in(&self, told: &Json) -> Option<Phone> {
        let told = told.pointer(self.phone.as_deref().unwrap_or("/phone"))?;
        numbering::spelled(&Cell::from(told).word()?, None)
    }

    /// Whether it is of somebody else. Where the owner names the place of the phone it has to be there.
    fn is_of_another(&self, told: &Json, asked: Phone) -> bool {
        match self.phone_in(told) {
            Some(phone) => phone != asked,
            None if self.phone.is_some() => true,
            // Written nationally it names somebody all the same.
            None => told.pointer("/phone").and_then(|told| Cell::from(told).word()).is_some_and(|text| {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                !asked.digits().ends_with(digits.trim_start_matches('0'))
            }),
        }
    }

    /// Reads the answer to a question about one person.
    fn read_about(&self, json: &Json, asked: Phone) -> Result<Subscription, String> {
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
        let cell = |pointer: &str| json.pointer(pointer).map_or(Cell::Nothing, Cell::from);
        let [status, plan, expires_at] = &self.pointers;
        let word = cell(status).word();
        let word = word.ok_or_else(|| format!("the {SOURCE} answered without a status at {status}"))?;
        let end = cell(expires_at).end(&self.time_zone);
        let end = end.ok_or_else(|| {
            format!("the {SOURCE} answered with a time at {expires_at} that cannot be read")
        })?;
        Ok(Subscription { status: self.words.status(&word), plan: cell(plan).word(), expires_at: end })
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
        let kind = kind(response.headers());
        let is_json = kind == "application/json" || kind.ends_with("+json");
        match status {
            // Where a list is asked for, nobody is an empty one: this says that there is no such list.
            StatusCode::NOT_FOUND if is_json && self.people.is_none() => return Ok(None),
            status if !status.is_success() => return Err(refused(status, response.headers())),
            _ if !is_json => {
                let kind = if kind.is_empty() { "no content type" } else { &kind };
                return Err(NoAnswer::Answer(format!(
                    "the {SOURCE} answered with {kind}; let it say `Content-Type: application/json`"
                )));
            }
            _ => {}
        }
        let body = body(response, most).await?;
        let json = serde_json::from_slice(&body)
            .map_err(|_| NoAnswer::Answer(format!("the {SOURCE} answered something else than JSON")))?;
        Ok(Some(json))
    }
}

/// Why an answer of somebody else is none.
pub(super) fn another() -> String {
    format!("the {SOURCE} answered for another person")
}

/// What an answer that is none comes to: of the statuses some are told to everybody.
fn refused(status: StatusCode, headers: &HeaderMap) -> NoAnswer {
    let why = match status.as_u16() {
        300..=399 => format!(
            "the {SOURCE} answered {status}, which is not followed; write the final address into `url`"
        ),
        401 | 403 | 407 => format!("the {SOURCE} answered {status}; check the secret in `headers`"),
        _ => format!("the {SOURCE} answered {status}"),
    };
    match status.as_u16() {
        429 | 503 => {
            retry_after(headers).map_or(NoAnswer::Source(why.clone()), |wait| NoAnswer::Rest(why, wait))
        }
        300..=399 | 401 | 403 | 407 | 500..=599 => NoAnswer::Source(why),
        _ => NoAnswer::Answer(why),
    }
}

/// `Retry-After` in seconds or as a date, which is counted from the answer's own `Date`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    moment(text)?.duration_since(moment(headers.get(DATE)?.to_str().ok()?)?).try_into().ok()
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

/// The content type without its parameters, in small letters.
fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_lowercase().chars().take(60).collect()
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
