//! What a list caused is lifted when the list takes it back: removals that wait or are held are cancelled with the reason,
//! tags go, and of those who are out already the operators get the list, with the command that tells how each is invited back.

use super::Pipeline;
use crate::{
    action::RowState,
    clock::Timestamp,
    facts::{Lookup, Standing},
    ids::DecisionId,
    store::{Caused, Lifted, Raised, Row, StoreError},
};
use std::collections::HashMap;

/// An alert names no more people than this.
const MOST_NAMED: usize = 20;

impl Pipeline {
    /// Looks for entries of shared lists that decisions rest on and that hold no longer. Answers how many removals were
    /// cancelled. A removal that the chain still asks for, on other grounds, stays.
    pub async fn lift(&self) -> Result<usize, StoreError> {
        let mut cancelled = 0;
        let names: Vec<String> = self.gathering.lists.shared_names().map(str::to_owned).collect();
        for list in names {
            cancelled += self.lift_of(&list).await?;
        }
        if cancelled > 0 {
            self.metrics.action("remove", RowState::Cancelled, cancelled);
            self.outbox_bell.send_replace(());
        }
        Ok(cancelled)
    }

    async fn lift_of(&self, list: &str) -> Result<usize, StoreError> {
        let now = self.gathering.wall.now();
        let caused = self.store.caused_by(list).await?.into_iter();
        let gone: Vec<_> = caused
            .filter_map(|caused| Some((self.gathering.lists.gone(list, &caused.entry, now)?, caused)))
            .collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let mut pending: HashMap<DecisionId, Vec<Row>> = HashMap::new();
        for row in self.store.pending_removals(None).await? {
            pending.entry(row.decision).or_default().push(row);
        }
        let (mut lifted, mut out) = (Vec::with_capacity(gone.len()), Vec::new());
        for (gone, caused) in gone {
            let mut removals = Vec::new();
            for row in pending.remove(&caused.decision).unwrap_or_default() {
                if matches!(self.reexamine(&row).await?, Standing::Withdrawn(_)) {
                    removals.push((row.id, gone.why.clone()));
                }
            }
            // An entry that has come to its end was right while it lasted.
            lifted.push(Lifted { decision: caused.decision, removals, tags: gone.taken_back });
            if gone.taken_back && caused.removal == Some(RowState::Done) && !self.is_listed(&caused, now) {
                out.push((gone.why, caused));
            }
        }
        let alert = (!out.is_empty()).then(|| {
            let key =
                format!("{list} took back {}", out.iter().map(|(_, c)| c.decision.0).max().unwrap_or(0));
            (Raised { kind: "shared_list", text: told(list, &out) }, key)
        });
        if let Some((raised, _)) = &alert {
            self.tell_raised(std::slice::from_ref(raised));
        }
        self.store.lift(lifted, alert, now).await
    }

    /// Whether another list names them, so that nobody would have them back.
    fn is_listed(&self, caused: &Caused, now: Timestamp) -> bool {
        matches!(self.gathering.lists.blacklist(caused.person, now), Lookup::Known { value: Some(_), .. })
    }
}

/// Who is out on the word of entries that were taken back, and how each is asked back in.
fn told(list: &str, out: &[(String, Caused)]) -> String {
    let mut text = format!(
        "shared list {list} has taken back what it said of {} people who were removed on its word:",
        out.len()
    );
    for (why, caused) in out.iter().take(MOST_NAMED) {
        let why = why.split_once("): ").map_or(why.as_str(), |(_, why)| why);
        text += &format!(
            "\n{} from {}: {why}; `perimeterd explain {}` tells how to take it back",
            caused.person, caused.subject, caused.decision
        );
    }
    if let Some(more) = out.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        text += &format!("\nand {more} others: `perimeterd outbox list --state done` has their decisions");
    }
    text
}
