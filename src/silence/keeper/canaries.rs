//! Canaries: sent out by the clock, missed when they do not come through.

use super::Keeper;
use crate::{
    clock::{Timestamp, format_duration},
    ids::SessionName,
    silence::{Sign, canary, rules},
};
use std::time::Duration;

/// So many intervals without a canary that came through are trouble.
const MISSED: u32 = 3;
/// The first canary sets out this soon after the door is open.
const FIRST: Duration = Duration::from_secs(10);

impl Keeper {
    /// The door is open: canaries set out.
    pub(super) fn set_out(&mut self) {
        let every = self.config.silence.canary;
        let now = self.steady.now();
        for mind in self.minds.values_mut().filter(|_| !every.is_zero()) {
            mind.canary_due = Some(now + every.min(FIRST));
            mind.canary_since = Some(now);
        }
    }

    pub(super) async fn look_at_canary(&mut self, name: &SessionName, now: Timestamp) -> Option<Timestamp> {
        let every = self.config.silence.canary;
        let mind = self.minds.get_mut(name)?;
        if mind.canary_due? <= now {
            mind.canary_due = Some(now + every);
            self.post_canary(name, now).await;
        }
        let mind = self.minds.get_mut(name)?;
        let last = self.pulse.beat(name)?.canary.max(mind.canary_since)?;
        let overdue = last + every * MISSED;
        if mind.canary_overdue || overdue > now {
            let watched = (!mind.canary_overdue).then_some(overdue);
            return [mind.canary_due, watched].into_iter().flatten().min();
        }
        mind.canary_overdue = true;
        let (due, failed) = (mind.canary_due, mind.failed_post.clone());
        let canaries = self.store.canaries(name, 20).await.unwrap_or_default();
        let (stage, why) = rules::stuck(&canaries, failed.as_deref());
        let lasts = format_duration(Duration::from_secs(now.since(last).as_secs().max(1)));
        let text = format!("{name}: no canary came through for {lasts}; stuck before `{stage}`: {why}");
        self.begins("canary", name.as_str(), &text).await;
        due
    }

    pub(super) async fn post_canary(&mut self, name: &SessionName, now: Timestamp) {
        let Some(poster) = self.door.poster.get().cloned() else { return };
        let nonce = canary::nonce();
        if let Err(error) = self.store.canary_begins(name, &nonce, now).await {
            if let Some(mind) = self.minds.get_mut(name) {
                mind.failed_post = Some(error.to_string());
            }
            return;
        }
        let (tell, session, body) = (self.tell.clone(), name.clone(), canary::body(name, &nonce, now));
        tokio::spawn(async move {
            let failed = poster.post(&session, body).await.err();
            let _ = tell.send(Sign::Posted { session, failed });
        });
    }

    pub(super) async fn canary_through(&mut self, name: &SessionName, posted_at: Timestamp) {
        self.pulse.with(name, |beat| beat.canary = beat.canary.max(Some(posted_at)));
        let fresh = self.steady.now().since(posted_at) < self.config.silence.canary * MISSED;
        let Some(mind) = self.minds.get_mut(name).filter(|mind| fresh && mind.canary_overdue) else { return };
        mind.canary_overdue = false;
        self.ends("canary", name.as_str(), &format!("{name}: canaries come through again")).await;
    }
}
