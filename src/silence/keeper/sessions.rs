//! What a session is: silent, not ready, logged out, without rights, registered nowhere. Each is asked about and told.

use super::{Keeper, troubles::named};
use crate::{
    clock::Timestamp,
    config::Mode,
    ids::SessionName,
    silence::{
        Sign,
        rules::{self, NOT_READY, WORKING},
    },
    store::Rights,
    wawp::session::Webhook,
};
use std::time::Duration;

/// A session that calls find not ready may be on its way: trouble only if it lasts so long.
const ON_ITS_WAY: Duration = Duration::from_secs(60);
/// While there is trouble the gateway is asked this often whether it is over.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// How often the registration of webhooks is looked at.
const REGISTRATION_EVERY: Duration = Duration::from_secs(6 * 3600);

impl Keeper {
    /// A session that has been silent for too long is asked about before anybody is told.
    pub(super) async fn look_at_silence(&mut self, name: &SessionName, now: Timestamp) -> Option<Timestamp> {
        let after = self.config.silence.after;
        let beat = self.pulse.beat(name).filter(|_| !after.is_zero())?;
        let last = beat.heard.map_or(beat.since, |heard| heard.max(beat.since));
        if beat.silent {
            if beat.heard.is_some_and(|heard| heard > beat.since && now.since(heard) < after) {
                self.pulse.with(name, |beat| beat.silent = false);
                self.ends("silence", name.as_str(), &format!("{name}: webhooks come again")).await;
                return Some(now);
            }
            return None;
        }
        let due = last + after;
        if due > now {
            return Some(due);
        }
        let mind = self.minds.get_mut(name)?;
        if !std::mem::replace(&mut mind.asked_for_silence, true) {
            self.ask(name);
        }
        None
    }

    /// Asks the gateway in the background how a session is.
    pub(super) fn ask(&mut self, name: &SessionName) {
        let Some(mind) = self.minds.get_mut(name) else { return };
        if std::mem::replace(&mut mind.asking, true) {
            return;
        }
        let (gateway, tell, session) = (self.gateway.clone(), self.tell.clone(), name.clone());
        tokio::spawn(async move {
            let state = gateway.state(&session).await;
            let _ = tell.send(Sign::State { session, state });
        });
    }

    pub(super) async fn state_answered(&mut self, name: &SessionName, state: Result<String, String>) {
        let Some(mind) = self.minds.get_mut(name) else { return };
        mind.asking = false;
        let for_silence = std::mem::take(&mut mind.asked_for_silence);
        let (after, now) = (self.config.silence.after, self.steady.now());
        let beat = self.pulse.beat(name);
        let last = beat.map(|beat| beat.heard.map_or(beat.since, |heard| heard.max(beat.since)));
        if let Some(last) = last.filter(|last| for_silence && now.since(*last) >= after) {
            self.pulse.with(name, |beat| beat.silent = true);
            let text = rules::silence(name, now.since(last), &state);
            self.begins("silence", name.as_str(), &text).await;
        }
        if let Ok(state) = state {
            self.state_told(name, &state).await;
        }
    }

    pub(super) async fn state_told(&mut self, name: &SessionName, state: &str) {
        let before = self.pulse.with(name, |beat| beat.state.replace(state.to_owned())).flatten();
        if state == WORKING {
            // What happened while it was away was perhaps never told.
            if before.is_some_and(|before| before != WORKING) {
                self.gateway.look_everywhere(name);
            }
            return self.works(name).await;
        }
        let back_due = self.steady.now() + self.ask_again();
        let Some(mind) = self.minds.get_mut(name) else { return };
        mind.unready = None;
        mind.back_due = Some(back_due);
        if let Some(trouble) = rules::trouble(state) {
            self.begins("session", name.as_str(), &format!("{name} {trouble}")).await;
        }
    }

    pub(super) async fn works(&mut self, name: &SessionName) {
        if let Some(mind) = self.minds.get_mut(name) {
            (mind.unready, mind.back_due) = (None, None);
        }
        self.ends("session", name.as_str(), &format!("{name} works again")).await;
    }

