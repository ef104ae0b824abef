//! What carries HTTP requests out: the network, or a world that a test made up.
//!
//! The seam is as low as it can be: addresses, headers, bodies, caps and the meaning of answers are the callers', so
//! all of that is the same in both worlds. Whoever sends decides about time-outs by the request's own; a transport
//! keeps them, follows nothing, and repeats nothing.

use async_trait::async_trait;
use reqwest::{Client, Request, Response};
use std::fmt;

/// Sends one request and brings its answer.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends it, at most once, within the request's time-out.
    ///
    /// # Errors
    /// [`Unanswered`]: no status and no headers came.
    async fn send(&self, request: Request) -> Result<Response, Unanswered>;
}

/// Why no answer came, in words without the address: it holds credentials and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No connection was made: the request surely had no effect.
    NotConnected(String),
    /// The request could not even be written.
    Malformed(String),
    /// It took too long; it may have had its effect.
    TimedOut(String),
    /// The connection broke; it may have had its effect.
    BrokenOff(String),
}

/// The network.
#[async_trait]
impl Transport for Client {
    async fn send(&self, request: Request) -> Result<Response, Unanswered> {
        self.execute(request).await.map_err(Unanswered::from)
    }
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let why = with_sources(&error);
        match () {
            () if error.is_connect() => Self::NotConnected(why),
            () if error.is_builder() => Self::Malformed(why),
            () if error.is_timeout() => Self::TimedOut(why),
            () => Self::BrokenOff(why),
        }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        why = format!("{why}: {inner}");
        source = inner.source();
    }
    why
}
