//! Every answer that the vendor's material names, and what it means for the caller.

use super::*;
use proptest::prelude::*;
use reqwest::header::HeaderValue;

/// The verdict in a word, `done` for a success, with WhatsApp's code or the wait where there is one.
fn judge(status: u16, body: &str, what: What) -> String {
    verdict(classify(status, &HeaderMap::new(), Body::read(body.as_bytes(), true, &[]), what))
}

fn verdict(outcome: Outcome<Value>) -> String {
    match outcome {
        Ok(_) => "done".into(),
        Err(CallError::Refused { code: Some(code), .. }) => format!("refused {code}"),
        Err(error) => error.name().into(),
    }
}

use What::{Private, Public, Read, Remove, Setting};

/// Results of a removal inside HTTP 200 (`wawp-api.md` §2.2, `whatsapp-reality.md` §3.1).
const REMOVALS: &[(&str, &str)] = &[
    (r#"[{"status":"200","jid":"77@lid","content":{}}]"#, "done"),
    (r#"[{"status":"403","jid":"77@lid"}]"#, "refused 403"),
    (r#"[{"status":"401","jid":"77@lid"}]"#, "refused 401"),
    (r#"[{"status":"408","jid":"77@lid"}]"#, "refused 408"),
    (r#"[{"status":"409","jid":"77@lid"}]"#, "refused 409"),
    (r#"[{"status":"417","jid":"77@lid"}]"#, "refused 417"),
    (r#"[{"status":"419","jid":"77@lid"}]"#, "refused 419"),
    (r#"[{"status":"400","jid":"77@lid"}]"#, "wrong_identity"),
    (r#"[{"status":"500","jid":"77@lid"}]"#, "transient"),
    ("[]", "unknown"),
    (r#"[{"jid":"77@lid"}]"#, "unknown"),
    (r#"["77@lid"]"#, "unknown"),
    (r#"{"status":200}"#, "done"),
    (r#"{"status":403,"message":"no"}"#, "refused 403"),
    (r#"{"4915112345678@c.us":{"code":200,"message":"ok"}}"#, "done"),
    (r#"{"4915112345678@c.us":{"code":404,"message":"not there","isInviteV4Sent":false}}"#, "refused 404"),
    (r#"{"participants":[{"id":"77@lid","Error":406}]}"#, "refused 406"),
    (r#"{"data":{"status":200}}"#, "done"),
    (r#"{"success":true}"#, "done"),
    (r#"{"success":false}"#, "refused"),
    (r#"{"something":"else"}"#, "unknown"),
    (r#""You are not an admin of this group""#, "refused"),
    ("GroupParticipantError: you have no permission", "refused"),
    ("true", "done"),
    ("false", "refused"),
    ("", "done"),
    ("OK", "done"),
    ("Forbidden", "unknown"),
    ("not-authorized", "refused 401"),
    ("rate-overlimit", "slow_down"),
    (r#"[{"status":200,"error":"you are not an admin"}]"#, "refused"),
    (r#"[{"status":200},{"status":403}]"#, "refused 403"),
    (r#"{"1@lid":200}"#, "done"),
    (r#"{"1@lid":-1}"#, "unknown"),
    ("null", "done"),
    ("<html><body>welcome</body></html>", "unknown"),
    (r#"{"wawp_upstream_error":{"message":"x"}}"#, "transient"),
    (r#"{"wawp_upstream_error":"rate-overlimit"}"#, "slow_down"),
    (r#"{"wawp_upstream_error":{"status":403,"message":"forbidden"}}"#, "refused 403"),
    (r#"{"status":"error","message":"participant is not in the group"}"#, "refused"),
    (r#"{"status":false,"message":"no"}"#, "refused"),
    (r#"{"error":"expected at least 1 children, but found 0"}"#, "wrong_identity"),
    (r#"{"error":"server returned error 463"}"#, "locked"),
    (r#"{"code":"quota_reached","message":"daily"}"#, "slow_down"),
    (r#"{"sent":false,"upstream_status":429}"#, "slow_down"),
];

#[test]
fn a_removal_is_judged_by_what_is_said_of_the_person() {
    for (body, expected) in REMOVALS {
        assert_eq!(judge(200, body, Remove), *expected, "{body}");
    }
}

#[test]
fn an_engines_participant_carries_its_error_beside_its_ids() {
    for (error, expected) in [(0, "done"), (403, "refused 403"), (404, "refused 404"), (429, "slow_down")] {
        let body = format!(
            r#"[{{"JID":"77@lid","PhoneNumber":"4915112345678@s.whatsapp.net","LID":"77@lid","IsAdmin":false,
                "IsSuperAdmin":false,"DisplayName":"","Error":{error},"AddRequest":null}}]"#
        );
        assert_eq!(judge(200, &body, Remove), expected, "{error}");
    }
}

/// Success shapes of a message (`wawp-api.md` §2.3) and errors inside a 200.
#[test]
fn a_message_is_sent_unless_the_answer_says_otherwise() {
    for (body, expected) in [
        (r#"{"sent":true,"upstream_status":201}"#, "done"),
        (
            r#"{"id":"true_4915112345678@c.us_3EB0","_data":{"Info":{"ID":"3EB0","Sender":"x","IsFromMe":true}}}"#,
            "done",
        ),
        (r#"{"_data":{"id":{"fromMe":true}}}"#, "done"),
        (r#"{"verified_at":"2026-01-01"}"#, "done"),
        (r#"{"key":{"id":"3EB0"},"status":"PENDING"}"#, "done"),
        (r#"{"id":"x","message":{"text":"error 463 is a rate-overlimit"}}"#, "done"),
        (r#""true_4915112345678@c.us_3EB0""#, "done"),
        ("", "done"),
        (r#"{"key":{"id":"3EB0"},"status":"ERROR"}"#, "refused"),
        (r#"{"error":"No LID for user"}"#, "wrong_identity"),
        (r#"{"error":{"code":463,"message":"server returned error"}}"#, "locked"),
        (r#"{"error":"Session status is not as expected"}"#, "not_ready"),
        (r#"{"error":"Timed Out"}"#, "unknown"),
        ("[]", "unknown"),
        ("false", "refused"),
        (r#"{"error":null,"id":"x"}"#, "done"),
    ] {
        assert_eq!(judge(201, body, Private), expected, "{body}");
    }
}

const NOT_WORKING: &str = r#"{"error":"Session status is not as expected. Try again later or restart the session",
    "session":"x","status":"STOPPED","expected":["WORKING"]}"#;

/// An error whose body echoes the request, as WAHA's do.
const ECHO: &str = r#"{"statusCode":500,"exception":{"message":"boom"},
    "request":{"path":"/","body":{"message":"too many requests, status 463"}}}"#;

/// WAHA's wrapping of an exception.
macro_rules! nested {
    ($text:literal) => {
        concat!(r#"{"statusCode":500,"exception":{"message":""#, $text, r#"","code":2,"stack":"a 429"}}"#)
    };
}

type Row = (u16, &'static str, What, &'static str);

/// Error envelopes and statuses (`wawp-api.md` §1, `whatsapp-reality.md` §3.2–3.3): the gateway itself refuses.
const REFUSED: &[Row] = &[
    (
        400,
        r#"{"status":400,"message":"missing required parameter(s)","error":"Bad Request"}"#,
        Remove,
        "wrong_identity",
    ),
    (400, "<error><message>missing parameter</message></error>", Remove, "wrong_identity"),
    (400, "missing parameter", Public, "refused 400"),
    (400, r#"{"message":"wid error: invalid wid"}"#, Private, "wrong_identity"),
    (401, r#"{"status":401,"message":"invalid token"}"#, Remove, "fatal"),
    (403, r#"{"code":"subscription_required","message":"upgrade","data":{"status":403}}"#, Setting, "fatal"),
    (403, r#"{"message":"Forbidden"}"#, Setting, "fatal"),
    (403, r#"{"message":"the instance is not an admin of the group"}"#, Remove, "refused 403"),
    (403, r#"{"code":"quota_reached","message":"group daily cap"}"#, Setting, "slow_down"),
    (
        404,
        r#"{"statusCode":404,"message":"Cannot GET /v2/groups/x/participants/v2","error":"Not Found"}"#,
        Read,
        "unsupported",
    ),
    (
        404,
        r#"{"code":"rest_no_route","message":"No route was found","data":{"status":404}}"#,
        Read,
        "unsupported",
    ),
    (404, "", Read, "unsupported"),
    (404, "<html>not found</html>", Remove, "unsupported"),
    (404, r#"{"message":"item-not-found"}"#, Remove, "refused 404"),
    (404, r#"{"message":"Session not found"}"#, Remove, "not_ready"),
    (405, "", Read, "unsupported"),
    (501, "", Read, "unsupported"),
    (406, "{}", Remove, "refused 406"),
    (409, "{}", Remove, "refused 409"),
    (417, "{}", Remove, "refused 417"),
    (419, "{}", Remove, "refused 419"),
    (408, "", Remove, "unknown"),
    (413, "", Public, "fatal"),
    (422, NOT_WORKING, Remove, "not_ready"),
    (422, NOT_WORKING, Read, "not_ready"),
    (
        422,
        r#"{"statusCode":422,"message":"method is not implemented by the engine","error":"Unprocessable"}"#,
        Setting,
        "unsupported",
    ),
    (
        422,
        r#"{"message":"Method not available in GOWS. NotImplementedByEngineError"}"#,
        Setting,
        "unsupported",
    ),
    (422, r#"{"message":"adminsOnly must be a boolean"}"#, Setting, "fatal"),
    (429, "", Private, "slow_down"),
    (429, "busy", Read, "slow_down"),
    (463, "", Private, "locked"),
];

/// The gateway failed, or WhatsApp refused behind it.
const FAILED: &[Row] = &[
    (500, "", Remove, "transient"),
    (500, "Internal Server Error", Private, "transient"),
    (500, r#"{"statusCode":500,"message":"Internal server error"}"#, Private, "transient"),
    (500, ECHO, Private, "transient"),
    (500, nested!("2 UNKNOWN: info query returned status 400: bad-request"), Remove, "wrong_identity"),
    (500, nested!("2 UNKNOWN: info query returned status 400: bad-request"), Setting, "refused 400"),
    (500, nested!("info query returned status 401: not-authorized"), Remove, "refused 401"),
    (500, nested!("info query returned status 403: forbidden"), Setting, "refused 403"),
    (500, nested!("info query returned status 404: item-not-found"), Remove, "refused 404"),
    (500, nested!("not-allowed"), Remove, "refused 405"),
    (500, nested!("info query returned status 419: resource-limit"), Remove, "refused 419"),
    (500, nested!("server returned error 463"), Private, "locked"),
    (500, nested!("info query returned status 429: rate-overlimit"), Read, "slow_down"),
    (500, r#"{"exception":{"message":"rate-overlimit","data":429}}"#, Read, "slow_down"),
    (500, r#"{"exception":{"message":"boom","data":403}}"#, Remove, "refused 403"),
    (500, r#"{"exception":{"message":"Timed Out","data":408}}"#, Private, "unknown"),
    (500, nested!("info query timed out"), Remove, "unknown"),
    (500, nested!("info query timed out"), Read, "transient"),
    (500, nested!("websocket disconnected before info query returned response"), Private, "unknown"),
    (500, nested!("websocket not connected"), Private, "not_ready"),
    (500, nested!("expected at least 1 children, but found 0"), Remove, "wrong_identity"),
    (500, nested!("Lid is missing in chat table"), Private, "wrong_identity"),
    (500, nested!("account_reachout_restricted"), Private, "locked"),
    (502, "", Remove, "unknown"),
    (502, "", Read, "transient"),
    (503, "", Private, "transient"),
    (504, "<html>gateway time-out</html>", Private, "unknown"),
    (520, "", Private, "unknown"),
    (521, "", Private, "transient"),
    (530, "", Remove, "transient"),
    (302, "", Read, "fatal"),
];

#[test]
fn an_error_status_is_judged_by_its_cause() {
    for (status, body, what, expected) in REFUSED.iter().chain(FAILED) {
        assert_eq!(judge(*status, body, *what), *expected, "{status} {what:?} {body}");
    }
}

#[test]
fn a_read_that_says_nothing_may_be_repeated_and_a_setting_that_says_nothing_is_done() {
    for (body, what, expected) in [
        ("", Read, "transient"),
        ("<xml/>", Read, "transient"),
        ("[]", Read, "done"),
        ("false", Read, "done"),
        (r#"{"adminsOnly":true}"#, Read, "done"),
        ("", Setting, "done"),
        ("AbCdEf123", Setting, "done"),
        ("not-authorized", Setting, "refused 401"),
        ("false", Setting, "refused"),
        ("true", Setting, "done"),
    ] {
        assert_eq!(judge(200, body, what), expected, "{what:?} {body}");
    }
}

#[test]
fn an_answer_that_broke_off_proves_nothing() {
    for (what, expected) in
        [(Remove, "unknown"), (Private, "unknown"), (Setting, "done"), (Read, "transient")]
    {
        let body = Body::read(br#"{"status":200"#, false, &[]);
        assert_eq!(verdict(classify(200, &HeaderMap::new(), body, what)), expected, "{what:?}");
    }
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date() {
    let wait = |retry: &'static str, date: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        match classify(429, &headers, Body::Empty, Read) {
            Err(CallError::SlowDown { retry_after, .. }) => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    let now = Some("Wed, 21 Oct 2026 07:28:00 GMT");
    assert_eq!(wait("17", None), Some(17));
    assert_eq!(wait("Wed, 21 Oct 2026 07:29:30 GMT", now), Some(90));
    assert_eq!(wait("Wed, 21 Oct 2026 07:00:00 GMT", now), Some(0), "already over");
    assert_eq!(wait("Wed, 21 Oct 2026 07:29:30 GMT", None), None, "against which clock?");
    assert_eq!(wait("soon", now), None);
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 100u16..1000, body in prop::collection::vec(any::<u8>(), 0..200)) {
        for what in [Remove, Private, Public, Setting, Read] {
            let _ = classify(status, &HeaderMap::new(), Body::read(&body, true, &[]), what);
        }
    }

    #[test]
    fn a_failing_code_of_a_person_is_never_done(code in 400u16..600) {
        for body in [format!(r#"[{{"Error":{code}}}]"#), format!(r#"[{{"status":"{code}"}}]"#),
            format!(r#"{{"1@lid":{{"code":{code}}}}}"#), format!(r#"{{"status":{code}}}"#)] {
            prop_assert_ne!(judge(200, &body, Remove), "done", "{}", body);
        }
    }
}
