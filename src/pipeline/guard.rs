//! The guard rails that no script can switch off (P7). Pure.

use crate::{
    event::{Hook, Role},
    facts::{Lookup, MemberFacts},
    store::RunInput,
};

/// What the rails say to a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rail {
    /// It may go on.
    Clear,
    /// Never; and why.
    Refused(String),
    /// Nobody can tell now whether the person is protected; and why.
    Unclear(String),
}

/// Judges a removal of the run's member. Where nobody told a role, only the joiner of the event may go: that is the
/// member of an `on_join`, and of the later look at the same join that an unknown fact asked for.
pub(super) fn judge(input: &RunInput, member: &MemberFacts, allowlisted: &Lookup<bool>) -> Rail {
    let group = &input.group;
    let refused = |why: &str| Rail::Refused(format!("guard rail: {why}"));
    if member.is_own {
        return refused("this is one of our own numbers");
    }
    if member.role == Role::Creator || group.owner.is_some_and(|owner| owner.same_as(member.person)) {
        return refused("this is the group's creator");
    }
    if member.role == Role::Admin {
        return refused("this is an admin of the group");
    }
    match allowlisted {
        Lookup::Known { value: true, .. } => return refused("the allowlist names this person"),
        Lookup::Known { value: false, .. } => {}
        Lookup::Unknown { why } => return Rail::Unclear(format!("the allowlist cannot be asked: {why}")),
    }
    let is_joiner = input.hook == Hook::OnJoin || (input.round > 0 && !member.adopted);
    if member.role == Role::Unknown && !is_joiner {
        return refused("the person's role in the group is not known");
    }
    Rail::Clear
}
