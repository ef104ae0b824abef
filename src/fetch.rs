//! A file on the web, brought to the disk: asked for only if it changed, streamed, bounded, and whole or not at all.
//!
//! Owns what is the same for every file that an owner names by URL: validators (`ETag`, `Last-Modified`), redirects that
//! never leave TLS and never carry a secret elsewhere, pages of HTML that are no file, the bound on what is written, and
//! when to ask again. What the bytes mean, and where they go, is the caller's business. The address shows in no error: it
//! may hold a secret.

use crate::{
    aside,
    clock::Timestamp,
    config::Secret,
    transport::{Transport, Unanswered},
};
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{
        ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        LAST_MODIFIED, LOCATION,
    },
};
use serde::{Deserialize, Serialize};
use std::{io::Write as _, path::Path, time::Duration};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use url::Url;

/// A server may send one elsewhere so many times.
const MOST_REDIRECTS: usize = 5;

/// A transfer that takes longer is given up, however steadily it drips.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// The first wait after a failure; it doubles up to what is usual between two looks, and to an hour.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A file on the web.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub url: Url,
    /// Sent along, to this host alone.
    pub headers: Vec<(String, Secret)>,
    /// How long the server may say nothing.
    pub patience: Duration,
    /// Bytes of the file, decompressed, that are taken; a longer one is refused.
    pub most: u64,
}

/// By what a server knows which version we have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// What a look came to.
#[derive(Debug)]
pub enum Fetched {
    /// It is as it was.
    Unchanged,
    /// It is another one: the whole file, synced, in the folder that was given; gone when dropped.
    New {
        /// The file; to be checked, then persisted.
        file: NamedTempFile,
        /// What to ask with next time.
        seen: Seen,
    },
}

/// Looks for another version of a file than the one that was `seen`, and writes it to a temporary file in `folder`.
///
/// # Errors
/// One sentence without the address's path; nothing is left behind then.
pub async fn fetch(
    web: &dyn Transport,
    source: &Source,
    seen: &Seen,
    folder: &Path,
) -> Result<Fetched, String> {
    match timeout(LONGEST, look(web, source, seen, folder)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(format!("{} took more than half an hour to send it", host(&source.url))),
    }
}

/// The server's name, for messages.
pub fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the server")
}

async fn look(web: &dyn Transport, source: &Source, seen: &Seen, folder: &Path) -> Result<Fetched, String> {
    let mut url = source.url.clone();
    for _ in 0..=MOST_REDIRECTS {
        let request = request(source, &url, seen)?;
        let name = host(&url);
        let silent = || format!("{name} did not answer within {} s", source.patience.as_secs());
        let answer = timeout(source.patience, web.send(request)).await.map_err(|_| silent())?;
        let answer = answer.map_err(|error| format!("{name} cannot be asked: {}", in_words(error)))?;
        match answer.status() {
            StatusCode::OK => return receive(answer, source, folder).await,
            StatusCode::NOT_MODIFIED if *seen != Seen::default() => return Ok(Fetched::Unchanged),
            status if status.is_redirection() => url = elsewhere(&url, &answer)?,
            status => return Err(format!("{name} answered {}", status.as_u16())),
        }
    }
    Err(format!("{} sends us elsewhere again and again", host(&source.url)))
}

fn in_words(unanswered: Unanswered) -> String {
    match unanswered {
        Unanswered::NotConnected(why)
        | Unanswered::Malformed(why)
        | Unanswered::TimedOut(why)
        | Unanswered::BrokenOff(why) => why,
    }
}

