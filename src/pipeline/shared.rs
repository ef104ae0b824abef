//! What shared lists do to a decision: a list that asks has its removals held, one that watches leaves a note.

use super::Pipeline;
use crate::{
    action::{Call, RowState},
    event::Hook,
    facts::{Evidence, Verdict},
    store::{Effect, Raised, RunInput, RunRecord, StoreError},
};
use serde_json::json;
use std::collections::BTreeMap;

impl Pipeline {
    /// Holds removals that rest on a list whose trust is `ask`, and notes whom lists name that only watch.
    pub(super) fn mind_shared_lists(&self, input: &RunInput, record: &mut RunRecord) {
        self.hold_for_an_operator(input, record);
        self.note_watched(input, record);
    }

    /// Tells of versions that only watch how many people inside they name, each version once as far as `told` goes.
    pub async fn tell_watched(&self, told: &mut BTreeMap<String, u64>) -> Result<(), StoreError> {
        let (lists, now) = (&self.gathering.lists, self.gathering.wall.now());
        let new: Vec<_> =
            lists.watching().into_iter().filter(|(name, v)| told.get(name) != Some(v)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let present = self.store.present().await?;
        let named = present.iter().flat_map(|(_, _, person)| lists.watched(*person, now));
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for found in named {
            *counts.entry(found.hit.list).or_default() += 1;
        }
        for (name, version) in new {
            if let Some(count) = counts.get(&name) {
                let text = format!(
                    "shared list {name}, version {version}, names {count} of those who are inside; it only watches, so \
                     nothing is done for it; see whom with `perimeterd blacklist preview {name}`"
                );
                let key = format!("{name} {version} watches");
                self.store.alert(now, "shared_list", &key, &text).await?;
                self.tell_raised(&[Raised { kind: "shared_list", text }]);
            }
            told.insert(name, version);
        }
        Ok(())
    }

    fn hold_for_an_operator(&self, input: &RunInput, record: &mut RunRecord) {
        let lists = &self.gathering.lists;
        let mut asking = None;
        for row in &mut record.rows {
            let removes = matches!(row.call, Call::Remove { .. }) && row.state == RowState::Waiting;
            let Some((list, source)) = rests_on(&record.verdict, &row.policy) else { continue };
            if removes && lists.asks(list) {
                row.state = RowState::Held;
                row.note = Some(format!("held: {source} is trusted to ask, and a human decides"));
                asking = Some((list.to_owned(), source.to_owned()));
            }
        }
        let Some((list, source)) = asking else { return };
        let (group, tail) = (&input.group, input.group.id.tail());
        record.effects.push(Effect::Alert {
            kind: "shared_list".into(),
            key: format!("{list} asks in {}", group.id.as_str()),
            text: format!(
                "{source} names people in {} ({}), and it is trusted to ask: their removals are held; see who with \
                 `perimeterd outbox list --state held`, then let one go with `perimeterd outbox approve ID`, all with \
                 `perimeterd outbox approve --group {tail}`, or none with `perimeterd outbox cancel --group {tail}`",
                group.subject, group.id
            ),
        });
    }

    fn note_watched(&self, input: &RunInput, record: &mut RunRecord) {
        let Some(member) = input.member.as_ref().filter(|member| !member.is_own) else { return };
        if !matches!(input.hook, Hook::OnJoin | Hook::OnSweep) {
            return;
        }
        let now = self.gathering.wall.now();
        for found in self.gathering.lists.watched(member.person, now) {
            let list = &found.hit.list;
            record.verdict.evidence.push(Evidence {
                fact: format!("watched: {list}"),
                value: json!(found.hit),
                as_of: now,
                source: found.source.clone(),
                readers: Vec::new(),
                unknown: false,
                stale: found.stale,
            });
            // Those who are inside already were counted when the list was taken.
            if input.hook == Hook::OnJoin {
                let reason = found.hit.reason.as_deref().unwrap_or("no reason given");
                record.effects.push(Effect::Alert {
                    kind: "shared_list".into(),
                    key: format!("{list} names {} in {}", member.id.0, input.group.id.as_str()),
                    text: format!(
                        "{} names {}, who entered {}: {reason}; it only watches, so nothing was done for it",
                        found.source, member.person, input.group.subject
                    ),
                });
            }
        }
    }
}

/// The list, with its version, that a policy has read to name the member.
fn rests_on<'a>(verdict: &'a Verdict, policy: &str) -> Option<(&'a str, &'a str)> {
    let read = verdict.evidence.iter().find(|fact| fact.fact == "member.blacklist")?;
    let list = read.value.get("list")?.as_str()?;
    read.readers.iter().any(|reader| reader == policy).then_some((list, read.source.as_str()))
}
