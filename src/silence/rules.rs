//! What is trouble, and in which words. Pure.

use crate::{clock::format_duration, ids::SessionName, store::Canary, wawp::session::Webhook};
use std::time::Duration;

/// The state in which a session works.
pub(super) const WORKING: &str = "WORKING";
/// What is shown where only a refused call told.
pub(super) const NOT_READY: &str = "NOT_READY";

/// Without these events nobody is guarded.
const NEEDED: [&str; 3] = ["group.v2.join", "group.v2.leave", "group.v2.participants"];

/// What a state asks of the owner; `None`: nothing (it works, or is on its way).
pub(super) fn trouble(state: &str) -> Option<String> {
    Some(match state {
        WORKING | "STARTING" => return None,
        "SCAN_QR_CODE" => "has to be paired again: scan the QR code in Wawp's dashboard".into(),
        "STOPPED" => "is stopped: start it in Wawp's dashboard".into(),
        "FAILED" => "has failed: restart it in Wawp's dashboard".into(),
        other => format!("is in the state {other}: look in Wawp's dashboard"),
    })
}

/// What is told of a session that sends nothing, given what the gateway says of it.
pub(super) fn silence(session: &SessionName, lasts: Duration, state: &Result<String, String>) -> String {
    let lasts = format_duration(Duration::from_secs(lasts.as_secs().max(1)));
    let told = match state {
        Ok(state) if state == WORKING => {
            "says WORKING but sends nothing: restart it in Wawp's dashboard, and see whether its webhook is registered"
                .to_owned()
        }
        Ok(state) => format!("says {state}; {}", trouble(state).unwrap_or_else(|| "it is on its way".into())),
        Err(why) => format!("and the gateway cannot say how it is: {why}"),
    };
    format!("{session}: no webhook for {lasts}; {told}")
}

/// How far the canaries since the last that came through have come: the stage and a sentence. Newest first.
pub(super) fn stuck(canaries: &[Canary], failed_post: Option<&str>) -> (&'static str, String) {
    let oldest = canaries.iter().take_while(|canary| canary.delivered_at.is_none()).last();
    match oldest {
        Some(Canary { decided_at: Some(_), .. }) => {
            ("delivered", "it was decided, and the delivery does not take it".into())
        }
        Some(Canary { applied_at: Some(_), .. }) => {
            ("decided", "it was read, and no decision is made".into())
        }
        _ => match failed_post {
            Some(why) => ("posted", format!("posting it to our own webhook address fails: {why}")),
            None if oldest.is_some() => {
                ("applied", "it was stored, and the pipeline does not read it".into())
            }
            None => ("posted", "none could be posted".into()),
        },
    }
}

/// Whether a session's events go to us: our address (the query apart) is in the list, in force, with the events that
/// guarding needs. `Err`: what is wrong, and what to do.
pub(super) fn registered(webhooks: &[Webhook], address: &str) -> Result<(), String> {
    let bare = |url: &str| url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_owned();
    let ours: Vec<&Webhook> = webhooks.iter().filter(|hook| bare(&hook.url) == bare(address)).collect();
    if ours.is_empty() {
        return Err(format!("{address} is not among the registered webhooks: register it with Wawp"));
    }
    let live: Vec<_> = ours.into_iter().filter(|hook| hook.active).collect();
    if live.is_empty() {
        return Err(format!("{address} is registered and switched off: switch it on at Wawp"));
    }
    let sends =
        |event: &str| live.iter().any(|hook| hook.events.iter().any(|name| name == event || name == "*"));
    let missing: Vec<&str> = NEEDED.into_iter().filter(|event| !sends(event)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{address} is registered without {}: add them at Wawp", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const URL: &str = "https://guard.example/webhooks/main";

    fn hook(url: &str, events: &[&str]) -> Webhook {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        Webhook { url: url.into(), events, active: true }
    }

    #[test]
    fn our_webhook_is_found_whatever_stands_in_its_query() {
        let wawps = hook("https://wawp.example/inbox", &["message"]);
        assert_eq!(registered(&[wawps.clone(), hook(&format!("{URL}?secret=s"), &NEEDED)], URL), Ok(()));
        assert_eq!(registered(&[hook(&format!("{URL}/"), &["*"])], URL), Ok(()));
        let cases = [
            (vec![wawps], "not among"),
            (vec![hook(URL, &NEEDED[..2])], "without group.v2.participants"),
            (vec![Webhook { active: false, ..hook(URL, &NEEDED) }], "switched off"),
            (vec![], "not among"),
        ];
        for (webhooks, why) in cases {
            let told = registered(&webhooks, URL).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_stage_is_that_of_the_oldest_one_under_way() {
        let posted = Canary {
            session: SessionName::new("main"),
            nonce: "1".into(),
            posted_at: Timestamp(1),
            applied_at: None,
            decided_at: None,
            delivered_at: None,
        };
        let applied = Canary { applied_at: Some(Timestamp(2)), ..posted.clone() };
        let decided = Canary { decided_at: Some(Timestamp(3)), ..applied.clone() };
        let delivered = Canary { delivered_at: Some(Timestamp(4)), ..decided.clone() };
        let stage = |canaries: &[Canary], failed| stuck(canaries, failed).0;
        assert_eq!(stage(&[posted.clone(), delivered.clone()], None), "applied");
        assert_eq!(stage(&[posted.clone(), delivered.clone()], Some("refused")), "posted");
        assert_eq!(stage(&[posted.clone(), applied, delivered.clone()], Some("refused")), "decided");
        assert_eq!(stage(&[posted, decided, delivered.clone()], None), "delivered");
        assert_eq!(stage(&[delivered], None), "posted");
    }

    #[test]
    fn a_silent_session_that_says_it_works_is_to_be_restarted() {
        let told = silence(&SessionName::new("main"), Duration::from_secs(1800), &Ok(WORKING.into()));
        assert!(told.contains("no webhook for 30m; says WORKING but sends nothing: restart it"), "{told}");
        let told = silence(&SessionName::new("main"), Duration::from_secs(1800), &Ok("STOPPED".into()));
        assert!(told.contains("is stopped: start it"), "{told}");
    }
}
