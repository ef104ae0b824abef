//! What the gateway says of a session itself: state, account, webhooks, its own limits.

use super::{
    act::{Answer, Body, Stage, refused},
    route::Route,
};
use crate::simulator::session::{RateLimits, Session, Status};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// 422: the session is not connected.
pub(super) fn not_working(session: &str, status: Status) -> Answer {
    let body = json!({
        "error": "Session status is not as expected. Try again later or restart the session",
        "session": session, "status": status, "expected": ["WORKING"],
    });
    Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, Body::Json(body))
}

/// 403 in the vendor's other envelope.
fn subscription_required() -> Answer {
    let body = json!({
        "code": "subscription_required", "message": "This feature needs an active subscription.",
        "data": {"status": 403},
    });
    Answer::refusal(StatusCode::FORBIDDEN, Body::Json(body))
}

impl Stage<'_> {
    pub(super) fn about_session(&mut self, route: &Route) -> Answer {
        let Some(session) = self.world.sessions().get(self.session) else {
            return refused(StatusCode::UNAUTHORIZED, "the session is gone");
        };
        match route {
            Route::SessionMe => Answer::told(session.account(self.world)),
            Route::ReadWebhook | Route::WriteWebhook if session.free_plan => subscription_required(),
            Route::ReadWebhook => {
                Answer::told(json!({"webhooks": session.webhooks, "systemConfig": {"webhooks": []}}))
            }
            Route::WriteWebhook => self.write_webhook(),
            Route::RateLimit => rate_limit(session),
            Route::Lifecycle(status) => self.change_state(*status),
            _ => Answer::told(json!({
                "name": session.name, "status": session.status, "engine": "GOWS",
                "config": {"webhooks": session.webhooks, "proxy": null}, "me": session.account(self.world),
            })),
        }
    }

    fn write_webhook(&mut self) -> Answer {
        let webhooks = self.ask.body().get("webhooks").cloned().unwrap_or_else(|| json!([]));
        if let Some(session) = self.world.session_mut(self.session) {
            session.webhooks.clone_from(&webhooks);
        }
        Answer::done(Body::Json(json!({"success": true, "webhooks": webhooks})), None)
    }

    /// Start and restart pass through `STARTING`; all of it is told.
    fn change_state(&mut self, status: Status) -> Answer {
        let by_way_of = (status == Status::Working).then_some(Status::Starting);
        let mut changes = Vec::new();
        for status in by_way_of.into_iter().chain([status]) {
            changes.extend(self.world.set_status(self.session, status, self.now));
        }
        let name = self.world.sessions().get(self.session).map(|session| session.name.clone());
        Answer::done(Body::Json(json!({"name": name, "status": status})), changes)
    }
}

fn rate_limit(session: &Session) -> Answer {
    let policy = match &session.rate_limits {
        RateLimits::Missing => {
            return refused(StatusCode::NOT_FOUND, "no route was found matching the URL and request method");
        }
        RateLimits::Forbidden => return subscription_required(),
        RateLimits::Told(policy) => policy,
    };
    let mut listed = json!(policy);
    listed["slug"] = json!("strict");
    listed["available"] = json!(true);
    let others: Value = json!({"slug": "standard_policy", "available": true});
    Answer::told(json!({
        "policy_slug": "strict", "has_active_plan": true, "free_policies": ["strict", "standard_policy"],
        "policies": [listed, others],
    }))
}
