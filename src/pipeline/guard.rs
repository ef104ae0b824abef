//! The guard rails that no script can switch off (P7). Pure.

use crate::{
    event::{Hook, Role},
    facts::{GroupFacts, Lookup, MemberFacts},
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

/// Judges a removal of `member` from `group`, asked for in `hook`.
pub(super) fn judge(
    member: &MemberFacts,
    group: &GroupFacts,
    hook: Hook,
    allowlisted: &Lookup<bool>,
) -> Rail {
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
    if member.role == Role::Unknown && hook != Hook::OnJoin {
        return refused("the person's role in the group is not known");
    }
    Rail::Clear
}
