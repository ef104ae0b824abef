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

/// Judges a removal of the run's member. Where nobody told a role, only the joiner of the event may go at once: that is
/// the member of an `on_join`, and of the later look at the same join that an unknown fact asked for. Anybody else's
/// removal waits for a roster that tells it.
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
        return Rail::Unclear("the person's role in the group is not known".into());
    }
    Rail::Clear
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        event::Via,
        facts::GroupFacts,
        ids::{DecisionId, EntryId, GroupId, Lid, Person, PersonId, SessionName},
        store::RunState,
    };

    fn member(role: Role, adopted: bool) -> MemberFacts {
        MemberFacts {
            id: PersonId(1),
            person: Person::of_lid(Lid::from_u64(77_001)),
            jid: "77001@lid".into(),
            name: None,
            role,
            present: true,
            via: Via::Link,
            added_by: None,
            left_by: None,
            joined_at: Some(Timestamp(0)),
            adopted,
            joins: 1,
            removals: 0,
            groups: Vec::new(),
            messages: 0,
            last_message_at: None,
            wrote_to_us_at: None,
            tags: Vec::new(),
            is_own: false,
        }
    }

    fn run(hook: Hook, round: u32) -> RunInput {
        RunInput {
            id: DecisionId(1),
            entry: EntryId(1),
            hook,
            session: SessionName::new("main"),
            now: Timestamp(0),
            round,
            state: RunState::Pending,
            member: None,
            group: GroupFacts {
                id: GroupId::parse("120363000000000001@g.us").unwrap(),
                subject: String::new(),
                description: String::new(),
                size: 2,
                capacity: 1024,
                announce_only: None,
                archived: false,
                created_by_us: false,
                owner: None,
                tags: Vec::new(),
                sessions: Vec::new(),
                params: serde_json::Map::new(),
            },
            change: None,
            sweep: None,
        }
    }

    fn listed(value: bool) -> Lookup<bool> {
        Lookup::Known { value, as_of: Timestamp(0), source: "allowlist".into(), stale: false }
    }

    #[test]
    fn each_rail_stands() {
        let own = MemberFacts { is_own: true, ..member(Role::Member, false) };
        let cases = [
            ("a member", run(Hook::OnSweep, 0), member(Role::Member, true), listed(false), true),
            ("one of ours", run(Hook::OnJoin, 0), own, listed(false), false),
            ("an admin", run(Hook::OnJoin, 0), member(Role::Admin, false), listed(false), false),
            ("the creator", run(Hook::OnJoin, 0), member(Role::Creator, false), listed(false), false),
            ("a friend", run(Hook::OnJoin, 0), member(Role::Member, false), listed(true), false),
            (
                "role unknown, the joiner",
                run(Hook::OnJoin, 0),
                member(Role::Unknown, false),
                listed(false),
                true,
            ),
            ("the same join later", run(Hook::OnSweep, 1), member(Role::Unknown, false), listed(false), true),
            (
                "role unknown, in a sweep",
                run(Hook::OnSweep, 0),
                member(Role::Unknown, false),
                listed(false),
                false,
            ),
            (
                "role unknown, established",
                run(Hook::OnSweep, 1),
                member(Role::Unknown, true),
                listed(false),
                false,
            ),
        ];
        for (what, input, member, allowlisted, clear) in cases {
            assert_eq!(judge(&input, &member, &allowlisted) == Rail::Clear, clear, "{what}");
        }
        let sweep = judge(&run(Hook::OnSweep, 0), &member(Role::Unknown, false), &listed(false));
        assert!(matches!(sweep, Rail::Unclear(_)), "a roster tells their role");
        let unknown = Lookup::Unknown { why: "never loaded".into() };
        let unclear = judge(&run(Hook::OnJoin, 0), &member(Role::Member, false), &unknown);
        assert!(matches!(unclear, Rail::Unclear(_)), "unreachable is not unlisted");
    }
}
