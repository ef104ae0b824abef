//! WooCommerce's webhooks about subscriptions, translated.
//!
//! The body is the subscription as its REST API shows it; after a deletion only its id is left. Only the body is signed:
//! nothing is concluded from headers.

use super::{Reading, Terms, found};
use crate::{
    clock::Timestamp,
    facts::{Status, Subscription},
    store::payments::{ContractNews, News, Notice},
};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

const CHANGED: u8 = 1;
const ENDED: u8 = 2;

/// Whether this is the greeting by which WooCommerce tries a new address out; it is not signed and says nothing.
pub(super) fn is_greeting(body: &[u8]) -> bool {
    let number = body.strip_prefix(b"webhook_id=");
    number.is_some_and(|id| (1..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit))
}

/// Reads a webhook that came at `now`; `None` if it is of something else than a subscription.
pub(super) fn read(body: &[u8], terms: &Terms, now: Timestamp) -> Reading {
    let json: Json = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
    let object = json.as_object().ok_or("the body is not an object")?;
    let id = object.get("id").and_then(Json::as_u64).ok_or("the subscription has no id")?;
    let notice = |at, phone, step, standing| {
        let news = News::Standing { step, standing };
        Ok(Some(Notice {
            source: terms.name.clone(),
            // The same again has the same bytes; a change has at least another time in them.
            event: hex::encode(Sha256::digest(body)),
            at,
            customer: None,
            customer_phone: None,
            contract: Some(ContractNews { id: id.to_string(), phone, news }),
        }))
    };
    if object.len() == 1 {
        let standing = Subscription { status: Status::Canceled, plan: None, expires_at: Some(now) };
        return notice(now, None, ENDED, standing);
    }
    // Orders go the same way, if the owner sends them here; only subscriptions have a period.
    if !object.contains_key("billing_period") {
        return Ok(None);
    }
    let at = date(&json, "date_modified").ok_or("the subscription has no `date_modified_gmt`")?;
    let word = object.get("status").and_then(Json::as_str).ok_or("the subscription has no status")?;
    let country = json.pointer("/billing/country").and_then(Json::as_str);
    let phone = found(&json, country, terms).map(|(phone, _)| phone);
    notice(at, phone, CHANGED, standing(&json, word, at, terms))
}

fn standing(json: &Json, word: &str, at: Timestamp, terms: &Terms) -> Subscription {
    let end = date(json, "end_date");
    let charged_again = || match (date(json, "next_payment_date").map(|next| next + terms.leeway), end) {
        (Some(next), Some(end)) => Some(next.min(end)),
        (next, end) => next.or(end),
    };
    let (status, expires_at) = match terms.mapped(word) {
        Some(status @ (Status::Active | Status::Trialing)) => (status, charged_again()),
        Some(status) => (status, end),
        None => match word {
            "active" if date(json, "trial_end_date").is_some_and(|end| end > at) => {
                (Status::Trialing, charged_again())
            }
            "active" => (Status::Active, charged_again()),
            // So it stands at every renewal until the payment is through.
            "on-hold" => (Status::PastDue, Some(at + terms.leeway)),
            "pending-cancel" => (Status::Canceled, end),
            "cancelled" | "expired" | "switched" | "trash" => (Status::Canceled, Some(at)),
            "pending" => (Status::None, None),
            _ => (Status::Unknown, None),
        },
    };
    let plan = json.pointer("/line_items/0/name").and_then(Json::as_str);
    Subscription { status, plan: plan.filter(|name| !name.is_empty()).map(str::to_owned), expires_at }
}

/// A time under `…_gmt`, or in older versions without; an empty text is none.
fn date(json: &Json, key: &str) -> Option<Timestamp> {
    let text = json.get(format!("{key}_gmt")).or_else(|| json.get(key))?.as_str()?.trim();
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
        let local = text.parse::<jiff::civil::DateTime>()?;
        local.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    moment.ok().map(|moment| Timestamp(moment.as_millisecond()))
}
