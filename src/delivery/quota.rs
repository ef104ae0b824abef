//! The gateway's own limits: asked for at the start and once a day, they cap our ceilings.
//!
//! Where the gateway does not tell them the configured ceilings hold alone. What was told stays in force until something
//! else is.

use super::Courier;
use crate::{
    action::Class,
    clock::{Timestamp, format_duration},
    config::Window,
    limits::Cap,
    store::StoreError,
    wawp::{error::CallError, quota::Quota},
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A gateway that did not answer is asked again after this long; one that has no such route, after a day.
const AGAIN: Duration = Duration::from_secs(3600);
/// Writes wait for the first answer no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

const MESSAGES: &[Class] = &[Class::Dm, Class::GroupMessage];
const GROUP_CALLS: &[Class] =
    &[Class::GroupCreate, Class::Add, Class::Remove, Class::Settings, Class::GroupRead];
const CHECKS: &[Class] = &[Class::LookUp];

/// When to ask, and whether it was told that the answer is missing.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// When to ask next; `None` before the start.
    pub(super) due: Option<Timestamp>,
    /// Writes wait for the first answer until then: what was used up before a restart is known only by it.
    awaited_until: Option<Timestamp>,
    told_missing: bool,
    last: Option<Quota>,
}

impl Asking {
    /// Asks at once, at a start.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.due = Some(now);
        self.awaited_until = Some(now + PATIENCE);
    }

    /// Until when writes wait for the first answer.
    pub(super) fn awaited(&self, now: Timestamp) -> Option<Timestamp> {
        self.awaited_until.filter(|until| now < *until)
    }
}

/// The caps of a quota over what the gateway counts together.
fn caps(quota: &Quota) -> Vec<Cap> {
    let all = [
        ("send_message", MESSAGES, quota.messages_per_minute, MINUTE),
        ("send_message", MESSAGES, quota.messages_per_day, DAY),
        ("group_requests", GROUP_CALLS, quota.group_calls_per_minute, MINUTE),
        ("group_requests", GROUP_CALLS, quota.group_calls_per_day, DAY),
        ("checks", CHECKS, quota.checks_per_minute, MINUTE),
        ("checks", CHECKS, quota.checks_per_day, DAY),
    ];
    let cap = |(name, classes, calls, length)| {
        Option::<u32>::map(calls, |calls| Cap { name, classes, window: Window { calls, length } })
    };
    all.into_iter().filter_map(cap).collect()
}

impl Courier {
    /// Asks what the gateway allows, and keeps to it from now on.
    pub(super) async fn ask_quota(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.quota.due = Some(now + AGAIN);
        let client = self.client.clone();
        let answer = self.reading(&[Class::Read], async move { client.quota().await }).await?;
        self.quota.awaited_until = None;
        match answer {
            Ok(quota) => {
                self.quota.due = Some(now + DAY);
                self.heed_quota(quota);
            }
            Err(error) => {
                let passing = matches!(
                    error,
                    CallError::NotReady { .. }
                        | CallError::SlowDown { .. }
                        | CallError::Transient { .. }
                        | CallError::Unknown { .. }
                );
                if !passing {
                    self.quota.due = Some(now + DAY);
                }
                if !std::mem::replace(&mut self.quota.told_missing, true) {
                    tracing::info!(
                        session = %self.session, error = %error,
                        "the gateway does not tell its own limits; the configured ceilings hold alone"
                    );
                }
            }
        }
        Ok(())
    }

    fn heed_quota(&mut self, quota: Quota) {
        self.quota.told_missing = false;
        if self.quota.last.replace(quota) == Some(quota) {
            return;
        }
        let caps = caps(&quota);
        let gap = self.config.pacing.gap_min.max(quota.protection.unwrap_or_default());
        let told: Vec<String> = caps
            .iter()
            .map(|cap| format!("{} {}/{}", cap.name, cap.window.calls, format_duration(cap.window.length)))
            .collect();
        tracing::info!(
            session = %self.session, caps = told.join(", "), gap = format_duration(gap),
            "the gateway's own limits cap ours"
        );
        self.pacing.set_gap(gap);
        self.ceilings().set_caps(caps);
    }
}
