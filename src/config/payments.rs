//! `[[payments]]`: payment providers whose signed webhooks tell who pays.

use super::{
    PaymentKind, Payments, Secret,
    error::ConfigError,
    guarded::{status_map, unique},
    node::{Node, Value},
    read::Reader,
};
use std::{collections::BTreeSet, time::Duration};

type Result<T> = std::result::Result<T, ConfigError>;

const KEYS: [&str; 7] = ["name", "kind", "secret", "tolerance", "leeway", "phone", "status_map"];

/// Where Stripe's events may hold a phone: what the owner wrote into the metadata first, then the customer's.
const STRIPE_PHONES: [&str; 7] = [
    "/data/object/metadata/phone",
    "/data/object/parent/subscription_details/metadata/phone",
    "/data/object/subscription_details/metadata/phone",
    "/data/object/customer/phone",
    "/data/object/customer_details/phone",
    "/data/object/customer_phone",
    "/data/object/phone",
];

const WOOCOMMERCE_PHONES: [&str; 1] = ["/billing/phone"];

pub(super) fn payments(read: &Reader<'_>, node: Option<Node>) -> Result<Vec<Payments>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for block in read.blocks(node, "payments")? {
        found.push(provider(read, block, &mut seen)?);
    }
    Ok(found)
}

fn provider(read: &Reader<'_>, block: Node, seen: &mut BTreeSet<String>) -> Result<Payments> {
    let mut section = read.section(block, "[[payments]]", &KEYS)?;
    let name = read.required(&mut section, "name")?;
    let word = unique(read, &name, "payment provider", seen)?;
    if word.len() > 64 || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(read.at(&name, "a provider's name stands in a URL: only letters, digits, `-` and `_`"));
    }
    let kind = read.required(&mut section, "kind")?;
    let kind = match read.text(&kind, "kind")?.as_str() {
        "stripe" => PaymentKind::Stripe,
        "woocommerce" => PaymentKind::WooCommerce,
        _ => return Err(read.at(&kind, "`kind` must be \"stripe\" or \"woocommerce\"")),
    };
    let tolerance = section.take("tolerance");
    if let (PaymentKind::WooCommerce, Some(node)) = (kind, &tolerance) {
        return Err(read.at(node, "`tolerance` has no meaning with WooCommerce: it signs no time; remove it"));
    }
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let tolerance = tolerance.map(|node| read.positive_duration(&node, "tolerance")).transpose()?;
    let leeway = section.take("leeway").map(|node| read.duration(&node, "leeway")).transpose()?;
    let usual: &[&str] = match kind {
        PaymentKind::Stripe => &STRIPE_PHONES,
        PaymentKind::WooCommerce => &WOOCOMMERCE_PHONES,
    };
    let phones = match section.take("phone") {
        None => usual.iter().map(|pointer| (*pointer).to_owned()).collect(),
        Some(node) => pointers(read, node)?,
    };
    let map = section.take("status_map").map(|node| status_map(read, &node)).transpose()?;
    Ok(Payments {
        name: word,
        kind,
        secrets: secrets(read, read.required(&mut section, "secret")?)?,
        tolerance: tolerance.unwrap_or(minutes(5)),
        leeway: leeway.unwrap_or(minutes(24 * 60)),
        phones,
        status_map: map.unwrap_or_default(),
    })
}

/// One secret, or several while the provider changes from one to the next.
fn secrets(read: &Reader<'_>, node: Node) -> Result<Vec<Secret>> {
    let Node { value: Value::Array(items), span, origin } = node else {
        return Ok(vec![read.secret(node, "secret")?]);
    };
    if items.is_empty() {
        return Err(read.error(&origin, span, "`secret` is empty: anybody could post; write one"));
    }
    items.into_iter().map(|item| read.secret(item, "secret")).collect()
}

fn pointers(read: &Reader<'_>, node: Node) -> Result<Vec<String>> {
    let place = node.clone();
    let mut pointers = Vec::new();
    for item in read.items(node, "phone")? {
        let text = read.text(&item, "phone")?;
        if !text.starts_with('/') {
            return Err(
                read.at(&item, "`phone` must hold JSON pointers, like \"/data/object/metadata/phone\"")
            );
        }
        pointers.push(text);
    }
    if pointers.is_empty() {
        return Err(read.at(&place, "`phone` names no place, so nobody would ever be found"));
    }
    Ok(pointers)
}
