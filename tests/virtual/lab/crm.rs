//! The owner's payment side as an HTTP source: who pays, and whether it can be asked.

use axum::http;
use perimeterd::{
    ids::Phone,
    transport::{Transport, Unanswered},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How the source fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// No connection.
    Refused,
    /// 500.
    Broken,
    /// No answer ever.
    Hanging,
    /// Something else than JSON.
    Garbled,
    /// A status that nobody knows: an answer, and yet unknown.
    Foreign,
}

/// The source.
#[derive(Debug, Default)]
pub(crate) struct Crm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    status: BTreeMap<Phone, String>,
    outage: Option<Outage>,
}

impl Crm {
    /// Somebody's status from now on.
    pub(crate) fn set(&self, phone: Phone, status: &str) {
        self.state().status.insert(phone, status.to_owned());
    }

    /// Cannot be asked from now on, or can again.
    pub(crate) fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    /// What is true of somebody, if the source can be asked at all.
    pub(crate) fn says(&self, phone: Phone) -> Option<String> {
        let state = self.state();
        state.outage.is_none().then(|| state.status.get(&phone).cloned().unwrap_or_else(|| "none".into()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, phone: Option<Phone>) -> Result<(u16, String), Unanswered> {
        let state = self.state();
        let status = phone.and_then(|phone| state.status.get(&phone)).map_or("none", String::as_str);
        match state.outage {
            Some(Outage::Refused) => Err(Unanswered::NotConnected("nobody listens".into())),
            Some(Outage::Broken) => Ok((500, "{}".into())),
            Some(Outage::Garbled) => Ok((200, "<html>".into())),
            Some(Outage::Foreign) => Ok((200, r#"{"status":"?"}"#.into())),
            Some(Outage::Hanging) | None => Ok((200, format!(r#"{{"status":"{status}"}}"#))),
        }
    }
}

#[async_trait::async_trait]
impl Transport for Crm {
    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, Unanswered> {
        let hangs = self.state().outage == Some(Outage::Hanging);
        let patience = request.timeout().copied().unwrap_or(Duration::from_secs(30));
        if hangs {
            tokio::time::sleep(patience).await;
            return Err(Unanswered::TimedOut("no answer".into()));
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..60))).await;
        let phone = request.url().path_segments().and_then(|mut parts| Phone::parse(parts.next_back()?));
        let (status, body) = self.answer(phone)?;
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(body).unwrap().into())
    }
}
