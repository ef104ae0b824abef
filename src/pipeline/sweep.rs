//! A changed list sweeps the people already inside (DESIGN §7): what a list says now counts for everybody, not only for
//! who enters next.
//!
//! It only writes journal entries, one a group; the store makes runs of them, some members at a time.

use super::Pipeline;
use crate::{
    event::{Event, EventKind, Hook},
    ids::Person,
    store::{KnownGroup, NewEntry, Source, StoreError},
};

impl Pipeline {
    /// Has every member of every guarded group looked at again, where some policy of the chain has a hook for it. Answers
    /// how many groups that are.
    pub async fn sweep_everywhere(&self) -> Result<usize, StoreError> {
        let Some(set) = self.policies.current() else { return Ok(0) };
        let looks_again = |group: &KnownGroup| {
            let block = self.gathering.config.group_for(group.id.as_str());
            group.adopted && block.is_some_and(|block| set.defines(&block.chain, Hook::OnSweep))
        };
        let groups = self.store.groups().await?;
        let entries: Vec<NewEntry> =
            groups.iter().filter(|group| looks_again(group)).filter_map(|group| self.entry(group)).collect();
        let count = entries.len();
        if count > 0 {
            self.store.append(entries).await?;
            self.bell.notify_one();
        }
        Ok(count)
    }

    fn entry(&self, group: &KnownGroup) -> Option<NewEntry> {
        let now = self.steady.now();
        let sessions = &self.gathering.config.sessions;
        let session =
            sessions.iter().map(|session| &session.name).find(|name| group.sessions.contains(name))?;
        let kind = EventKind::Sweep { group: group.id.clone(), after: None };
        let event = Event { session: session.clone(), at: now, me: Person::default(), kind };
        Some(NewEntry {
            session: session.clone(),
            source: Source::Sweep,
            key: format!("{session}\0sweep {} {}", group.id.as_str(), now.0).into_bytes(),
            body: serde_json::to_vec(&event).ok()?.into(),
            received_at: now,
        })
    }
}
