//! Second thoughts: what was told since a decision spares people whose removal still waits or is held.
//!
//! The second look just before a call would find the same; this one does not wait for the removal's turn, so that the
//! record says at once why somebody stays. It only ever cancels. Who left is cancelled where the leave is applied.

use super::{Pipeline, gathering::Gathering};
use crate::{
    action::RowState,
    facts::{Lookup, Standing},
    ids::{OutboxId, Phone},
    store::{PutOut, Raised, Row, StoreError},
};
use std::{collections::HashSet, time::Duration};

/// Who was put out longer ago than this is not spoken of when the allowlist names them.
const LATELY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The mark of whom the operators were told of.
const TOLD: &str = "allowlisted";

/// An alert names no more people than this.
const MOST_NAMED: usize = 20;

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

    /// Tells the operators, once, whom the allowlist names now and whom we have put out lately: no removal of theirs is left
    /// to be cancelled, so people decide.
    ///
    /// # Errors
    /// If the store fails; asked again, it tells what was not told.
    pub async fn tell_spared_too_late(&self) -> Result<(), StoreError> {
        let Gathering { lists, wall, .. } = &self.gathering;
        let now = wall.now();
        let gone = self.store.put_out(now - LATELY).await?.into_iter();
        let named: Vec<PutOut> = gone
            .filter(|gone| matches!(lists.allowlisted(gone.person, now), Lookup::Known { value: true, .. }))
            .collect();
        let before = self.store.sweep_mark(TOLD).await?.unwrap_or_default();
        let told: HashSet<&str> = before.split(' ').collect();
        let mark = named.iter().map(|gone| gone.row.to_string()).collect::<Vec<_>>().join(" ");
        let new: Vec<&PutOut> =
            named.iter().filter(|gone| !told.contains(gone.row.to_string().as_str())).collect();
        if let Some(last) = new.first() {
            let text = too_late(&new);
            self.store.alert(now, "allowlist", &last.row.to_string(), &text).await?;
            self.tell_raised(&[Raised { kind: "allowlist", text }]);
        }
        if mark != before {
            self.store.keep_sweep_mark((TOLD, mark)).await?;
        }
        Ok(())
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

/// Whom the allowlist names too late, and what brings them back.
fn too_late(gone: &[&PutOut]) -> String {
    let mut text = format!("the allowlist now names {} people who were removed before:", gone.len());
    for one in gone.iter().take(MOST_NAMED) {
        let PutOut { decision, subject, person, .. } = one;
        text +=
            &format!("\n{person} from {subject}; `perimeterd explain {decision}` tells how to take it back");
    }
    if let Some(more) = gone.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        text += &format!("\nand {more} others: `perimeterd outbox list --state done` has their decisions");
    }
    text
}
