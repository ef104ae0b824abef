//! Recorded events, translated.

use super::*;
use crate::facts::Subscription;

const UPDATED: &str = include_str!("../../tests/fixtures/payments/stripe_subscription_updated.json");
const DELETED: &str = include_str!("../../tests/fixtures/payments/stripe_subscription_deleted_2020.json");
const PAID: &str = include_str!("../../tests/fixtures/payments/stripe_invoice_paid.json");
const WOO: &str = include_str!("../../tests/fixtures/payments/woocommerce_subscription.json");
const DAY: Duration = Duration::from_secs(24 * 3600);

fn terms(kind: &str) -> Terms {
    let text = format!(
        "[[sessions]]\nname = \"main\"\ninstance_id = \"A\"\naccess_token = \"t\"\nwebhook_secret = \"s\"\n\
         [[payments]]\nname = \"shop\"\nkind = \"{kind}\"\nsecret = \"k\"\nstatus_map = {{ \"gifted\" = \"active\" }}\n"
    );
    let config = config::parse(text, std::path::Path::new("/x/perimeterd.toml"), []).unwrap();
    Provider::new(&config.payments[0], None).unwrap().terms
}

fn stripe(body: &Value) -> Option<Notice> {
    stripe::read(body.to_string().as_bytes(), &terms("stripe")).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn standing(notice: &Notice) -> (u8, &Subscription) {
    match &notice.contract.as_ref().unwrap().news {
        News::Standing { step, standing } => (*step, standing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recorded_subscription_event_tells_status_end_plan_and_phone() {
    let notice = stripe(&json(UPDATED)).unwrap();
    assert_eq!((notice.source.as_str(), notice.at), ("shop", seconds(1_793_440_800)));
    assert_eq!(notice.customer.as_deref(), Some("cus_TExample000001"));
    let told = notice.contract.as_ref().unwrap();
    assert_eq!(told.phone.map(Phone::e164).as_deref(), Some("+4915100000702"));
    let (step, subscription) = standing(&notice);
    assert_eq!((step, subscription.status), (1, Status::Active));
    assert_eq!(subscription.plan.as_deref(), Some("gold_monthly"));
    // The next charge is on that day, and its news may take a while.
    assert_eq!(subscription.expires_at, Some(seconds(1_796_032_800) + DAY));
}

#[test]
fn whoever_cancels_for_the_end_of_the_period_has_it_to_the_second() {
    let mut event = json(UPDATED);
    event["data"]["object"]["cancel_at_period_end"] = true.into();
    assert_eq!(standing(&stripe(&event).unwrap()).1.expires_at, Some(seconds(1_796_032_800)));
    event["data"]["object"]["cancel_at"] = 1_796_000_000.into();
    assert_eq!(standing(&stripe(&event).unwrap()).1.expires_at, Some(seconds(1_796_000_000)));
}

#[test]
fn every_status_of_stripe_has_its_meaning() {
    let end = seconds(1_796_032_800);
    let at = seconds(1_793_440_800);
    for (word, status, expires_at) in [
        ("active", Status::Active, Some(end + DAY)),
        ("trialing", Status::Trialing, Some(end + DAY)),
        ("past_due", Status::PastDue, Some(end)),
        ("unpaid", Status::PastDue, None),
        ("canceled", Status::Canceled, Some(at)),
        ("paused", Status::Canceled, None),
        ("incomplete", Status::None, None),
        ("incomplete_expired", Status::None, None),
        ("gifted", Status::Active, Some(end + DAY)),
        ("platinum", Status::Unknown, None),
    ] {
        let mut event = json(UPDATED);
        event["data"]["object"]["status"] = word.into();
        let notice = stripe(&event).unwrap();
        let (_, told) = standing(&notice);
        assert_eq!((told.status, told.expires_at), (status, expires_at), "{word}");
    }
}

#[test]
fn an_older_api_version_and_an_end_are_understood() {
    let notice = stripe(&json(DELETED)).unwrap();
    let (step, told) = standing(&notice);
    assert_eq!((step, told.status), (2, Status::Canceled));
    assert_eq!(told.expires_at, Some(seconds(1_793_527_199)), "not the period that was paid for");
    assert_eq!(told.plan.as_deref(), Some("prod_TExample0001"));
    let mut event = json(DELETED);
    event["data"]["object"]["status"] = "active".into();
    event["data"]["object"]["customer"] = serde_json::json!({"id": "cus_1", "phone": "+4915100000702"});
    let notice = stripe(&event).unwrap();
    assert_eq!(notice.customer.as_deref(), Some("cus_1"));
    assert_eq!(notice.customer_phone.map(Phone::e164).as_deref(), Some("+4915100000702"));
    assert_eq!(standing(&notice).1.expires_at, Some(seconds(1_796_032_800) + DAY));
}

#[test]
fn a_paid_invoice_prolongs_and_tells_the_customers_phone() {
    let notice = stripe(&json(PAID)).unwrap();
    assert_eq!(notice.customer_phone.map(Phone::e164).as_deref(), Some("+4915100000702"), "of Germany");
    let told = notice.contract.unwrap();
    assert_eq!((told.id.as_str(), told.phone), ("sub_1SRPp1Example000000000001", None));
    assert_eq!(told.news, News::Paid { until: Some(seconds(1_798_711_200) + DAY) });
    let mut event = json(PAID);
    event["type"] = "invoice.payment_failed".into();
    assert_eq!(stripe(&event).unwrap().contract.unwrap().news, News::Failed);
    event["data"]["object"]["parent"] = Value::Null;
    assert_eq!(stripe(&event), None, "a bill for something else");
}

#[test]
fn customers_and_checkouts_tell_phones_and_the_rest_is_passed_over() {
    let event = |kind: &str, object: Value| {
        stripe(&serde_json::json!({"id": "evt_9", "type": kind, "created": 5, "data": {"object": object}}))
    };
    let customer = event("customer.updated", serde_json::json!({"id": "cus_1", "phone": "+49 151 00000702"}));
    let customer = customer.unwrap();
    assert_eq!((customer.customer.as_deref(), customer.contract), (Some("cus_1"), None));
    assert!(customer.customer_phone.is_some());
    let details = serde_json::json!({"phone": "(202) 555-0123", "address": {"country": "US"}});
    let checkout = serde_json::json!({"customer": "cus_1", "customer_details": details});
    let checkout = event("checkout.session.completed", checkout).unwrap();
    assert_eq!(checkout.customer_phone.map(Phone::e164).as_deref(), Some("+12025550123"));
    assert_eq!(event("customer.updated", serde_json::json!({"id": "cus_1", "phone": null})), None);
    assert_eq!(event("charge.succeeded", serde_json::json!({"id": "ch_1"})), None);
    for broken in ["", "[]", "{}", r#"{"id":"e","type":"customer.subscription.updated","created":1}"#] {
        assert!(stripe::read(broken.as_bytes(), &terms("stripe")).is_err(), "{broken}");
    }
}

#[test]
fn a_recorded_woocommerce_subscription_is_translated() {
    let now = seconds(1_793_441_000);
    let read =
        |body: &Value| woocommerce::read(body.to_string().as_bytes(), &terms("woocommerce"), now).unwrap();
    let notice = read(&json(WOO)).unwrap();
    assert_eq!(notice.at.to_string(), "2026-10-31T10:00:05.000Z");
    let told = notice.contract.as_ref().unwrap();
    assert_eq!((told.id.as_str(), told.phone.map(Phone::e164).as_deref()), ("1042", Some("+4915123456789")));
    let (_, subscription) = standing(&notice);
    assert_eq!(
        (subscription.status, subscription.plan.as_deref()),
        (Status::Active, Some("Club membership"))
    );
    assert_eq!(subscription.expires_at.unwrap().to_string(), "2026-12-01T10:00:00.000Z");
    for (word, end, status, expires_at) in [
        ("on-hold", "", Status::PastDue, Some("2026-11-01T10:00:05.000Z")),
        ("pending-cancel", "2026-11-30T10:00:00", Status::Canceled, Some("2026-11-30T10:00:00.000Z")),
        ("cancelled", "2026-10-31T10:00:05", Status::Canceled, Some("2026-10-31T10:00:05.000Z")),
        ("expired", "2026-10-31T10:00:05", Status::Canceled, Some("2026-10-31T10:00:05.000Z")),
        ("pending", "", Status::None, None),
        ("gifted", "", Status::Active, Some("2026-12-01T10:00:00.000Z")),
        ("odd", "", Status::Unknown, None),
    ] {
        let mut body = json(WOO);
        body["status"] = word.into();
        body["end_date_gmt"] = end.into();
        let notice = read(&body).unwrap();
        let (_, told) = standing(&notice);
        let told = (told.status, told.expires_at.map(|end| end.to_string()));
        assert_eq!((told.0, told.1.as_deref()), (status, expires_at), "{word}");
    }
    let deleted = read(&serde_json::json!({"id": 1042})).unwrap();
    assert_eq!((deleted.at, standing(&deleted).1.status), (now, Status::Canceled));
    assert_eq!(read(&serde_json::json!({"id": 7, "status": "completed", "billing": {}})), None, "an order");
    assert!(woocommerce::is_greeting(b"webhook_id=12") && !woocommerce::is_greeting(b"webhook_id=12&x=1"));
}

#[test]
fn plain_digits_are_of_the_customers_country_where_it_is_known() {
    let terms = terms("woocommerce");
    let read = |phone: &str, country: Option<&str>| {
        let body = serde_json::json!({"billing": {"phone": phone}});
        found(&body, country, &terms).map(|(phone, _)| phone.e164())
    };
    assert_eq!(read("2025550123", Some("US")).as_deref(), Some("+12025550123"));
    assert_eq!(read("4915123456789", Some("DE")).as_deref(), Some("+4915123456789"));
    assert_eq!(read("+4915123456789", Some("US")).as_deref(), Some("+4915123456789"));
    assert_eq!(read("0151 23456789", None), None);
    assert_eq!(read("", Some("DE")), None);
}
