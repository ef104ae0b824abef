//! May we? Calls that only an admin may make, made by somebody who is none, get numbers banned
//! (`whatsapp-reality.md` §3.4). What we are is in the directory, never a read per call (P5).
//!
//! Without the right a call waits as long as evidence may be awaited: somebody makes the number an admin, and it goes. Who
//! notices in the directory that a right is missing, and tells it, is [`crate::silence`]. Where nobody has told what we
//! are, the roster gets a moment to tell.

use super::{Clearance, Courier};
use crate::{
    action::RowState,
    clock::Timestamp,
    directory::ROSTER_LAG,
    ids::{GroupId, OutboxId},
    limits::Permit,
    store::{Authority, Row, StoreError},
    wawp::error::{CallError, Outcome},
};
use std::{collections::BTreeMap, time::Duration};

/// How long a roster gets to tell what we are. After that the call goes: a number that does not know itself in the roster
/// (told by phone here, by LID there) would never guard anything.
const ROSTER_PATIENCE: Duration = Duration::from_secs(5);
/// Meanwhile it is looked for this often.
const LOOK: Duration = Duration::from_millis(250);
/// A call that waits for a right looks again after this long.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// After the gateway said that we are no admin it is not asked again so soon, whatever the directory says.
const DENIED_FOR: Duration = Duration::from_secs(600);

/// What is known of our rights beyond the directory.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Groups in which nobody has told what we are, since when.
    untold: BTreeMap<GroupId, Timestamp>,
    /// Groups in which the gateway denied us the right, until when that is believed.
    denied: BTreeMap<GroupId, Timestamp>,
    /// Calls that wait for the right, since when.
    waiting: BTreeMap<OutboxId, Timestamp>,
}

impl Standing {
    /// Forgets calls that nobody asks about any more.
    pub(super) fn tidy(&mut self, now: Timestamp, patience: Duration) {
        self.waiting.retain(|_, since| now.since(*since) <= patience * 2 + LOOK_AGAIN);
    }
}

/// Whether the gateway refused a call because we are no admin of the group: nothing is wrong with the person then, so the
/// call waits for the right like those behind it.
pub(super) fn denies_right(row: &Row, error: &CallError) -> bool {
    let CallError::Refused { code: Some(401 | 403) | None, why } = error else { return false };
    let words = why.to_ascii_lowercase();
    row.call.needs_admin()
        && ["admin", "not-authorized", "permission"].iter().any(|word| words.contains(word))
}

impl Courier {
    /// Holds back a call that needs a right which we do not have; `None`: it may go on.
    pub(super) async fn lacks_right(
        &mut self,
        row: &Row,
        now: Timestamp,
    ) -> Result<Option<Clearance>, StoreError> {
        let Some(group) = row.call.group().filter(|_| row.call.needs_admin()).cloned() else {
            return Ok(None);
        };
        let denied = self.standing.denied.get(&group).is_some_and(|until| now < *until);
        match row.authority {
            Authority::Admin if !denied => {
                self.standing.untold.remove(&group);
                self.standing.waiting.remove(&row.id);
                Ok(None)
            }
            Authority::Untold if !denied => Ok(self.roster_may_tell(group, now)),
            Authority::None => {
                // The directory knows it by now, so it will know as well when the right is back.
                self.standing.denied.remove(&group);
                self.wait_for_right(row, group, now).await.map(Some)
            }
            Authority::Admin | Authority::Untold => self.wait_for_right(row, group, now).await.map(Some),
        }
    }

    fn roster_may_tell(&mut self, group: GroupId, now: Timestamp) -> Option<Clearance> {
        let since = match self.standing.untold.get(&group) {
            Some(since) => *since,
            None => {
                self.wanted.ask_roster(group.clone(), now);
                self.standing.untold.insert(group, now);
                now
            }
        };
        let never = self.permit(&[crate::action::Class::Read], now) == Permit::Never;
        (!never && now.since(since) < ROSTER_PATIENCE).then_some(Clearance::Wait(Some(now + LOOK)))
    }

    async fn wait_for_right(
        &mut self,
        row: &Row,
        group: GroupId,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        let why = format!("we are no admin of {group}; make the number of session {} an admin", self.session);
        let Some(since) = self.standing.waiting.get(&row.id).copied() else {
            self.standing.waiting.insert(row.id, now);
            return self.put_off(row, now + LOOK_AGAIN, Some(format!("waits: {why}")), now).await;
        };
        if now.since(since) < self.config.policies.evidence_wait {
            return Ok(Clearance::Wait(Some(now + LOOK_AGAIN)));
        }
        self.standing.waiting.remove(&row.id);
        self.end(row, RowState::Refused, why, now).await
    }

    /// The gateway says that we are no admin: it is believed for a while, and a roster that is no longer from a cache tells.
    /// The operator is told here, because the directory knows nothing of it.
    pub(super) async fn heed_denial(
        &mut self,
        row: &Row,
        outcome: &Outcome<()>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Err(error) = outcome else { return Ok(()) };
        let Some(group) = row.call.group().filter(|_| denies_right(row, error)) else { return Ok(()) };
        let CallError::Refused { why, .. } = error else { return Ok(()) };
        self.standing.denied.insert(group.clone(), now + DENIED_FOR);
        self.wanted.ask_roster(group.clone(), now + ROSTER_LAG);
        let text = format!(
            "{}: the gateway says that we are no admin of {group} ({why}); calls there wait, make the number an admin",
            self.session
        );
        self.alert("admin_rights", group.as_str(), &text).await
    }
}
