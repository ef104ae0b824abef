//! Whom a shared list would touch, before it does: the chains are asked about every member whom it names, with the fact
//! as it would be. Nothing is written.

use super::{
    Pipeline,
    gathering::Progress,
    guard::{self, Rail},
    reexamine::judged,
};
use crate::{
    config::{Mode, Trust},
    event::Hook,
    facts::{Answer, Facts, ListHit, Lookup, Need, Standing},
    ids::{DecisionId, EntryId, GroupId, Lid, Phone},
    policy::{Outcome, PolicySet},
    store::{RunInput, RunState, StoreError},
};
use serde::Serialize;

/// Whom a list would touch.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The list.
    pub list: String,
    /// The version that was asked about: the one that waits to be accepted, if one does.
    pub version: u64,
    /// How far the configuration trusts the list.
    pub trust: &'static str,
    /// Members whom it names now, by group.
    pub members: Vec<Touched>,
    /// Members whose number nobody knows yet, so that nobody can tell whether it names them.
    pub hidden: usize,
}

/// A member whom a list names.
#[derive(Clone, Debug, Serialize)]
pub struct Touched {
    /// Where.
    pub group: GroupId,
    /// The group's name.
    pub subject: String,
    /// Their number, where it is known.
    pub phone: Option<Phone>,
    /// Their LID, where it is known.
    pub lid: Option<Lid>,
    /// How they call themselves.
    pub name: Option<String>,
    /// The entry.
    pub entry: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Whether they would be removed, or held to be.
    pub touched: bool,
    /// What would become of them.
    pub fate: String,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum NoPreview {
    /// There is nothing to look at; a sentence.
    #[error("{0}")]
    Nothing(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipeline {
    /// Asks the chains about everybody inside whom that list names.
    ///
    /// # Errors
    /// [`NoPreview`]
    pub async fn preview(&self, list: &str) -> Result<Preview, NoPreview> {
        let lists = &self.gathering.lists;
        let (version, trust) = lists.preview_of(list).map_err(NoPreview::Nothing)?;
        let asks = trust == Trust::Ask;
        let (mut members, mut hidden) = (Vec::new(), 0);
        for (group, id, person) in self.store.present().await? {
            let now = self.gathering.wall.now();
            let found = lists.previewed(list, person, now).map_err(NoPreview::Nothing)?;
            hidden += usize::from(matches!(found, Some(Lookup::Unknown { .. })));
            let Some(Lookup::Known { value: Some(hit), .. }) = &found else { continue };
            let hit = hit.clone();
            let known = self.store.memberships(id).await?;
            let Some((facts, member)) = known.into_iter().find(|(facts, _)| facts.id == group) else {
                continue;
            };
            let (subject, name) = (facts.subject.clone(), member.name.clone());
            let sessions = &self.gathering.config.sessions;
            let session = sessions.iter().find(|s| facts.sessions.iter().any(|(name, _)| *name == s.name));
            let input = RunInput {
                id: DecisionId(0),
                entry: EntryId(0),
                hook: Hook::OnSweep,
                session: session.unwrap_or(&sessions[0]).name.clone(),
                now,
                round: 0,
                state: RunState::Pending,
                member: Some(member),
                group: facts,
                change: None,
                sweep: None,
            };
            let fate = match self.named_before(list, asks, &input) {
                _ if lists.may_be_excepted(person, now) => {
                    Err("stays: an exception of the local list".to_owned())
                }
                Some(other) => Err(format!("stays as it is: {other} names them already")),
                None => self.fate(&input, found.clone()).await,
            };
            let touched = fate.is_ok();
            let fate = fate.map_or_else(|why| why, |()| touches(trust).to_owned());
            members.push(Touched {
                group,
                subject,
                phone: person.phone,
                lid: person.lid,
                name,
                entry: hit.entry,
                reason: hit.reason,
                touched,
                fate,
            });
        }
        Ok(Preview { list: list.to_owned(), version, trust: trust.as_str(), members, hidden })
    }

    /// The list that comes before that one and names the member too: it has had its effect already.
    fn named_before(&self, list: &str, asks: bool, input: &RunInput) -> Option<String> {
        let (person, lists) = (input.member.as_ref()?.person, &self.gathering.lists);
        match lists.blacklist(person, self.gathering.wall.now()) {
            Lookup::Known { value: Some(ListHit { list: other, .. }), .. } if other != list => {
                (asks || !lists.asks(&other)).then_some(other)
            }
            _ => None,
        }
    }

    /// Whether the member would be removed if the fact was so; else why not.
    async fn fate(&self, input: &RunInput, blacklist: Option<Lookup<Option<ListHit>>>) -> Result<(), String> {
        let Some(block) = self.gathering.config.group_for(input.group.id.as_str()) else {
            return Err("stays: nobody guards this group".into());
        };
        let set = self.policies.current().ok_or("nobody can tell: no policy set is in force")?;
        if !set.defines(&block.chain, Hook::OnSweep) {
            return Err("stays: the chain has no on_sweep, so it looks at nobody who is inside".into());
        }
        let mut facts = self.gathering.base(input, block);
        facts.answers.extend(blacklist.map(|lookup| (Need::Blacklist, Answer::Blacklist(lookup))));
        let outcome = self.run_to_its_end(&set, block, input, &mut facts).await;
        let member = input.member.as_ref().ok_or("stays: nobody is meant")?;
        match judged(&outcome, input) {
            Standing::Asked => {}
            Standing::Withdrawn(_) | Standing::Refused(_) => {
                return Err("stays: the chain does not ask for a removal".into());
            }
            Standing::Unclear(why) => return Err(format!("stays while nobody can tell: {why}")),
        }
        let allowlisted = self.gathering.lists.allowlisted(member.person, self.gathering.wall.now());
        match guard::judge(input, member, &allowlisted) {
            Rail::Refused(why) => Err(format!("stays: {why}")),
            Rail::Unclear(why) => Err(format!("stays while nobody can tell: {why}")),
            Rail::Clear if block.mode == Mode::Observe => Err("stays: the group is in observe mode".into()),
            Rail::Clear => Ok(()),
        }
    }

    async fn run_to_its_end(
        &self,
        set: &PolicySet,
        block: &crate::config::Group,
        input: &RunInput,
        facts: &mut Facts,
    ) -> Outcome {
        loop {
            match self.gathering.advance(set, block, facts, None) {
                Progress::Finished(outcome) => return outcome,
                Progress::Missing(needs) => {
                    let answers = self.gathering.fetch(&input.session, facts, needs, None).await;
                    facts.answers.extend(answers);
                }
            }
        }
    }
}

/// What becomes of somebody whom a list of that trust touches.
fn touches(trust: Trust) -> &'static str {
    match trust {
        Trust::Watch => "would be removed if the list was enforced",
        Trust::Ask => "is held until an operator lets the removal go",
        Trust::Enforce => "is removed",
    }
}
