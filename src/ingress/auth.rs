//! Whether a post is authentic, and whom a failed one is counted against.
//!
//! Owns the proofs (a shared secret in query or header, an HMAC over the raw bytes) and the reading of
//! `X-Forwarded-For`. Which proofs are asked for, in which header and with which digest, is the configuration's word
//! alone; nothing in a request can choose. Replays are not stopped here: that is the dedup key's job.

use crate::{
    config::{self, HmacAlgorithm},
    ids::SessionName,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::{Sha256, Sha512};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use subtle::ConstantTimeEq;

/// Where the shared secret may stand besides `?secret=`.
const SECRET_HEADER: &str = "x-webhook-secret";

/// Not authentic. Which proof was wrong is nobody's business outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// The proofs that one session's webhooks must bring.
pub struct SessionAuth {
    name: SessionName,
    secret: Option<String>,
    signature: Option<Signature>,
}

/// A signature's header and its keyed digest; the key is mixed in once, not per request.
struct Signature {
    header: HeaderName,
    digest: Digest,
}

/// Both are large and live once per session.
enum Digest {
    Sha256(Box<Hmac<Sha256>>),
    Sha512(Box<Hmac<Sha512>>),
}

/// The signature that a request claims, not yet compared with its body.
pub struct Claim {
    tag: [u8; 64],
    length: usize,
}

impl SessionAuth {
    /// Takes a session's proofs from its configuration.
    ///
    /// # Errors
    /// A sentence, if a secret cannot be read, a header's name is none, or no proof is configured at all.
    pub fn new(session: &config::Session) -> Result<Self, String> {
        let secret =
            session.webhook_secret.as_ref().map(config::Secret::expose).transpose()?.map(str::to_owned);
        let signature = session.hmac.as_ref().map(Signature::new).transpose()?;
        if secret.is_none() && signature.is_none() {
            return Err(format!(
                "session `{}` has neither `webhook_secret` nor `hmac`: anybody could post; set one",
                session.name
            ));
        }
        Ok(Self { name: session.name.clone(), secret, signature })
    }

    /// The session's name.
    pub fn name(&self) -> &SessionName {
        &self.name
    }

    /// What can be said before the body is read: the secret is right, and a signature of the right form is there.
    ///
    /// # Errors
    /// [`Denied`], if not.
    pub fn check_head(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<Claim>, Denied> {
        if let Some(secret) = &self.secret
            && !presents(secret, uri, headers)
        {
            return Err(Denied);
        }
        self.signature.as_ref().map(|signature| signature.claim(headers)).transpose()
    }

    /// Whether the claimed signature is that of the body.
    ///
    /// # Errors
    /// [`Denied`], if not.
    pub fn check_body(&self, claim: Option<Claim>, body: &[u8]) -> Result<(), Denied> {
        match (&self.signature, claim) {
            (None, _) => Ok(()),
            (Some(signature), Some(claim)) => signature.verify(&claim, body),
            (Some(_), None) => Err(Denied),
        }
    }
}

impl SessionAuth {
    /// The headers by which our own posts are authentic. A secret that is no header value goes without.
    pub fn proofs(&self, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(mut secret) = self.secret.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            secret.set_sensitive(true);
            headers.insert(SECRET_HEADER, secret);
        }
        if let Some(signature) = &self.signature
            && let Ok(value) = HeaderValue::from_str(&signature.of(body))
        {
            headers.insert(signature.header.clone(), value);
        }
        headers
    }
}

/// Whether the request carries the secret, in the query or in the header.
fn presents(secret: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let equal = |offered: &[u8]| bool::from(offered.ct_eq(secret.as_bytes()));
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    headers.get(SECRET_HEADER).is_some_and(|value| equal(value.as_bytes()))
        || query.filter(|(key, _)| key == "secret").any(|(_, value)| equal(value.as_bytes()))
}

impl Signature {
    fn new(configured: &config::Hmac) -> Result<Self, String> {
        let key = configured.key.expose()?.as_bytes();
        let never = "an HMAC takes keys of any length";
        let digest = match configured.algorithm {
            HmacAlgorithm::Sha256 => Digest::Sha256(Box::new(Hmac::new_from_slice(key).expect(never))),
            HmacAlgorithm::Sha512 => Digest::Sha512(Box::new(Hmac::new_from_slice(key).expect(never))),
        };
        let header = HeaderName::try_from(&configured.header)
            .map_err(|_| format!("`{}` is not the name of an HTTP header", configured.header))?;
        Ok(Self { header, digest })
    }

    /// Reads the header: hex of any case, after an optional `sha256=` or `sha512=` that names the pinned digest.
    fn claim(&self, headers: &HeaderMap) -> Result<Claim, Denied> {
        let text = headers.get(&self.header).and_then(|value| value.to_str().ok()).ok_or(Denied)?.trim();
        let (prefix, length) = match self.digest {
            Digest::Sha256(_) => ("sha256=", 32),
            Digest::Sha512(_) => ("sha512=", 64),
        };
        let hex = match text.split_at_checked(prefix.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest,
            _ => text,
        };
        let mut tag = [0; 64];
        hex::decode_to_slice(hex, &mut tag[..length]).map_err(|_| Denied)?;
        Ok(Claim { tag, length })
    }

    /// The digest of a body, in hex.
    fn of(&self, body: &[u8]) -> String {
        match &self.digest {
            Digest::Sha256(keyed) => {
                hex::encode(keyed.as_ref().clone().chain_update(body).finalize().into_bytes())
            }
            Digest::Sha512(keyed) => {
                hex::encode(keyed.as_ref().clone().chain_update(body).finalize().into_bytes())
            }
        }
    }

    /// Compares in constant time.
    fn verify(&self, claim: &Claim, body: &[u8]) -> Result<(), Denied> {
        let tag = &claim.tag[..claim.length];
        match &self.digest {
            Digest::Sha256(keyed) => keyed.as_ref().clone().chain_update(body).verify_slice(tag),
            Digest::Sha512(keyed) => keyed.as_ref().clone().chain_update(body).verify_slice(tag),
        }
        .map_err(|_| Denied)
    }
}

/// The address that a failed authentication is counted against: the peer's, or, where the peer is a trusted proxy, the
/// right-most hop of `X-Forwarded-For` that is not one. Whoever has an IPv6 network has 2^64 addresses, so of those
/// only the network counts.
pub(super) fn source_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut source = peer.to_canonical();
    if is_trusted(source) {
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            // What stands left of an unreadable hop was written by nobody we trust.
            let Some(address) = parse_hop(hop.trim()) else { break };
            source = address;
            if !is_trusted(address) {
                break;
            }
        }
    }
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const BODY: &[u8] = br#"{"event":"message","session":"default","engine":"WEBJS"}"#;

    fn session(secret: Option<&str>, key: Option<(&str, HmacAlgorithm)>) -> SessionAuth {
        SessionAuth::new(&config::Session {
            name: SessionName::new("main"),
            instance_id: "A1".into(),
            access_token: Secret::new("token"),
            webhook_secret: secret.map(Secret::new),
            hmac: key.map(|(key, algorithm)| config::Hmac {
                key: Secret::new(key),
                header: "X-Webhook-Hmac".into(),
                algorithm,
            }),
        })
        .unwrap()
    }

    fn post(auth: &SessionAuth, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Denied> {
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let claim = auth.check_head(&uri.parse().unwrap(), &HeaderMap::from_iter(pairs))?;
        auth.check_body(claim, body)
    }

    fn sha512() -> String {
        let mac = Hmac::<Sha512>::new_from_slice(b"my-secret-key").unwrap();
        hex::encode(mac.chain_update(BODY).finalize().into_bytes())
    }

    #[test]
    fn the_public_vector_is_authentic_in_every_spelling() {
        let auth = session(None, Some(("my-secret-key", HmacAlgorithm::Sha512)));
        let tag = sha512();
        assert!(tag.starts_with("208f8a55dde9e05519e898b1"));
        for spelling in [tag.clone(), tag.to_uppercase(), format!("sha512={tag}"), format!("SHA512={tag}")] {
            assert_eq!(post(&auth, "/", &[("x-webhook-hmac", &spelling)], BODY), Ok(()), "{spelling}");
        }
        for wrong in [String::new(), tag[2..].to_owned(), format!("sha256={tag}"), tag.replace('2', "3")] {
            assert_eq!(post(&auth, "/", &[("x-webhook-hmac", &wrong)], BODY), Err(Denied), "{wrong}");
        }
        assert_eq!(post(&auth, "/", &[("x-webhook-hmac", &tag)], b"{}"), Err(Denied));
        assert_eq!(post(&auth, "/", &[("x-other", &tag)], BODY), Err(Denied));
    }

    #[test]
    fn the_digest_is_the_configured_one() {
        let auth = session(None, Some(("my-secret-key", HmacAlgorithm::Sha256)));
        let mac = Hmac::<Sha256>::new_from_slice(b"my-secret-key").unwrap();
        let tag = hex::encode(mac.chain_update(BODY).finalize().into_bytes());
        assert_eq!(post(&auth, "/", &[("x-webhook-hmac", &format!("sha256={tag}"))], BODY), Ok(()));
        let named = [("x-webhook-hmac", sha512()), ("x-webhook-hmac-algorithm", "sha512".into())];
        let named = named.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(post(&auth, "/", &named, BODY), Err(Denied));
    }

    #[test]
    fn the_secret_may_stand_in_query_or_header() {
        let auth = session(Some("s3cr&t"), None);
        for (uri, headers, expected) in [
            ("/w?secret=s3cr%26t", vec![], Ok(())),
            ("/w?a=b&secret=s3cr%26t&c", vec![], Ok(())),
            ("/w", vec![("x-webhook-secret", "s3cr&t")], Ok(())),
            ("/w", vec![], Err(Denied)),
            ("/w?secret=", vec![], Err(Denied)),
            ("/w?secret=s3cr", vec![("x-webhook-secret", "s3cr&t ?")], Err(Denied)),
        ] {
            assert_eq!(post(&auth, uri, &headers, BODY), expected, "{uri}");
        }
    }

    #[test]
    fn every_configured_proof_must_be_right() {
        let auth = session(Some("secret"), Some(("my-secret-key", HmacAlgorithm::Sha512)));
        let tag = sha512();
        assert_eq!(post(&auth, "/?secret=secret", &[("x-webhook-hmac", &tag)], BODY), Ok(()));
        assert_eq!(post(&auth, "/?secret=secret", &[], BODY), Err(Denied));
        assert_eq!(post(&auth, "/", &[("x-webhook-hmac", &tag)], BODY), Err(Denied));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_own_word() {
        let trusted = ["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", vec!["6.6.6.6, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            ("127.0.0.1", vec!["198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            ("127.0.0.1", vec!["198.51.100.1, junk"], "127.0.0.1"),
            ("127.0.0.1", vec!["198.51.100.1:4711"], "198.51.100.1"),
            ("::ffff:127.0.0.1", vec!["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::"),
            ("2001:db8:1:2:3:4:5:6", vec![], "2001:db8:1:2::"),
        ] {
            let pairs = forwarded.iter().map(|v| ("x-forwarded-for".parse().unwrap(), v.parse().unwrap()));
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append::<HeaderName>(name, value);
            }
            let expected: IpAddr = expected.parse().unwrap();
            let source = source_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(source, expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_session_without_any_proof_is_an_error() {
        let bare = config::Session {
            name: SessionName::new("main"),
            instance_id: String::new(),
            access_token: Secret::new(""),
            webhook_secret: None,
            hmac: None,
        };
        assert!(SessionAuth::new(&bare).is_err_and(|why| why.contains("webhook_secret")));
    }
}
