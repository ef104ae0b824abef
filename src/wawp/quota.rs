//! What the gateway allows an instance by its own policy (`GET /v2/session/rate-limit`).
//!
//! The field names are documented, the shape around them is not: the policy in force may stand at the top, under a key,
//! or be named by its slug and stand in a list. A number may be a string; null, 0, a negative number and words like
//! `unlimited` are no cap: an instance that may do nothing at all answers its calls with 403 instead.

use super::wire;
use serde_json::Value;
use std::time::Duration;

/// The policy in force. `None`: no cap, or none told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// `send_message_per_minute`
    pub messages_per_minute: Option<u32>,
    /// `send_message_daily_cap`
    pub messages_per_day: Option<u32>,
    /// `account_protection_seconds`: the least pause between two writing calls.
    pub protection: Option<Duration>,
    /// `group_req_per_minute`
    pub group_calls_per_minute: Option<u32>,
    /// `group_daily_cap`
    pub group_calls_per_day: Option<u32>,
    /// `check_req_per_minute`
    pub checks_per_minute: Option<u32>,
    /// `check_daily_cap`
    pub checks_per_day: Option<u32>,
}

/// Reads the answer; what is not there is no cap. `concurrent_limit` is left out: we have one call in flight.
pub(super) fn quota(told: &Value) -> Quota {
    let top = told.get("data").filter(|data| data.is_object()).unwrap_or(told);
    let policy = in_force(top);
    let fields = wire::first(policy, &["limits", "rules", "config"]).filter(|inner| inner.is_object());
    let number = |key: &str| {
        let value = fields.and_then(|fields| fields.get(key)).or_else(|| policy.get(key))?;
        u32::try_from(wire::integer(value)?).ok().filter(|number| *number > 0)
    };
    Quota {
        messages_per_minute: number("send_message_per_minute"),
        messages_per_day: number("send_message_daily_cap"),
        protection: number("account_protection_seconds").map(|s| Duration::from_secs(s.into())),
        group_calls_per_minute: number("group_req_per_minute"),
        group_calls_per_day: number("group_daily_cap"),
        checks_per_minute: number("check_req_per_minute"),
        checks_per_day: number("check_daily_cap"),
    }
}

/// The policy in force: an object under a key that says so, the listed one that a slug names or that says so itself, or
/// what stands at the top.
fn in_force(top: &Value) -> &Value {
    const CURRENT: &[&str] = &["policy", "current_policy", "current", "currentPolicy"];
    if let Some(policy) = CURRENT.iter().filter_map(|key| top.get(key)).find(|value| value.is_object()) {
        return policy;
    }
    let slug =
        wire::text(top, CURRENT).or_else(|| wire::text(top, &["policy_slug", "current_policy_slug", "slug"]));
    let named = |policy: &&Value| {
        slug.is_some() && wire::text(policy, &["slug", "policy_slug", "name", "id"]) == slug
    };
    let chosen =
        |policy: &&Value| wire::flag(policy, &["current", "is_current", "active", "selected"]) == Some(true);
    let listed = match top.get("policies") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(map)) => {
            if let Some(policy) = slug.as_ref().and_then(|slug| map.get(slug)) {
                return policy;
            }
            map.values().collect()
        }
        _ => Vec::new(),
    };
    let found = listed.iter().copied().find(named).or_else(|| listed.iter().copied().find(chosen));
    found.unwrap_or(top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_policy_in_force_is_found_in_every_shape() {
        let fields = json!({"send_message_per_minute": 7, "group_daily_cap": "300"});
        let with = |mut policy: Value, key: &str, value: Value| {
            policy[key] = value;
            policy
        };
        let strict = with(fields.clone(), "slug", json!("strict"));
        let other = json!({"slug": "standard_policy", "send_message_per_minute": 99});
        for told in [
            fields.clone(),
            json!({"data": fields}),
            json!({"policy": fields}),
            json!({"current_policy": {"slug": "strict", "limits": fields}}),
            json!({"policy_slug": "strict", "policies": [other, strict]}),
            json!({"policy": "strict", "policies": [other, strict]}),
            json!({"policy_slug": "strict", "policies": {"standard_policy": other, "strict": fields}}),
            json!({"policies": [other, with(fields.clone(), "current", json!(true))]}),
        ] {
            let quota = quota(&told);
            let read = (quota.messages_per_minute, quota.group_calls_per_day, quota.checks_per_day);
            assert_eq!(read, (Some(7), Some(300), None), "{told}");
        }
    }

    #[test]
    fn no_cap_has_many_spellings() {
        for none in
            [json!(null), json!(0), json!(-1), json!("unlimited"), json!(""), json!(1e300), json!([5])]
        {
            assert_eq!(quota(&json!({"send_message_per_minute": none})), Quota::default(), "{none}");
        }
        assert_eq!(quota(&json!([])), Quota::default());
        let told = quota(&json!({"account_protection_seconds": "5"}));
        assert_eq!(told.protection, Some(Duration::from_secs(5)));
    }
}