    pub(super) fn not_ready(&mut self, name: &SessionName, why: String) {
        let now = self.steady.now();
        let known = self.pulse.with(name, |beat| match &beat.state {
            // A word of its own tells more.
            Some(state) if state != WORKING => true,
            _ => {
                beat.state = Some(NOT_READY.into());
                false
            }
        });
        if let (Some(false), Some(mind)) = (known, self.minds.get_mut(name)) {
            mind.unready = Some((now, why));
            mind.back_due = Some(now + ON_ITS_WAY);
        }
    }

    pub(super) async fn look_at_readiness(
        &mut self,
        name: &SessionName,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let again = self.ask_again();
        let mind = self.minds.get_mut(name)?;
        let lasting = mind.unready.as_ref().filter(|(since, _)| now.since(*since) >= ON_ITS_WAY);
        if let Some((_, why)) = lasting.cloned() {
            mind.unready = None;
            self.begins("session", name.as_str(), &format!("{name} is not ready: {why}")).await;
        }
        let mind = self.minds.get_mut(name)?;
        if mind.back_due.is_some_and(|due| due <= now) {
            mind.back_due = Some(now + again);
            self.ask(name);
        }
        let mind = self.minds.get(name)?;
        let lasts = mind.unready.as_ref().map(|(since, _)| *since + ON_ITS_WAY);
        [lasts, mind.back_due].into_iter().flatten().min()
    }

    /// How soon trouble is asked about again: as often as silence is looked for, if that is more often.
    pub(super) fn ask_again(&self) -> Duration {
        match self.config.silence.after {
            Duration::ZERO => ASK_AGAIN,
            after => ASK_AGAIN.min(after),
        }
    }

    pub(super) fn look_at_registration(&mut self, name: &SessionName, now: Timestamp) -> Option<Timestamp> {
        let mind = self.minds.get_mut(name)?;
        if mind.registration_due? <= now {
            mind.registration_due = Some(now + REGISTRATION_EVERY);
            let (gateway, tell, session) = (self.gateway.clone(), self.tell.clone(), name.clone());
            tokio::spawn(async move {
                let webhooks = gateway.webhooks(&session).await;
                let _ = tell.send(Sign::Webhooks { session, webhooks });
            });
        }
        mind.registration_due
    }

    pub(super) async fn webhooks_told(&mut self, name: &SessionName, told: Result<Vec<Webhook>, String>) {
        let Some(public) = &self.config.server.public_url else { return };
        let address = format!("{}/webhooks/{name}", public.trim_end_matches('/'));
        let (again, now) = (self.ask_again(), self.steady.now());
        let Some(mind) = self.minds.get_mut(name) else { return };
        match told.map(|webhooks| rules::registered(&webhooks, &address)) {
            Err(why) => {
                if !std::mem::replace(&mut mind.unchecked_told, true) {
                    tracing::info!(session = %name, why, "the registration of the webhook cannot be checked");
                }
            }
            Ok(Ok(())) => {
                self.ends("webhook", name.as_str(), &format!("{name}: the webhook is registered")).await
            }
            Ok(Err(why)) => {
                mind.registration_due = Some(now + again);
                self.begins("webhook", name.as_str(), &format!("{name}: {why}")).await;
            }
        }
    }

    /// Lost rights are told once per group, until they are regained. Where actions are only observed, a number that never
    /// was admin is no trouble.
    pub(super) async fn rights_told(&mut self, rights: &Rights) {
        let key = rights.group.as_str();
        let name = named(&rights.subject, &rights.group.to_string());
        let Some(block) = self.config.group_for(key) else { return };
        let needed = block.mode == Mode::Enforce && !block.chain.is_empty();
        if rights.now {
            self.ends("admin_rights", key, &format!("{name}: we are admin again")).await;
        } else if needed || rights.before == Some(true) {
            let text =
                format!("{name}: we are no admin there, so nobody can be removed; make our number an admin");
            self.begins("admin_rights", key, &text).await;
        }
    }
}
