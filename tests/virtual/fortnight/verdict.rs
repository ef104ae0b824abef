//! The verdict over a fortnight: what the daemon believes and did, against the simulator's truth.

use super::{
    judge::Listed,
    world::{Club, Soul},
};
use perimeterd::{
    action::{Class, RowState},
    event,
    facts::{GroupFacts, MemberFacts},
    ids::{GroupId, Person},
    simulator::{Role, calls::broken_ceilings},
    store::{EntryState, Filter, Row},
};
use std::{collections::BTreeSet, time::Duration};

const ALL: Filter = Filter { limit: u32::MAX, before: None, state: None, member: None, entry: None };

/// What went wrong, in sentences.
pub(super) async fn of(club: &Club) -> Vec<String> {
    let mut wrong = std::mem::take(&mut club.truth().wrong);
    if club.lab.disk.spun() {
        wrong.push("the daemon span: it looked into the store for ever".into());
    }
    nothing_is_lost(club, &mut wrong).await;
    the_directory_is_true(club, &mut wrong).await;
    nothing_is_doubled(club, &mut wrong).await;
    no_offender_is_inside(club, &mut wrong).await;
    no_ceiling_is_broken(club, &mut wrong);
    if club.is_aloud() {
        club.tell(&format!("{} calls, {} starts", club.lab.sim.calls().len(), club.lab.starts()));
        for line in trace(club).await {
            eprintln!("{line}");
        }
    }
    wrong
}

/// Every webhook that got a 2xx is in the journal and was taken; nothing is left to do.
async fn nothing_is_lost(club: &Club, wrong: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    for body in club.lab.acknowledged() {
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let one = [body.clone()];
        let events = body.as_array().map_or(one.as_slice(), Vec::as_slice);
        ids.extend(events.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)));
    }
    for id in ids {
        match club.lab.store.entry_by_event_id(&id).await.unwrap() {
            None => wrong.push(format!("{id} was acknowledged and is lost")),
            Some(entry) => {
                let entry = club.lab.store.entry(entry).await.unwrap().unwrap();
                if matches!(entry.state, EntryState::New | EntryState::Unreadable | EntryState::PolicyError) {
                    wrong.push(format!("{id} is {:?}: {:?}", entry.state, entry.note));
                }
            }
        }
    }
    let depths = club.lab.store.depths().await.unwrap();
    if depths.unread + depths.pending_runs + depths.parked_runs > 0 {
        wrong.push(format!("work is left: {depths:?}"));
    }
    for row in rows(club).await {
        let is_open = matches!(row.state, RowState::Sending)
            || row.state == RowState::Waiting && row.call.class() != Class::Dm
            || row.state == RowState::Unknown && row.call.class() == Class::Remove;
        if is_open {
            wrong.push(format!("a row is left: {}", told(&row)));
        }
    }
}

async fn rows(club: &Club) -> Vec<Row> {
    club.lab.store.outbox(ALL).await.unwrap()
}

fn told(row: &Row) -> String {
    format!(
        "{} {} {} {:?} of {} due {} attempts {} {:?} {:?}",
        row.id,
        row.call.name(),
        row.state,
        row.person,
        row.decision,
        row.not_before,
        row.attempts,
        row.reason,
        row.note
    )
}

/// Everybody the world knows is inside or outside for the daemon as they are in truth, and in the same role.
async fn the_directory_is_true(club: &Club, wrong: &mut Vec<String>) {
    for soul in &club.souls {
        let known = memberships(club, *soul).await;
        for group in &club.groups {
            let truly = role(club, group, *soul);
            let there = known.iter().filter(|(there, member)| there.id == *group && member.present);
            let believed: Vec<_> = there.map(|(_, member)| member.role).collect();
            let same = match truly {
                None => believed.is_empty(),
                Some(truly) => believed.iter().any(|believed| same_role(truly, *believed)),
            };
            if !same {
                wrong.push(format!("{soul:?} in {group} is {truly:?}, the daemon believes {believed:?}"));
            }
        }
    }
}

/// Until somebody tells that a phone and a LID are one person's they are two for the daemon.
async fn memberships(club: &Club, soul: Soul) -> Vec<(GroupFacts, MemberFacts)> {
    let mut ids = BTreeSet::new();
    for one in [Person::of_phone(soul.phone), Person { phone: None, lid: Some(soul.lid) }] {
        ids.extend(club.lab.store.person(one).await.unwrap());
    }
    let mut known = Vec::new();
    for id in ids {
        known.extend(club.lab.store.memberships(id).await.unwrap());
    }
    known
}

fn role(club: &Club, group: &GroupId, soul: Soul) -> Option<Role> {
    club.lab.sim.with(|world| world.group(group)?.members.get(&soul.lid).copied())
}

fn same_role(truly: Role, believed: event::Role) -> bool {
    match truly {
        Role::Participant => believed == event::Role::Member,
        Role::Admin => believed == event::Role::Admin,
        Role::Superadmin => believed == event::Role::Creator,
    }
}

