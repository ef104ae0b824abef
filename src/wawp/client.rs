//! The calls that the daemon makes, one HTTP request each: no retry, no waiting, no cache.
//!
//! Every method is exactly one request, so whoever holds the ceilings can count methods. What an answer means is judged in
//! `answer`; what a failure asks of the caller is [`CallError`].

mod groups;

pub use groups::Created;

use super::{
    account,
    answer::{Body, What, classify},
    error::{CallError, Outcome},
    quota::{self, Quota},
    redact::Redactor,
    roster,
    translate::identity,
    wire,
};
use crate::{
    event::{GroupSnapshot, Participant, Restriction},
    ids::{GroupId, Lid, Person, Phone},
    transport::{Transport, Unanswered},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a connection may take to be established.
const CONNECT: Duration = Duration::from_secs(10);
/// Shorter than any gateway's keep-alive (nginx 75 s, Node 5 s and more): a POST on a connection that the other side just
/// closed fails with an unknown outcome, and a message with an unknown outcome is never sent again.
const IDLE: Duration = Duration::from_secs(4);
/// Longest answer read, except lists.
pub(super) const SHORT: usize = 64 * 1024;
/// Longest group or roster read: 1,024 members with engine data stay below it.
const LONG: usize = 4 * 1024 * 1024;
/// Longest list of groups read. Engines tell the members with it: a community of a hundred full groups has 100,000, at
/// 640 bytes each. They are not kept ([`MEMBERS`]), so the answer itself is all that it takes.
const LIST: usize = 64 * 1024 * 1024;
/// Under which keys engines tell the members of a group.
const MEMBERS: [&str; 2] = ["participants", "Participants"];
/// An id as a path segment: `@` becomes `%40`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The one HTTP client of the process, the transport of all sessions. No redirects (they would carry credentials elsewhere), no
/// retries (the outbox decides those).
///
/// # Panics
/// If no TLS provider was installed: `rustls::crypto::ring::default_provider().install_default()` comes first.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("perimeterd/", env!("CARGO_PKG_VERSION")))
        .build()
        .expect("the app installs the TLS provider before it builds clients")
}

/// The gateway, as one session of ours. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Arc<dyn Transport>,
    base_url: String,
    timeout: Duration,
    credentials: Credentials,
    redactor: Redactor,
    /// The gateway turned out not to route `participants/v2`.
    plain_roster: AtomicBool,
    /// The gateway turned out to tell a session's state by GET alone.
    info_by_get: AtomicBool,
}

/// What every request carries.
struct Credentials {
    instance_id: String,
    token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Who the session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Me {
    /// Phone and LID, as far as told.
    pub person: Person,
    /// The profile name.
    pub name: Option<String>,
    /// A restriction of the account that is in force.
    pub restriction: Option<Restriction>,
}

impl Client {
    /// A client for one session. `timeout` bounds a whole call. Nothing is sent yet.
    pub fn new(
        transport: Arc<dyn Transport>,
        base_url: &str,
        timeout: Duration,
        instance_id: &str,
        token: &str,
    ) -> Self {
        Self(Arc::new(Inner {
            transport,
            base_url: base_url.trim_end_matches('/').to_owned(),
            timeout,
            credentials: Credentials { instance_id: instance_id.to_owned(), token: token.to_owned() },
            redactor: Redactor::new(&[token, instance_id]),
            plain_roster: AtomicBool::new(false),
            info_by_get: AtomicBool::new(false),
        }))
    }

    /// Puts one person out of a group. `jid` is the id that the roster or the event used.
    ///
    /// # Errors
    /// [`CallError`]; `Refused` with 404 if they are not in it.
    pub async fn remove(&self, group: &GroupId, jid: &str) -> Outcome<()> {
        let path = format!("/v2/groups/{}/participants/remove", segment(group.as_str()));
        let body = json!({"participants": [{"id": jid}]});
        self.call(Method::POST, &path, Some(&body), What::Remove, SHORT).await.map(drop)
    }

