//! Second thoughts: what was told since a decision spares people whose removal still waits or is held.
//!
//! The second look just before a call would find the same; this one does not wait for the removal's turn, so that the
//! record says at once why somebody stays. It only ever cancels. Who left is cancelled where the leave is applied.

use super::Pipeline;
use crate::{
    action::RowState,
    facts::{Lookup, Standing},
    ids::{OutboxId, Phone},
    store::{Row, StoreError},
};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The payment side pushed something about this phone.
    Payment(Phone),
    /// A list was taken: the allowlist may name more people, and the others fewer.
    Lists,
}

impl Pipeline {
    /// Looks again at the removals that a change concerns and cancels those that are no longer asked for. Answers how
    /// many. A payment costs a run of the chain for each removal of that person; a list one for each removal that rests on
    /// a listing which is no more.
    pub async fn spare(&self, changed: Changed) -> Result<usize, StoreError> {
        let of = match changed {
            Changed::Payment(phone) => Some(phone),
            Changed::Lists => None,
        };
        let mut spared = Vec::new();
        for row in self.store.pending_removals(of).await? {
            let why = match changed {
                Changed::Payment(_) => self.no_longer_asked(&row).await?,
                Changed::Lists => match self.allowlisted_now(&row) {
                    None if self.is_unlisted_since(&row).await? => self.no_longer_asked(&row).await?,
                    why => why,
                },
            };
            spared.extend(why.map(|why| (row.id, why)));
        }
        self.withdraw(spared).await
    }

    async fn no_longer_asked(&self, row: &Row) -> Result<Option<String>, StoreError> {
        Ok(match self.reexamine(row).await? {
            Standing::Withdrawn(why) => Some(why),
            Standing::Asked | Standing::Refused(_) | Standing::Unclear(_) => None,
        })
    }

    /// Whether no list names somebody any more whose removal rests on that one did.
    async fn is_unlisted_since(&self, row: &Row) -> Result<bool, StoreError> {
        let Some(person) = row.person else { return Ok(false) };
        let listing = self.gathering.lists.blacklist(person, self.gathering.wall.now());
        if !matches!(listing, Lookup::Known { value: None, .. }) {
            return Ok(false);
        }
        let decision = self.store.decision(row.decision).await?;
        let evidence = decision.map(|decision| decision.verdict.evidence).unwrap_or_default();
        Ok(evidence.iter().any(|one| one.fact == "member.blacklist" && !one.value.is_null()))
    }

    fn allowlisted_now(&self, row: &Row) -> Option<String> {
        let listed = self.gathering.lists.allowlisted(row.person?, self.gathering.wall.now());
        matches!(listed, Lookup::Known { value: true, .. })
            .then(|| "the allowlist now names this person".to_owned())
    }

    async fn withdraw(&self, rows: Vec<(OutboxId, String)>) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let cancelled = self.store.withdraw(rows).await?;
        self.metrics.action("remove", RowState::Cancelled, cancelled);
        self.outbox_bell.send_replace(());
        Ok(cancelled)
    }
}
