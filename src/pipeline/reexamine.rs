//! The second look just before a removal is sent (P5): the chain runs again on fresh facts.
//!
//! Called by the delivery through the composition root; it writes nothing.

use super::{
    Pipeline, decision,
    gathering::Progress,
    guard::{self, Rail},
};
use crate::{
    action::Action,
    config::Mode,
    event::Role,
    facts::{Facts, Standing, Verdict},
    policy::Outcome,
    store::{Decision, Row, RunInput, StoreError},
};

impl Pipeline {
    /// Looks again at a removal that is about to be sent.
    pub async fn reexamine(&self, row: &Row) -> Result<Standing, StoreError> {
        let Some(input) = self.store.run_inputs(vec![row.decision]).await?.pop() else {
            return Ok(Standing::Withdrawn("its decision is no longer on record".into()));
        };
        let Some(block) = self.gathering.config.group_for(input.group.id.as_str()) else {
            return Ok(Standing::Withdrawn("no [[groups]] block guards this group any more".into()));
        };
        if block.mode == Mode::Observe {
            return Ok(Standing::Withdrawn("the group is in observe mode now".into()));
        }
        let Some(member) = input.member.as_ref().filter(|member| member.present) else {
            return Ok(Standing::Withdrawn("the person is no longer in the group".into()));
        };
        // Whoever joins tells by it that the group is there, whatever a failed reading says of us.
        if input.sweep.is_some() && input.group.sessions.is_empty() {
            return Ok(Standing::Withdrawn("we are no longer in the group".into()));
        }
        let Some(set) = self.policies.current() else {
            return Ok(Standing::Unclear("no policy set is in force".into()));
        };
        let fresh_for = Some(self.gathering.config.policies.fresh_for);
        let mut facts = self.gathering.base(&input, block);
        if let Some(decision) = self.store.decision(row.decision).await? {
            before_its_own_tags(&decision, &mut facts);
            self.before_its_own_listing(&decision, &mut facts);
        }
        let outcome = loop {
            match self.gathering.advance(&set, block, &mut facts, fresh_for) {
                Progress::Finished(outcome) => break outcome,
                Progress::Missing(needs) => {
                    let answers = self.gathering.fetch(&input.session, &facts, needs, fresh_for).await;
                    facts.answers.extend(answers);
                }
            }
        };
        let allowlisted = self.gathering.lists.allowlisted(member.person, self.gathering.wall.now());
        let (standing, rail) = (judged(&outcome, &input), guard::judge(&input, member, &allowlisted));
        if member.role == Role::Unknown && standing == Standing::Asked && matches!(rail, Rail::Unclear(_)) {
            // Nobody there: the session is not this daemon's any more.
            let _ = self.rosters.send((input.session.clone(), input.group.id.clone()));
        }
        Ok(match (standing, rail) {
            (_, Rail::Refused(why)) => Standing::Refused(why),
            (Standing::Asked, Rail::Unclear(why)) => Standing::Unclear(why),
            (standing, _) => standing,
        })
    }
}

/// The tags as they were when the decision was made: a chain that tags and removes must not be talked out of it by its own
/// tag.
fn before_its_own_tags(decision: &Decision, facts: &mut Facts) {
    let Some(member) = facts.member.as_mut() else { return };
    for asked in decision.verdict.asked.iter().rev() {
        match &asked.action {
            Action::Tag { name, .. } if !had_tag(&decision.verdict, name) => {
                member.tags.retain(|tag| tag != name)
            }
            Action::Untag { name, .. } if !member.tags.contains(name) => member.tags.push(name.clone()),
            _ => {}
        }
    }
}

/// Whether the run read that the person had that tag already.
fn had_tag(verdict: &Verdict, name: &str) -> bool {
    verdict.evidence.iter().filter(|e| e.fact.contains("tag")).any(|e| {
        e.value == serde_json::Value::Bool(true) && e.fact.contains(name)
            || e.value.as_array().is_some_and(|tags| tags.iter().any(|tag| tag == name))
    })
}

/// Why the chain asks no more, as far as its evidence tells.
fn spared_by(verdict: &Verdict) -> String {
    let payment = verdict.evidence.iter().find(|e| e.fact == "member.subscription" && e.source == "pushed");
    let status = payment.and_then(|e| e.value.get("status")?.as_str());
    match status {
        Some(status) => format!("the chain no longer asks for it: the payment side reported {status}"),
        None => "the chain no longer asks for it".into(),
    }
}

/// What the run itself says. A removal stands only on facts that the policy asking for it has read fresh and known.
pub(super) fn judged(outcome: &Outcome, input: &RunInput) -> Standing {
    let verdict = match outcome {
        Outcome::Decided(verdict) => verdict,
        Outcome::Failed(error) => return Standing::Unclear(format!("the policy failed: {}", error.message)),
        Outcome::Needs(_) => return Standing::Unclear("the policy asks for ever more facts".into()),
    };
    let member = input.member.as_ref().map(|member| member.id);
    let removal = verdict
        .final_action()
        .filter(|asked| matches!(asked.action, Action::Remove { member: whom, .. } if Some(whom) == member));
    let Some(removal) = removal else {
        return Standing::Withdrawn(spared_by(verdict));
    };
    let shaky =
        verdict.evidence.iter().find(|e| (e.unknown || e.stale) && e.readers.contains(&removal.policy));
    match shaky {
        None => Standing::Asked,
        Some(e) if e.unknown => Standing::Unclear(format!("{} is unknown", e.fact)),
        Some(e) => Standing::Unclear(format!("{} is stale", e.fact)),
    }
}

impl Pipeline {
    /// The session that acts for a run.
    pub(super) fn acting(&self, input: &RunInput) -> crate::ids::SessionName {
        decision::acting_session(&self.gathering.config.sessions, input)
    }
}
