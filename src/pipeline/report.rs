//! What is told of entries and runs once they are committed: log and counters. Canaries count nowhere.

use super::Pipeline;
use crate::{
    config,
    event::{Event, EventKind},
    ids::{EntryId, GroupId},
    store::{EntryState, Reading, RunInput, RunRecord},
};

impl Pipeline {
    pub(super) fn tell_of_entries(&self, readings: &[(EntryId, Reading)]) {
        for (id, reading) in readings {
            if let Reading::Unreadable(why) = reading {
                tracing::warn!(entry = %id, why, "an entry cannot be understood, it is kept");
            }
            if is_canary(reading) {
                continue;
            }
            self.metrics.entry(match reading {
                Reading::Events(_) => EntryState::Applied,
                Reading::Nothing(_) => EntryState::Ignored,
                Reading::Unreadable(_) => EntryState::Unreadable,
            });
        }
    }

    /// Log and counters, after the commit.
    pub(super) fn tell(&self, input: &RunInput, record: &RunRecord) {
        if input.group.id == GroupId::none() {
            return;
        }
        let outcome = if record.failure.is_some() { "policy_error" } else { "decided" };
        let last = record.verdict.final_action().map_or("none", |asked| asked.action.name());
        self.metrics.decision(input.hook, outcome, last);
        let who = input.member.as_ref().map(|member| member.person).unwrap_or_default();
        for asked in &record.verdict.asked {
            match &asked.action {
                crate::action::Action::Log { text } => {
                    tracing::info!(decision = %input.id, policy = asked.policy, line = asked.line, "{text}");
                }
                action => tracing::info!(
                    decision = %input.id, group = %input.group.id, member = %who, hook = input.hook.function(),
                    policy = asked.policy, line = asked.line, reason = asked.reason, block = record.block,
                    observe = asked.observe || record.mode == config::Mode::Observe, "{}", action.name()
                ),
            }
        }
        for effect in &record.effects {
            if let crate::store::Effect::Alert { kind, text, .. } = effect {
                self.metrics.alert(kind);
                tracing::warn!(kind, decision = %input.id, "alert: {text}");
            }
        }
    }
}

/// Whether an entry is a canary, which counts nowhere.
fn is_canary(reading: &Reading) -> bool {
    matches!(reading, Reading::Events(events)
        if matches!(events[..], [Event { kind: EventKind::Canary { .. }, .. }]))
}
