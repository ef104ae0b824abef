//! Bodies of strangers: read within a bound and a time.

use super::auth;
use axum::{
    body::{Body, HttpBody},
    extract::ConnectInfo,
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

/// How much of a body that is too large is let pass by, and for how long.
const DRAINED: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Longer than allowed.
    TooLarge,
    /// It ended early.
    Broken,
    /// It took too long.
    Slow,
}

/// Whom a failed authentication is counted against: the peer, or whom a trusted proxy names.
pub fn source_of(head: &Parts, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    auth::source_address(peer, &head.headers, trusted_proxies)
}

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// [`Unread`]; of a body that is too large the rest is let pass by first.
pub async fn read_bounded(body: Body, max: usize) -> Result<Bytes, Unread> {
    let body = announced(body, max).await?;
    tokio::time::timeout(BODY_TIMEOUT, read(body, max)).await.unwrap_or(Err(Unread::Slow))
}

/// The body, unless it announces itself as too large.
pub(super) async fn announced(body: Body, max: usize) -> Result<Body, Unread> {
    if body.size_hint().lower() > max as u64 {
        drain(body).await;
        return Err(Unread::TooLarge);
    }
    Ok(body)
}

/// Lets the rest of a body that is too large pass by, within bounds: a sender that is still writing when the connection is
/// closed sees a broken pipe instead of the 413.
async fn drain(mut body: Body) {
    let passing = async {
        let mut passed = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > DRAINED {
                break;
            }
        }
    };
    // Who is slower than this may see the broken pipe.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, passing).await;
}

/// Reads the body, at most `max` bytes; the usual body of one frame is not copied.
async fn read(mut body: Body, max: usize) -> Result<Bytes, Unread> {
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.len().max(gathered.len()) + data.len() > max {
            drain(body).await;
            return Err(Unread::TooLarge);
        }
        if first.is_empty() && gathered.is_empty() {
            first = data;
        } else {
            if gathered.is_empty() {
                gathered.extend_from_slice(&std::mem::take(&mut first));
            }
            gathered.extend_from_slice(&data);
        }
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}
