//! Restrictions of the account that ride on `me`, where the engine passes them on (`whatsapp-reality.md` §4.1).
//!
//! A time-lock, the monthly cap on new chats, and NOWEB's `restriction` mean one thing to us: nobody who never wrote to the
//! number is written to until then. The second warning before the cap counts as the cap: a message to a stranger is never
//! worth the number. The first warning changes nothing, and neither does what is left of the quota.

use super::wire;
use crate::{clock::Timestamp, event::Restriction};
use serde_json::Value;

/// The restriction in force that `me` tells of, if it tells of one; the longest, if of several.
pub(super) fn restriction(me: &Value) -> Option<Restriction> {
    let told = [time_lock(me), capping(me), engine_restriction(me)];
    told.into_iter().flatten().max_by_key(|restriction| restriction.until)
}

fn time_lock(me: &Value) -> Option<Restriction> {
    let lock = wire::first(me, &["reachoutTimelock", "reachout_timelock"])?;
    let active = wire::flag(lock, &["isActive", "is_active", "active"])?;
    active.then(|| Restriction {
        until: moment(lock, &["timeEnforcementEnds", "time_enforcement_ends"]),
        why: "a time-lock on new chats (reachoutTimelock)".into(),
    })
}

fn capping(me: &Value) -> Option<Restriction> {
    let capping = wire::first(me, &["messageCapping", "message_capping"])?;
    let status = wire::text(capping, &["cappingStatus", "capping_status"])?;
    let why = match status.as_str() {
        "CAPPED" => "the quota of new chats is used up (messageCapping CAPPED)",
        "SECOND_WARNING" => "the quota of new chats is nearly used up (messageCapping SECOND_WARNING)",
        _ => return None,
    };
    Some(Restriction { until: moment(capping, &["cycleEnd", "cycle_end"]), why: why.into() })
}

fn engine_restriction(me: &Value) -> Option<Restriction> {
    let told = wire::first(me, &["restriction"])?;
    let active = wire::flag(told, &["active", "isActive"])?;
    active.then(|| Restriction { until: moment(told, &["until"]), why: "the account is restricted".into() })
}

/// Seconds or milliseconds since 1970; dates as text are left out.
fn moment(value: &Value, keys: &[&str]) -> Option<Timestamp> {
    let number = wire::integer(wire::first(value, keys)?)?;
    (number > 0).then(|| Timestamp::from_wire(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_in_force_restricts() {
        let lock = |active: bool| json!({"reachoutTimelock": {"isActive": active, "timeEnforcementEnds": 1_772_000_000}});
        let capped =
            |word: &str| json!({"messageCapping": {"cappingStatus": word, "cycleEnd": "1772000000000"}});
        let until = Some(Timestamp(1_772_000_000_000));
        for (me, expected) in [
            (lock(true), Some(until)),
            (lock(false), None),
            (capped("CAPPED"), Some(until)),
            (capped("SECOND_WARNING"), Some(until)),
            (capped("FIRST_WARNING"), None),
            (json!({"restriction": {"active": true, "until": null}}), Some(None)),
            (json!({"id": "4915112345678@c.us", "reachoutTimelock": null}), None),
            (json!(null), None),
        ] {
            assert_eq!(restriction(&me).map(|found| found.until), expected, "{me}");
        }
    }
}
