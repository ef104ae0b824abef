//! What happened since the last look: decisions made, and rows that reached a state worth telling.

use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    event::Hook,
    ids::{DecisionId, OutboxId},
    store::{Decision, Filter, Row, RunState, Store, StoreError},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// More than any day of the demo brings.
const EVERYTHING: u32 = 1000;

/// One thing to be told.
pub(super) enum Happening {
    /// A run was made.
    Decided(Box<Decision>),
    /// Rows reached a state; several only if they went out as one message.
    Became(Vec<Row>),
}

/// Follows the store.
pub(super) struct Chronicle {
    store: Arc<dyn Store>,
    decisions: BTreeMap<DecisionId, Decision>,
    told: HashMap<OutboxId, RowState>,
}

impl Chronicle {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, decisions: BTreeMap::new(), told: HashMap::new() }
    }

    /// Everything new, in the order of decisions; what became of a row comes after its decision.
    pub(super) async fn look(&mut self) -> Result<Vec<Happening>, StoreError> {
        let filter = Filter { limit: EVERYTHING, ..Filter::default() };
        let mut seen = self.store.decisions(filter).await?;
        seen.retain(|decision| decision.state != RunState::Pending);
        seen.sort_by_key(|decision| decision.id);
        let mut happenings = Vec::new();
        let mut rows = Vec::new();
        for decision in seen {
            rows.extend(decision.rows.iter().filter(|row| self.is_news(row)).cloned());
            let known = self.decisions.insert(decision.id, decision.clone());
            if known.is_none_or(|known| known.state != decision.state) {
                happenings.push(Happening::Decided(Box::new(decision)));
            }
        }
        self.told.extend(rows.iter().map(|row| (row.id, row.state)));
        happenings.extend(together(rows).into_iter().map(Happening::Became));
        Ok(happenings)
    }

    fn is_news(&self, row: &Row) -> bool {
        !matches!(row.state, RowState::Waiting | RowState::Sending)
            && self.told.get(&row.id) != Some(&row.state)
    }

    /// Whether nothing is under way; rows that have no place under the ceilings until `horizon` are not waited for.
    pub(super) async fn is_settled(&self, horizon: Timestamp) -> Result<bool, StoreError> {
        let depths = self.store.depths().await?;
        if depths.unread > 0 || depths.pending_runs > 0 {
            return Ok(false);
        }
        let under_way = self.rows().any(|row| match row.state {
            RowState::Sending | RowState::Unknown => true,
            RowState::Waiting => row.not_before <= horizon,
            _ => false,
        });
        Ok(!under_way)
    }

    /// Every decision so far, in order.
    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.values()
    }

    /// Decisions about people who came.
    pub(super) fn joins(&self) -> impl Iterator<Item = &Decision> {
        self.decisions().filter(|decision| decision.hook == Hook::OnJoin)
    }

    /// Every row so far.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.decisions().flat_map(|decision| &decision.rows)
    }

    /// The welcomes that went out, each with everybody in it.
    pub(super) fn welcomes(&self) -> Vec<Vec<Row>> {
        let done = self.rows().filter(|row| is_welcome(row) && row.state == RowState::Done);
        together(done.cloned().collect())
    }
}

/// Puts the rows of one message together; everything else stays alone. In the order of their end.
fn together(mut rows: Vec<Row>) -> Vec<Vec<Row>> {
    rows.sort_by_key(|row| (row.settled_at, row.id));
    let mut together: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let same = |other: &Row| {
            is_welcome(other)
                && is_welcome(&row)
                && (other.state, other.not_before) == (row.state, row.not_before)
        };
        match together.iter_mut().find(|group| group.first().is_some_and(same)) {
            Some(group) => group.push(row),
            None => together.push(vec![row]),
        }
    }
    together
}

fn is_welcome(row: &Row) -> bool {
    matches!(row.call, Call::Welcome { .. })
}