    /// Writes to a person or a group; `mentions` are ids that stand in the text as `@digits`.
    ///
    /// # Errors
    /// [`CallError`]; after `Unknown` a message must not be sent again.
    pub async fn send_text(&self, chat: &str, text: &str, mentions: &[String]) -> Outcome<()> {
        let mut body = json!({"chatId": chat, "message": text});
        if !mentions.is_empty() {
            body["mentions"] = json!(mentions);
        }
        let what = if GroupId::parse(chat).is_some() { What::Public } else { What::Private };
        self.call(Method::POST, "/v2/send/text", Some(&body), what, SHORT).await.map(drop)
    }

    /// Lets only admins write, or everybody again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn announce_only(&self, group: &GroupId, on: bool) -> Outcome<()> {
        let body = json!({"adminsOnly": on});
        self.call(Method::PUT, &announce_path(group), Some(&body), What::Setting, SHORT).await.map(drop)
    }

    /// Whether only admins may write. The only trustworthy source of it: events tell it inverted.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn announce_state(&self, group: &GroupId) -> Outcome<bool> {
        let value = self.call(Method::GET, &announce_path(group), None, What::Read, SHORT).await?;
        let inner = value.get("data").unwrap_or(&value);
        inner
            .as_bool()
            .or_else(|| wire::flag(inner, &["adminsOnly"]))
            .ok_or_else(|| unreadable("no `adminsOnly`"))
    }

    /// Kills the invite link. The new code, without the address; empty if the gateway does not tell it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn revoke_invite(&self, group: &GroupId) -> Outcome<String> {
        let path = format!("/v2/groups/{}/invite-code/revoke", segment(group.as_str()));
        let value = self.call(Method::POST, &path, None, What::Setting, SHORT).await?;
        let inner = value.get("data").unwrap_or(&value);
        let told = inner
            .as_str()
            .map(str::to_owned)
            .or_else(|| wire::text(inner, &["code", "inviteCode", "invite", "link", "url"]))
            .unwrap_or_default();
        Ok(told.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Every group that this session is in. Engines answer with a list of groups or with a map from id to group; entries
    /// that name no group (communities' parents, newsletters) are left out.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn groups(&self) -> Outcome<Vec<GroupId>> {
        let listing = self.exchange(Method::GET, "/v2/groups", None, What::Read, (LIST, &MEMBERS)).await;
        let value = self.cleaned(listing)?;
        let told = wire::first(&value, &["data", "groups"]).unwrap_or(&value);
        let id = |group: &Value| {
            let named = wire::text(group, &["JID", "jid", "id"])
                .or_else(|| wire::text(group.get("id")?, &["_serialized"]));
            GroupId::parse(&named?)
        };
        match told {
            Value::Array(list) => Ok(list.iter().filter_map(id).collect()),
            Value::Object(map) => Ok(map.keys().filter_map(|key| GroupId::parse(key)).collect()),
            _ => Err(unreadable("the list of groups is neither a list nor a map")),
        }
    }

    /// What the gateway knows of a group, with its roster if the answer carries a readable one.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn group(&self, group: &GroupId) -> Outcome<GroupSnapshot> {
        let path = format!("/v2/groups/{}", segment(group.as_str()));
        let value = self.call(Method::GET, &path, None, What::Read, LONG).await?;
        let told = value.get("data").filter(|data| data.is_object()).unwrap_or(&value);
        if !told.is_object() {
            return Err(unreadable("the group is no object"));
        }
        let mut snapshot = roster::snapshot(group.clone(), told);
        let metadata = told.get("groupMetadata").unwrap_or(told);
        let list = wire::first(metadata, &["participants", "Participants"]);
        snapshot.participants =
            list.and_then(|list| roster::roster(list).ok()).filter(|list| !list.is_empty());
        Ok(snapshot)
    }

    /// Everybody in a group, by `participants/v2`, which names phone and LID in the same way for every engine.
    ///
    /// # Errors
    /// [`CallError`]. A gateway without that route answers once with `Transient` and no wait: the next call of this client
    /// takes the plain route. (Two requests in one call would escape the ceilings.)
    pub async fn roster(&self, group: &GroupId) -> Outcome<Vec<Participant>> {
        let plain = self.0.plain_roster.load(Ordering::Relaxed);
        let route = if plain { "participants" } else { "participants/v2" };
        let path = format!("/v2/groups/{}/{route}", segment(group.as_str()));
        let value = match self.call(Method::GET, &path, None, What::Read, LONG).await {
            Err(CallError::Unsupported { why } | CallError::Refused { code: Some(404), why }) if !plain => {
                self.0.plain_roster.store(true, Ordering::Relaxed);
                let why = format!("{why}; the plain participants route comes next");
                return Err(CallError::Transient { retry_after: Some(Duration::ZERO), why });
            }
            Err(error @ CallError::Refused { code: Some(404), .. }) => {
                // Then the group was missing, not the route.
                self.0.plain_roster.store(false, Ordering::Relaxed);
                return Err(error);
            }
            answer => answer?,
        };
        let list = wire::first(&value, &["data", "participants", "Participants"]).unwrap_or(&value);
        let people = roster::roster(list).map_err(|why| unreadable(&why))?;
        // We are in it ourselves, so an empty roster is an engine that has not loaded the group.
        if people.is_empty() { Err(unreadable("the roster is empty")) } else { Ok(people) }
    }

    /// The phone behind a LID; `None` if the gateway does not know it, which is common and no error.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn phone_of(&self, lid: Lid) -> Outcome<Option<Phone>> {
        let path = format!("/v2/lids/{}", segment(&lid.jid()));
        match self.call(Method::GET, &path, None, What::Read, SHORT).await {
            Ok(value) => {
                let told = wire::beside(value.get("data").unwrap_or(&value));
                Ok(wire::believed(Person { lid: Some(lid), ..told }).phone)
            }
            Err(CallError::Refused { code: Some(404), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pairs of phone and LID that the gateway knows, at most `limit` of them from the `offset`-th on; and how many
    /// entries the answer had, for those without a phone count towards the next offset too.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn pairs(&self, limit: usize, offset: usize) -> Outcome<(Vec<(Phone, Lid)>, usize)> {
        let path = format!("/v2/lids?limit={limit}&offset={offset}");
        let value = self.call(Method::GET, &path, None, What::Read, LONG).await?;
        let told = wire::first(&value, &["data", "lids"]).unwrap_or(&value);
        let entries = told.as_array().ok_or_else(|| unreadable("the pairs are no list"))?;
        let pairs = entries.iter().map(wire::beside).map(wire::believed);
        Ok((pairs.filter_map(|pair| pair.phone.zip(pair.lid)).collect(), entries.len()))
    }

    /// The LID of a number; `None` if the gateway tells none, which says nothing of whether somebody has it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lid_of(&self, phone: Phone) -> Outcome<Option<Lid>> {
        let path = format!("/v2/lids/pn/{}", phone.digits());
        match self.call(Method::GET, &path, None, What::Read, SHORT).await {
            Ok(value) => {
                let lid = wire::beside(value.get("data").unwrap_or(&value)).lid;
                // The number's own digits, written as if they were a LID.
                Ok(lid.filter(|lid| lid.as_u64() != phone.as_u64()))
            }
            Err(CallError::Refused { code: Some(404), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a number is on WhatsApp; `None` if the answer does not tell.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn is_on_whatsapp(&self, phone: Phone) -> Outcome<Option<bool>> {
        let path = format!("/v2/contacts/check-exists?phone={}", phone.digits());
        let value = self.call(Method::GET, &path, None, What::Read, SHORT).await?;
        let told = value.get("data").unwrap_or(&value);
        Ok(wire::flag(told, &["numberExists", "exists"]).or_else(|| {
            let status = wire::text(told, &["status"])?;
            (status == "exists").then_some(true)
        }))
    }

    /// Who this session is.
    ///
    /// # Errors
    /// [`CallError`]; `NotReady` while nobody is logged in.
    pub async fn me(&self) -> Outcome<Me> {
        let value = self.call(Method::GET, "/v2/session/me", None, What::Read, SHORT).await?;
        let told = wire::first(&value, &["me", "data"]).unwrap_or(&value);
        let person = identity(told);
        if person.is_nobody() {
            return Err(CallError::NotReady { why: "nobody is logged in".into() });
        }
        Ok(Me {
            person,
            name: wire::text(told, &["pushName", "name"]),
            restriction: account::restriction(told),
        })
    }

    /// What the gateway allows this instance by its own policy.
    ///
    /// # Errors
    /// [`CallError`]; many plans and versions do not have the route.
    pub async fn quota(&self) -> Outcome<Quota> {
        let value = self.call(Method::GET, "/v2/session/rate-limit", None, What::Read, SHORT).await?;
        Ok(quota::quota(&value))
    }

    pub(super) fn info_by_get(&self) -> &AtomicBool {
        &self.0.info_by_get
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: What,
        cap: usize,
    ) -> Outcome<Value> {
        let outcome = self.exchange(method, path, body, what, (cap, &[])).await;
        self.cleaned(outcome)
    }

    /// Without our secrets in what went wrong.
    fn cleaned(&self, outcome: Outcome<Value>) -> Outcome<Value> {
        outcome.map_err(|error| error.map_why(|why| self.0.redactor.clean(&why)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: What,
        (cap, without): (usize, &[&str]),
    ) -> Outcome<Value> {
        let request = self.request(method, path, body)?;
        let mut answer =
            self.0.transport.send(request).await.map_err(|unanswered| not_answered(unanswered, what))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let (bytes, complete) = read_body(&mut answer, cap).await;
        classify(status, &headers, Body::read(&bytes, complete, without), what)
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Request> {
        let mut request = Request::new(method, self.address(path)?);
        *request.timeout_mut() = Some(self.0.timeout);
        *request.headers_mut() = self.credentials();
        if let Some(body) = body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        Ok(request)
    }

    /// Credentials stand in the query, the one form that all of the vendor's examples share (`wawp-api.md` §1).
    fn address(&self, path: &str) -> Outcome<Url> {
        let mut url = Url::parse(&format!("{}{path}", self.0.base_url))
            .map_err(|error| CallError::Fatal { why: format!("wawp.base_url is not an address: {error}") })?;
        url.query_pairs_mut()
            .append_pair("instance_id", &self.0.credentials.instance_id)
            .append_pair("access_token", &self.0.credentials.token);
        Ok(url)
    }

    /// The header of the vendor's OpenAPI security scheme, beside the query. A token that is no header value goes without.
    fn credentials(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(mut value) = HeaderValue::from_str(&self.0.credentials.token) {
            value.set_sensitive(true);
            headers.insert("access-token", value);
        }
        headers
    }
}

fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

fn announce_path(group: &GroupId) -> String {
    format!("/v2/groups/{}/settings/security/messages-admin-only", segment(group.as_str()))
}

/// A read whose answer makes no sense; it may be repeated.
fn unreadable(what: &str) -> CallError {
    CallError::Transient { retry_after: None, why: format!("the answer cannot be read: {what}") }
}

/// No answer came. Only a connection that was never established is certain to have had no effect.
fn not_answered(unanswered: Unanswered, what: What) -> CallError {
    match unanswered {
        Unanswered::NotConnected(why) => CallError::Transient { retry_after: None, why },
        Unanswered::Malformed(why) => CallError::Fatal { why },
        Unanswered::TimedOut(why) | Unanswered::BrokenOff(why) => what.unknown(why),
    }
}

/// The body up to `cap` bytes, and whether that is all of it.
async fn read_body(answer: &mut reqwest::Response, cap: usize) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= cap => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Ok(Some(_)) | Err(_) => return (bytes, false),
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
