//! Whether a provider signed a body.
//!
//! Thirty lines over `hmac` and `subtle`, which are here for the gateway's webhooks: the crates for Stripe alone are either
//! its whole API or unkept for years, and none takes several secrets.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;

use crate::clock::Timestamp;

/// Keys of which any may have signed; each is mixed in once, not per request.
pub(super) struct Keys(Vec<Hmac<Sha256>>);

/// Why a body counts as nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No signature, or a wrong one.
    Forged,
    /// Rightly signed, too long ago or ahead of our clock.
    Late,
}

impl Keys {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let never = "an HMAC takes keys of any length";
        Self(secrets.map(|secret| Hmac::new_from_slice(secret.as_bytes()).expect(never)).collect())
    }

    /// Whether one of the keys makes that tag of these parts; compared in constant time.
    fn made(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let fits = |key: &Hmac<Sha256>| {
            let mac = parts.iter().fold(key.clone(), |mac, part| mac.chain_update(part));
            mac.verify_slice(tag).is_ok()
        };
        // All are tried, so that the time does not tell which.
        self.0.iter().filter(|key| fits(key)).count() > 0
    }

    /// `Stripe-Signature: t=1700000000,v1=<hex>,v1=<hex>`: HMAC-SHA256 of the time, a dot and the body. Other schemes
    /// (`v0`) are passed over.
    pub(super) fn stripe(
        &self,
        header: &str,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), Denied> {
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let time = parts().find(|(key, _)| *key == "t").map(|(_, time)| time).ok_or(Denied::Forged)?;
        let signed_at = time.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
        let signed_at = signed_at.ok_or(Denied::Forged)?;
        let mut tags = parts().filter(|(key, _)| *key == "v1").filter_map(|(_, tag)| hex::decode(tag).ok());
        if !tags.any(|tag| self.made(&[time.as_bytes(), b".", body], &tag)) {
            return Err(Denied::Forged);
        }
        let distance = Duration::from_millis(now.0.abs_diff(signed_at));
        if distance > tolerance { Err(Denied::Late) } else { Ok(()) }
    }

    /// `X-WC-Webhook-Signature`: HMAC-SHA256 of the body in base64.
    pub(super) fn woocommerce(&self, header: &str, body: &[u8]) -> Result<(), Denied> {
        let tag = BASE64_STANDARD.decode(header.trim()).map_err(|_| Denied::Forged)?;
        if self.made(&[body], &tag) { Ok(()) } else { Err(Denied::Forged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const AT: i64 = 1_700_000_000;

    fn tag(secret: &str) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.chain_update(format!("{AT}.")).chain_update(BODY).finalize().into_bytes().to_vec()
    }

    #[test]
    fn any_tag_by_any_key_within_the_tolerance_is_right() {
        let keys = Keys::new(["new", "old"].into_iter());
        let [new, old, foreign] = ["new", "old", "foreign"].map(|secret| hex::encode(tag(secret)));
        let check = |header: &str, second: i64| {
            keys.stripe(header, BODY, Timestamp((AT + second) * 1000), Duration::from_secs(300))
        };
        for header in [
            format!("t={AT},v1={new}"),
            format!("t={AT},v1={old}"),
            format!("v1={foreign}, v1={old}, v0=00, t={AT}"),
            format!("t={AT},v1={},v1=xyz", new.to_uppercase()),
        ] {
            assert_eq!(check(&header, 300), Ok(()), "{header}");
            assert_eq!(check(&header, -300), Ok(()), "{header}");
            assert_eq!(check(&header, 301), Err(Denied::Late), "{header}");
            assert_eq!(check(&header, -301), Err(Denied::Late), "{header}");
        }
        for header in [
            String::new(),
            format!("v1={new}"),
            format!("t={AT}"),
            format!("t={AT},v0={new}"),
            format!("t={AT},v1={foreign}"),
            format!("t={},v1={new}", AT + 1),
            format!("t=soon,v1={new}"),
            format!("t={AT},v1={}", &new[2..]),
        ] {
            assert_eq!(check(&header, 0), Err(Denied::Forged), "{header}");
        }
        let forged = keys.stripe(&format!("t={AT},v1={new}"), b"{}", Timestamp(AT * 1000), Duration::MAX);
        assert_eq!(forged, Err(Denied::Forged));
    }

    #[test]
    fn a_signature_in_base64_is_that_of_the_body_alone() {
        let mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap().chain_update(BODY);
        let tag = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let keys = Keys::new(["other", "secret"].into_iter());
        assert_eq!(keys.woocommerce(&tag, BODY), Ok(()));
        for (header, body) in [(tag.as_str(), &b"{}"[..]), ("", BODY), ("!", BODY), ("AAAA", BODY)] {
            assert_eq!(keys.woocommerce(header, body), Err(Denied::Forged), "{header}");
        }
    }
}
