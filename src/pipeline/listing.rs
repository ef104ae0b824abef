//! The local list between store and memory: whoever has changed it in the store has it taken up again.

use super::Pipeline;
use crate::{
    clock::Timestamp,
    facts::{Answer, Facts, Need},
    ids::DecisionId,
    lists::ListBook,
    store::{Decision, Effect, RunRecord, Store, StoreError},
};

/// Puts the local list in force as the store has it. If that fails it stays due, and the watch tries again.
///
/// # Errors
/// If the store cannot be read.
pub async fn take_local_list(store: &dyn Store, lists: &ListBook, now: Timestamp) -> Result<(), StoreError> {
    lists.set_local_due(true);
    lists.take_local(store.local_list(now).await?, now);
    lists.set_local_due(false);
    Ok(())
}

/// Whether records that are committed have changed the local list.
pub(super) fn changed_by<'a>(records: impl IntoIterator<Item = &'a RunRecord>) -> bool {
    let lists = |effect: &Effect| matches!(effect, Effect::ListLocally { .. });
    records.into_iter().any(|record| record.effects.iter().any(lists))
}

impl Pipeline {
    /// The lists as they were when the decision was made: a chain that lists somebody and removes must not be talked out of
    /// it by its own entry.
    pub(super) fn before_its_own_listing(&self, decision: &Decision, facts: &mut Facts) {
        let asked = decision.verdict.asked.iter();
        let lists = asked.map(|asked| asked.action.name()).any(|name| name == "blacklist_locally");
        let Some(member) = facts.member.as_ref().filter(|_| lists) else { return };
        let own: Option<DecisionId> = Some(decision.id);
        let now = self.gathering.wall.now();
        let answer = self.gathering.lists.blacklist_but(member.person, own, now);
        facts.answers.push((Need::Blacklist, Answer::Blacklist(answer)));
    }
}
