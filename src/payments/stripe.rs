//! Stripe's events, translated.
//!
//! An event carries its object as it was when it happened. A subscription event tells all but the phone, unless the owner
//! keeps it in the metadata; invoices, checkouts and customers tell that.

use super::{Reading, Terms, found};
use crate::{
    clock::Timestamp,
    facts::{Status, Subscription},
    ids::Phone,
    store::payments::{ContractNews, News, Notice},
};
use serde_json::Value as Json;

/// Of two events of one second: a subscription is made, then changed, then ended.
const MADE: u8 = 0;
const CHANGED: u8 = 1;
const ENDED: u8 = 2;

/// Reads an event; `None` if its kind says nothing of subscriptions or phones.
pub(super) fn read(body: &[u8], terms: &Terms) -> Reading {
    let event: Json = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
    let word = |pointer: &str| event.pointer(pointer).and_then(Json::as_str);
    let kind = word("/type").ok_or("the event has no type")?;
    let id = word("/id").ok_or("the event has no id")?;
    let at = event.get("created").and_then(time).ok_or("the event has no time")?;
    let object = event.pointer("/data/object").ok_or("the event has no object")?;
    let payer = object.get("customer").and_then(reference);
    let phone = phone(&event, object, terms);
    let notice = |customer: Option<&str>, customer_phone, contract| {
        let customer = customer.map(str::to_owned);
        Some(Notice { source: terms.name.clone(), event: id.into(), at, customer, customer_phone, contract })
    };
    let of_contract = |id: &str, news| {
        // What stands in the metadata is this subscription's; everything else is the customer's, if one is named.
        let (own, customers) = match phone {
            Some((phone, pointer)) if pointer.contains("/metadata/") || payer.is_none() => {
                (Some(phone), None)
            }
            Some((phone, _)) => (None, Some(phone)),
            None => (None, None),
        };
        notice(payer, customers, Some(ContractNews { id: id.into(), phone: own, news }))
    };
    Ok(match kind {
        "customer.created" | "customer.updated" => {
            let Some((phone, _)) = phone else { return Ok(None) };
            notice(object.get("id").and_then(Json::as_str), Some(phone), None)
        }
        "checkout.session.completed" => {
            let Some((phone, _)) = phone.filter(|_| payer.is_some()) else { return Ok(None) };
            notice(payer, Some(phone), None)
        }
        "invoice.paid" | "invoice.payment_succeeded" | "invoice.payment_failed" => {
            let place = ["/subscription", "/parent/subscription_details/subscription"];
            let contract = place.into_iter().find_map(|place| object.pointer(place).and_then(reference));
            let Some(contract) = contract else { return Ok(None) };
            let news = match kind {
                "invoice.payment_failed" => News::Failed,
                _ => News::Paid { until: paid_until(object).map(|end| end + terms.leeway) },
            };
            of_contract(contract, news)
        }
        _ => {
            let Some(what) = kind.strip_prefix("customer.subscription.") else { return Ok(None) };
            let step = match what {
                "created" => MADE,
                "deleted" => ENDED,
                _ => CHANGED,
            };
            let contract = object.get("id").and_then(Json::as_str).ok_or("the subscription has no id")?;
            let standing = standing(object, at, terms).ok_or("the subscription has no status")?;
            of_contract(contract, News::Standing { step, standing })
        }
    })
}

/// The phone and the pointer that found it. A national spelling is of the customer's country.
fn phone<'t>(event: &Json, object: &Json, terms: &'t Terms) -> Option<(Phone, &'t str)> {
    let places = ["/address/country", "/customer_address/country", "/customer_details/address/country"];
    let country = places.into_iter().find_map(|place| object.pointer(place).and_then(Json::as_str));
    found(event, country, terms)
}

/// How a subscription stands.
fn standing(object: &Json, at: Timestamp, terms: &Terms) -> Option<Subscription> {
    let word = object.get("status")?.as_str()?;
    let period_end =
        latest(object.get("current_period_end"), object.pointer("/items/data"), "/current_period_end");
    let (status, expires_at) = match terms.mapped(word) {
        Some(status @ (Status::Active | Status::Trialing)) => {
            (status, charged_again(object, period_end, terms))
        }
        Some(status) => (status, period_end),
        None => match word {
            "active" => (Status::Active, charged_again(object, period_end, terms)),
            "trialing" => (Status::Trialing, charged_again(object, period_end, terms)),
            // The provider still tries to collect.
            "past_due" => (Status::PastDue, period_end),
            // It has given up; the period it counts on was not paid.
            "unpaid" => (Status::PastDue, None),
            // Ended at once, whatever had been paid for: whoever cancels for the end of the period stays `active`.
            "canceled" => (Status::Canceled, Some(object.get("ended_at").and_then(time).unwrap_or(at))),
            // A trial that ended without a means of payment.
            "paused" => (Status::Canceled, None),
            // The first payment was never made.
            "incomplete" | "incomplete_expired" => (Status::None, None),
            _ => (Status::Unknown, None),
        },
    };
    Some(Subscription { status, plan: plan(object), expires_at })
}

/// The end of a subscription that goes on by itself: with the leeway, unless it was given notice.
fn charged_again(object: &Json, period_end: Option<Timestamp>, terms: &Terms) -> Option<Timestamp> {
    let notice = object.get("cancel_at").and_then(time);
    let at_period_end = object.get("cancel_at_period_end").and_then(Json::as_bool).unwrap_or(false);
    match (notice, period_end) {
        (None, Some(end)) if at_period_end => Some(end),
        (Some(notice), Some(end)) => Some(notice.min(end + terms.leeway)),
        (None, Some(end)) => Some(end + terms.leeway),
        (notice, None) => notice,
    }
}

/// What it is called: the price's lookup key, its nickname, else its product.
fn plan(object: &Json) -> Option<String> {
    let price = object.pointer("/items/data/0/price").or_else(|| object.pointer("/items/data/0/plan"));
    let price = price.or_else(|| object.get("plan"))?;
    let named = ["/lookup_key", "/nickname", "/product/name", "/product", "/product/id"];
    let mut words = named.into_iter().filter_map(|place| price.pointer(place)?.as_str());
    words.find(|word| !word.is_empty()).map(str::to_owned)
}

/// The end of the time that a bill is for.
fn paid_until(invoice: &Json) -> Option<Timestamp> {
    latest(None, invoice.pointer("/lines/data"), "/period/end")
}

/// The latest of a time and of those inside a list.
fn latest(one: Option<&Json>, list: Option<&Json>, place: &str) -> Option<Timestamp> {
    let items = list.and_then(Json::as_array).into_iter().flatten();
    one.into_iter().chain(items.filter_map(|item| item.pointer(place))).filter_map(time).max()
}

/// The id behind an id or an expanded object.
fn reference(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value.get("id")?.as_str())
}

/// Stripe counts seconds since 1970.
fn time(value: &Json) -> Option<Timestamp> {
    value.as_i64().and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp)
}