fn request(source: &Source, url: &Url, seen: &Seen) -> Result<Request, String> {
    let mut request = Request::new(Method::GET, url.clone());
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain, application/octet-stream;q=0.9, */*;q=0.1"));
    for (name, told) in [(IF_NONE_MATCH, &seen.etag), (IF_MODIFIED_SINCE, &seen.last_modified)] {
        if let Some(value) = told.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    }
    if url.origin() != source.url.origin() {
        return Ok(request);
    }
    for (name, secret) in &source.headers {
        let wrong = |_| format!("the header `{name}` holds what no header may hold");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let mut value = HeaderValue::from_str(secret.expose()?).map_err(|error| wrong(error.to_string()))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(request)
}

/// Where a redirect leads; never from TLS to what anybody on the way could change.
fn elsewhere(from: &Url, answer: &Response) -> Result<Url, String> {
    let name = host(from);
    let place = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let place = place.ok_or_else(|| format!("{name} answered {}", answer.status().as_u16()))?;
    let to = from.join(place).map_err(|_| format!("{name} sends us to what is no address"))?;
    let is_safe = match to.scheme() {
        "https" => true,
        "http" => from.scheme() == "http",
        _ => false,
    };
    if is_safe { Ok(to) } else { Err(format!("{name} sends us on without TLS, which is not followed")) }
}

/// Writes the body down, whole or not at all.
async fn receive(mut answer: Response, source: &Source, folder: &Path) -> Result<Fetched, String> {
    let name = host(&source.url).to_owned();
    if says_html(answer.headers()) {
        return Err(format!("{name} answered with a page of HTML, which is no list"));
    }
    let seen = Seen { etag: header(&answer, ETAG), last_modified: header(&answer, LAST_MODIFIED) };
    let unwritten = |error: std::io::Error| format!("{} cannot be written ({error})", folder.display());
    std::fs::create_dir_all(folder).map_err(unwritten)?;
    let mut file = NamedTempFile::new_in(folder).map_err(unwritten)?;
    let (mut written, mut head) = (0u64, Vec::new());
    loop {
        let chunk = timeout(source.patience, answer.chunk()).await;
        let chunk = chunk.map_err(|_| format!("{name} fell silent in the middle of it"))?;
        let Some(chunk) = chunk.map_err(|_| format!("what {name} sent broke off"))? else { break };
        written += chunk.len() as u64;
        if written > source.most {
            return Err(format!("{name} sent more than the {} bytes that are taken", source.most));
        }
        if head.len() < HEAD {
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
        }
        // Mostly into the machine's memory: not worth a thread of its own for each piece.
        file.write_all(&chunk).map_err(unwritten)?;
    }
    refuse_pages(&head, &name)?;
    let file = aside::run(move || file.as_file().sync_all().map(|()| file)).await;
    let file = file.map_err(|error| error.to_string())?.map_err(unwritten)?;
    Ok(Fetched::New { file, seen })
}

/// How much of the beginning is looked at.
const HEAD: usize = 512;

fn says_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "text/html" | "application/xhtml+xml")
}

/// A page that calls itself a text is still a page.
fn refuse_pages(head: &[u8], name: &str) -> Result<(), String> {
    if head.starts_with(&[0x1f, 0x8b]) {
        return Err(format!(
            "{name} sent a gzip file; serve the text itself, with `Content-Encoding: gzip` if it is to be small"
        ));
    }
    let text = String::from_utf8_lossy(head);
    match text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        true => Err(format!("{name} answered with a page of HTML, which is no list")),
        false => Ok(()),
    }
}

fn header(answer: &Response, name: HeaderName) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// When a file is to be looked for again. Pure; whoever waits is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Between two looks while all is well.
    every: Duration,
    failures: u32,
    due: Timestamp,
}

impl Schedule {
    /// Due `every` after the last look; at once without one.
    pub fn new(every: Duration, looked_at: Option<Timestamp>, now: Timestamp) -> Self {
        // A look in the future is a clock that was put back.
        let due = looked_at.filter(|at| *at <= now).map_or(now, |at| at + every);
        Self { every, failures: 0, due }
    }

    /// When.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// A look succeeded.
    pub fn succeeded(&mut self, now: Timestamp) {
        self.failures = 0;
        self.due = now + self.every;
    }

    /// A look failed: sooner than usual at first, then ever later. `chance` in 0..1 spreads it by ±20 %.
    pub fn failed(&mut self, now: Timestamp, chance: f64) {
        let longest = self.every.min(LONGEST_WAIT);
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures += 1;
        self.due = now + wait.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_followed_by_ever_longer_waits_and_a_success_ends_them() {
        let hour = Duration::from_secs(3600);
        let start = Timestamp(1_000_000);
        let mut schedule = Schedule::new(6 * hour, None, start);
        assert_eq!(schedule.due(), start);
        let mut waits = Vec::new();
        for _ in 0..9 {
            schedule.failed(start, 0.5);
            waits.push(schedule.due().since(start).as_secs());
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        schedule.succeeded(start);
        assert_eq!(schedule.due().since(start), 6 * hour);
        let mut quick = Schedule::new(Duration::from_secs(2), Some(start), start);
        assert_eq!(quick.due().since(start), Duration::from_secs(2));
        quick.failed(start, 0.5);
        assert_eq!(quick.due().since(start), Duration::from_secs(2), "never later than usual");
        assert_eq!(Schedule::new(hour, Some(start + hour), start).due(), start, "the clock was put back");
    }

    #[test]
    fn a_redirect_stays_under_tls() {
        let to = |from: &str, location: &str| {
            let answer = axum::http::Response::builder().status(302).header("location", location);
            elsewhere(&from.parse().unwrap(), &Response::from(answer.body("").unwrap()))
                .map(|url| url.to_string())
        };
        assert_eq!(to("https://a.example/x", "/y").unwrap(), "https://a.example/y");
        assert_eq!(to("https://a.example/x", "https://b.example/y").unwrap(), "https://b.example/y");
        assert_eq!(to("http://a.example/x", "https://b.example/y").unwrap(), "https://b.example/y");
        for unsafe_place in ["http://a.example/x", "//[", "file:///etc/passwd"] {
            assert!(to("https://a.example/x", unsafe_place).is_err(), "{unsafe_place}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_first_sign() {
        for page in ["<!doctype html>", "\u{feff}\n  <html>", "<?xml"] {
            assert!(refuse_pages(page.as_bytes(), "x").is_err(), "{page}");
        }
        assert!(refuse_pages(&[0x1f, 0x8b, 8], "x").unwrap_err().contains("gzip"));
        assert!(refuse_pages(b"# numbers\n+491510000001\n", "x").is_ok());
        assert!(refuse_pages(b"", "x").is_ok());
    }
}