/// No message more than was decided, no decision more than there were joins.
async fn nothing_is_doubled(club: &Club, wrong: &mut Vec<String>) {
    let rows = rows(club).await;
    let decisions = club.lab.store.decisions(ALL).await.unwrap();
    for soul in &club.souls {
        let to_them = |row: &&Row| row.person.is_some_and(|person| person.same_as(soul.person()));
        let tried = rows.iter().filter(to_them).filter(|row| row.call.class() == Class::Dm);
        let tried = tried.filter(|row| row.attempts > 0).count();
        let sent = club.lab.sim.with(|world| {
            let to = |sent: &&perimeterd::simulator::world::Sent| {
                sent.to.is_some_and(|to| to.lid == Some(soul.lid))
            };
            world.sent().iter().filter(to).count()
        });
        if sent > tried {
            wrong.push(format!("{soul:?} got {sent} messages for {tried} that were decided"));
        }
        for group in &club.groups {
            let joined = club.truth().joins.get(&(group.clone(), soul.lid)).copied().unwrap_or(0);
            let judged = decisions.iter().filter(|decision| {
                decision.hook == event::Hook::OnJoin
                    && decision.group == *group
                    && decision.member.is_some_and(|member| member.same_as(soul.person()))
            });
            let judged = judged.count();
            // Until somebody tells that two ids are one person's they are two people, and a plain roster may well name
            // somebody by the id that no event told.
            let names = club.lab.sim.with(|world| if world.gateway.roster_v2 { 1 } else { 2 });
            if judged > joined as usize * names {
                wrong.push(format!("{soul:?} joined {group} {joined} times and was judged {judged} times"));
            }
        }
    }
}

/// Whoever could have been put out for a day is out, or the outbox says why not.
async fn no_offender_is_inside(club: &Club, wrong: &mut Vec<String>) {
    club.note_the_truth();
    let rows = rows(club).await;
    let (now, day) = (club.lab.elapsed(), Duration::from_secs(24 * 3600));
    for soul in &club.souls {
        let since = club.truth().removable_since.get(&soul.lid).copied();
        if since.is_none_or(|since| since + day > now) || !can_be_known(club, *soul) {
            continue;
        }
        for group in &club.groups {
            if role(club, group, *soul) != Some(Role::Participant) {
                continue;
            }
            let joined_since = club.truth().joined_at.get(&(group.clone(), soul.lid)).copied();
            if joined_since.is_none() || joined_since < since {
                // They were in before anything spoke against them; only a changed list looks at such people.
                continue;
            }
            let last = rows.iter().find(|row| {
                row.call.class() == Class::Remove
                    && row.call.group() == Some(group)
                    && row.person.is_some_and(|person| person.same_as(soul.person()))
            });
            // The gateway or a guard rail did not let them be put out, or nobody could say whether they pay for too long:
            // the outbox says so.
            let given_up = last.is_some_and(|row| match row.state {
                RowState::Refused | RowState::Dead => row.note.is_some(),
                _ => row.note.as_ref().is_some_and(|note| note.contains("no evidence within")),
            });
            if given_up {
                continue;
            }
            let why = last.map(told);
            wrong.push(format!("{soul:?} is still in {group}: {why:?}"));
        }
    }
}

/// Whether the daemon can find out what speaks against somebody: a number that is shown to nobody matches no list of
/// numbers and no payment.
fn can_be_known(club: &Club, soul: Soul) -> bool {
    let hides = club.lab.sim.with(|world| world.profile(soul.lid).is_some_and(|profile| profile.hides_phone));
    !hides || club.truth().listed.contains(&Listed::Lid(soul.lid))
}

/// At the gateway, per class, as the strictest reader counts.
fn no_ceiling_is_broken(club: &Club, wrong: &mut Vec<String>) {
    let calls = club.lab.sim.calls();
    for (class, windows) in &club.lab.config.limits {
        let windows: Vec<_> = windows.iter().map(|window| (window.calls as usize, window.length)).collect();
        for (most, length, found) in broken_ceilings(&calls, *class, &windows) {
            wrong.push(format!("{found} calls of {class:?} within {length:?}, at most {most} were allowed"));
        }
    }
}

/// What the gateway saw and what the daemon believes: a life, told in full.
pub(super) async fn trace(club: &Club) -> Vec<String> {
    let mut lines: Vec<String> = club
        .lab
        .sim
        .calls()
        .iter()
        .map(|call| {
            let who = call.person.map(|person| format!("{person:?}")).unwrap_or_default();
            let hours = call.at.as_secs_f64() / 3600.0;
            format!(
                "{hours:9.4} h  {} {who} {:?} {:?} {}",
                call.route,
                call.status,
                call.fault,
                if call.effect { "effect" } else { "" }
            )
        })
        .collect();
    for row in rows(club).await {
        lines.push(told(&row));
    }
    for decision in club.lab.store.decisions(ALL).await.unwrap() {
        let member = decision.member.map(|member| format!("{member:?}")).unwrap_or_default();
        lines.push(format!(
            "{} {:?} of {:?} in {} at {}, {:?}",
            decision.id, decision.hook, member, decision.group, decision.received_at, decision.state
        ));
    }
    for soul in &club.souls {
        for (group, member) in memberships(club, *soul).await {
            lines.push(format!("{soul:?} in {}: {} {:?}", group.id, member.present, member.role));
        }
    }
    lines
}
