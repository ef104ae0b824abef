//! What asks for a sweep, and in which groups it looks (DESIGN §7): what a list or the payment side says now counts for
//! everybody inside, not only for who enters next.
//!
//! It only begins sweeps. The pipeline moves them on when nobody else's run waits, a step at a time.

use super::Pipeline;
use crate::{
    config::Config,
    event::Hook,
    ids::SweepId,
    policy::PolicySet,
    store::{Cause, KnownGroup, Mark, NewSweep, Place, StoreError, Whom},
};

impl Pipeline {
    /// Has members looked at again, in every guarded group where some policy of the chain has a hook for it. Keeps the
    /// mark in any case. `None`: there is nobody to look at.
    pub async fn sweep(
        &self,
        cause: Cause,
        whom: Whom,
        mark: Option<Mark>,
    ) -> Result<Option<SweepId>, StoreError> {
        let groups = self.store.groups().await?;
        let set = self.policies.current();
        let places = set.map(|set| places(&self.gathering.config, &groups, Some(&set))).unwrap_or_default();
        let asked_at = self.steady.now();
        let begun = self.store.begin_sweep(NewSweep { cause, whom, places, asked_at, mark }).await?;
        if begun.is_some() {
            self.bell.notify_one();
        }
        Ok(begun)
    }
}

/// The guarded groups whose policies look again, each with the first of our sessions that is in it. Without a policy set:
/// all guarded groups.
pub fn places(config: &Config, groups: &[KnownGroup], set: Option<&PolicySet>) -> Vec<Place> {
    let looks_again = |group: &&KnownGroup| {
        let block = config.group_for(group.id.as_str());
        let hook = |chain| set.is_none_or(|set| set.defines(chain, Hook::OnSweep));
        group.adopted && block.is_some_and(|block| hook(&block.chain))
    };
    let place = |group: &KnownGroup| {
        let mut sessions = config.sessions.iter().map(|session| &session.name);
        Some((sessions.find(|name| group.sessions.contains(name))?.clone(), group.id.clone()))
    };
    groups.iter().filter(looks_again).filter_map(place).collect()
}
