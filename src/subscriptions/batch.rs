//! Several people in one request: those who are asked about within a few milliseconds go together.
//!
//! Asks with the means of `http` and reads what comes back person by person. It keeps nothing: `cache` stands before it.
//! Who is missing in an answer is unknown, unless the answer says that it is complete.

use super::{
    cache::{NoAnswer, Respondent},
    http::{self, HttpSource, NOBODY, SOURCE},
};
use crate::{config::Batch, facts::Subscription, ids::Phone};
use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value as Json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, oneshot};

/// How long the first of a request waits for others.
const LINGER: Duration = Duration::from_millis(5);
/// Bytes that an answer may have for each person asked about, and at least for all.
const BYTES_EACH: usize = 16 * 1024;
const BYTES: usize = 256 * 1024;

/// An API that is asked for several people at once.
#[derive(Clone)]
pub(super) struct Together(Arc<Inner>);

struct Inner {
    http: HttpSource,
    url: String,
    size: usize,
    pending: Mutex<Vec<Asked>>,
    permits: Semaphore,
}

/// One person and who wants to know.
type Asked = (Phone, oneshot::Sender<Result<Subscription, NoAnswer>>);

impl Together {
    /// At most `at_once` requests at a time.
    pub(super) fn new(http: HttpSource, batch: &Batch, at_once: usize) -> Self {
        Self(Arc::new(Inner {
            http,
            url: batch.url.clone(),
            size: batch.size,
            pending: Mutex::default(),
            permits: Semaphore::new(at_once.max(1)),
        }))
    }
}

#[async_trait]
impl Respondent for Together {
    fn name(&self) -> &'static str {
        SOURCE
    }

    async fn ask(&self, phone: Phone) -> Result<Subscription, NoAnswer> {
        let (send, receive) = oneshot::channel();
        let first_of_a_request = {
            let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push((phone, send));
            pending.len() % self.0.size == 1 % self.0.size
        };
        if first_of_a_request {
            let inner = Arc::clone(&self.0);
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                inner.send().await;
            });
        }
        receive
            .await
            .unwrap_or_else(|_| Err(NoAnswer::Answer(format!("a request to the {SOURCE} broke off"))))
    }
}

impl Inner {
    /// Asks for those who wait, as many as go into one request; while others are under way more may come.
    async fn send(&self) {
        let _permit = self.permits.acquire().await;
        let asked: Vec<Asked> = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let count = pending.len().min(self.size);
            pending.drain(..count).collect()
        };
        if let [_] = asked[..] {
            for (phone, wants) in asked {
                // Whoever gave up meanwhile hears nothing.
                let _ = wants.send(self.http.ask(phone).await);
            }
            return;
        }
        let phones: Vec<Phone> = asked.iter().map(|(phone, _)| *phone).collect();
        let answer = self.ask_for(&phones).await.and_then(|json| Answered::read(&json, &self.http));
        for (phone, wants) in asked {
            let _ = wants.send(match &answer {
                Ok(answered) => answered.of(phone),
                Err(why) => Err(why.clone()),
            });
        }
    }

    /// One request: a GET where the URL says where the numbers go, else a POST of them.
    async fn ask_for(&self, phones: &[Phone]) -> Result<Json, NoAnswer> {
        let most = BYTES.max(phones.len() * BYTES_EACH);
        let answer = if self.url.contains("{phones}") || self.url.contains("{digits}") {
            let each =
                |spell: &dyn Fn(&Phone) -> String| phones.iter().map(spell).collect::<Vec<_>>().join(",");
            let full = each(&|phone| utf8_percent_encode(&phone.e164(), NON_ALPHANUMERIC).to_string());
            let url = self.url.replace("{phones}", &full).replace("{digits}", &each(&|phone| phone.digits()));
            self.http.exchange(Method::GET, &url, None, most).await?
        } else {
            let body = Json::from_iter(phones.iter().map(|phone| phone.e164()));
            self.http.exchange(Method::POST, &self.url, Some(body.to_string()), most).await?
        };
        answer
            .ok_or_else(|| NoAnswer::Answer(format!("the {SOURCE} answered 404 to a question about several")))
    }
}

/// What one answer says of whom.
struct Answered {
    people: HashMap<Phone, Result<Subscription, String>>,
    complete: bool,
}

impl Answered {
    /// Reads an object by phone or an array of objects with their phones, as it is or under `people` beside `complete`.
    fn read(json: &Json, http: &HttpSource) -> Result<Self, NoAnswer> {
        let (people, complete) = match json.get("people") {
            Some(people) => (people, json.get("complete").and_then(Json::as_bool).unwrap_or(false)),
            None => (json, false),
        };
        let mut found: HashMap<Phone, Result<Subscription, String>> = HashMap::new();
        let mut add = |phone: Option<Phone>, told: Result<Subscription, String>| {
            let Some(phone) = phone else { return };
            match found.get(&phone) {
                Some(Ok(known))
                    if told.as_ref().is_ok_and(|told| http.weight(told) <= http.weight(known)) => {}
                Some(Err(_)) => {}
                _ => drop(found.insert(phone, told)),
            }
        };
        match people {
            Json::Object(by_phone) => {
                for (key, told) in by_phone {
                    let phone = Phone::parse(key);
                    let another = http.phone_in(told).is_some_and(|other| Some(other) != phone);
                    let told = match told {
                        Json::Null => Ok(NOBODY),
                        _ if another => Err(http::another()),
                        told => http.read(told),
                    };
                    add(phone, told);
                }
            }
            Json::Array(all) => {
                for told in all {
                    add(http.phone_in(told), http.read(told));
                }
            }
            _ => {
                let why =
                    format!("the {SOURCE} answered a question about several with neither object nor array");
                return Err(NoAnswer::Answer(why));
            }
        }
        Ok(Self { people: found, complete })
    }

    fn of(&self, phone: Phone) -> Result<Subscription, NoAnswer> {
        match self.people.get(&phone) {
            Some(told) => told.clone().map_err(NoAnswer::Answer),
            None if self.complete => Ok(NOBODY),
            None => Err(NoAnswer::Answer(format!("the {SOURCE} did not say anything about this person"))),
        }
    }
}
