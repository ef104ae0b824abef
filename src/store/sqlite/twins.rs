//! Two rows of one person, told by phone and by LID: their memberships, runs and calls become those of one.
//!
//! What the rows mean to each other is ruled by [`Membership::merged`]; who is who is found out in [`super::people`]. A
//! join told in both dialects was judged twice, or is about to be: one judgement of it stands, the calls of the other
//! that nobody has begun are taken back.

use super::{
    groups,
    members::{self, At},
    outbox, sweep,
};
use crate::{
    directory::{Membership, Merged},
    ids::{DecisionId, PersonId},
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Every table that names people by our number for them, and who makes two people's rows one. A new one is entered here
/// and handled in [`merge`] (a test reads the schema).
#[cfg(test)]
const NAME_PEOPLE: &[(&str, &str)] = &[
    ("decisions", "twins"),
    ("group_changes", "twins"),
    ("members", "twins"),
    ("outbox", "outbox::merge_people"),
    ("sessions", "people::merge"),
    ("spared", "brake::merge_people"),
    ("tags", "people::merge"),
];

/// The judgement of a join: its run and whatever came after it.
#[derive(Clone, Copy, Debug)]
struct Chain {
    person: PersonId,
    group: i64,
    /// The run of the join.
    run: DecisionId,
    decided: bool,
    /// It failed, and waits for somebody to mend its policy.
    parked: bool,
    /// Some run of it took a final action.
    settled: bool,
    /// Some run of it is to be looked at again, or is about to be.
    awaited: bool,
}

/// Makes the traces of `goes` those of `stays`. The rows of the people themselves are the caller's.
pub(super) fn merge(db: &Connection, stays: PersonId, goes: PersonId) -> Result<(), StoreError> {
    let mut absent = Vec::new();
    for group in shared_groups(db, stays, goes)? {
        let at = |person| At { group, person };
        let merged = merge_membership(db, at(stays), at(goes))?;
        if merged.same_join
            && let (Some(one), Some(other)) = (chain(db, at(stays))?, chain(db, at(goes))?)
        {
            one_judgement(db, one, other)?;
        }
        if !merged.membership.present {
            absent.push((group, merged.membership.removal_open));
        }
    }
    sweep::merged(db, stays, goes)?;
    for sql in [
        "UPDATE members SET person_id = ?1 WHERE person_id = ?2",
        "UPDATE decisions SET person_id = ?1 WHERE person_id = ?2",
        "UPDATE group_changes SET by_id = ?1 WHERE by_id = ?2",
    ] {
        db.prepare_cached(sql)?.execute([stays.0, goes.0])?;
    }
    outbox::merge_people(db, stays, goes)?;
    for (group, by_us) in absent {
        outbox::merged_away(db, At { group, person: stays }, by_us)?;
    }
    Ok(())
}

fn shared_groups(db: &Connection, one: PersonId, other: PersonId) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT a.group_id FROM members a JOIN members b USING (group_id)
               WHERE a.person_id = ? AND b.person_id = ?";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([one.0, other.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// One row of the two, with the counts of both: nobody is counted twice, and no join or removal told twice.
fn merge_membership(db: &Connection, stays: At, goes: At) -> Result<Merged, StoreError> {
    let (one, other) = (members::load(db, stays)?, members::load(db, goes)?);
    let merged = one.merged(&other);
    let Membership { present, joined_at, removed_at, .. } = merged.membership;
    groups::resize(db, stays.group, i64::from(present) - i64::from(one.present) - i64::from(other.present))?;
    // The row of the later membership leads; from an earlier one no role is carried over.
    let other_leads = !merged.same_join && other.joined_at > one.joined_at;
    // What the first roster found is the membership whose join was told besides.
    let adopted = |row: &Membership| row.adopted && row.present;
    let once = merged.same_join || adopted(&one) || adopted(&other);
    let base = if once { None } else { joined_at };
    if merged.same_join && one.removed_at.is_some() && other.removed_at.is_some() {
        let sql = "UPDATE people SET removals = max(0, removals - 1) WHERE id = ?";
        db.prepare_cached(sql)?.execute([goes.person.0])?;
    }
    let sql = "UPDATE members AS a SET
             present = ?4, joined_at = ?5, seen_at = ?6, left_at = ?7, removed_at = ?8, told_at = ?9, leave_told_at = ?15,
             removal_open = ?10, adopted = ?11,
             name = coalesce(a.name, b.name), added_by = coalesce(a.added_by, b.added_by),
             left_by = coalesce(a.left_by, b.left_by),
             via = CASE WHEN a.via IN ('unknown', 'reconciled') AND b.via <> 'unknown' THEN b.via ELSE a.via END,
             (role, role_at) = (
                 SELECT role, role_at FROM (
                     SELECT a.role, a.role_at, NOT ?12 AS leads UNION ALL SELECT b.role, b.role_at, ?12)
                 WHERE leads OR ?13 IS NULL OR role_at / 1000 >= ?13 / 1000
                 ORDER BY role <> 'unknown' DESC, role_at DESC, leads DESC LIMIT 1),
             joins = CASE WHEN ?14 THEN max(a.joins, b.joins) ELSE a.joins + b.joins END,
             messages = a.messages + b.messages,
             last_message_at = nullif(max(coalesce(a.last_message_at, 0), coalesce(b.last_message_at, 0)), 0)
         FROM members AS b
         WHERE a.group_id = ?1 AND b.group_id = ?1 AND a.person_id = ?2 AND b.person_id = ?3";
    let moment = |at: Option<crate::clock::Timestamp>| at.map(|at| at.0);
    db.prepare_cached(sql)?.execute(params![
        stays.group,
        stays.person.0,
        goes.person.0,
        present,
        moment(joined_at),
        moment(merged.membership.seen_at),
        moment(merged.membership.left_at),
        moment(removed_at),
        moment(merged.membership.told_at),
        merged.membership.removal_open,
        merged.membership.adopted,
        other_leads,
        moment(base),
        once,
        moment(merged.membership.leave_told_at)
    ])?;
    db.prepare_cached("DELETE FROM members WHERE group_id = ? AND person_id = ?")?
        .execute([goes.group, goes.person.0])?;
    Ok(merged)
}

/// The judgement of somebody's last join.
fn chain(db: &Connection, at: At) -> Result<Option<Chain>, StoreError> {
    let sql = "SELECT d.id, d.state = 'decided', d.state = 'policy_error',
                   EXISTS (SELECT 1 FROM decisions f WHERE f.person_id = d.person_id AND f.group_id = d.group_id
                           AND f.id >= d.id AND f.state = 'decided' AND f.final),
                   EXISTS (SELECT 1 FROM decisions r JOIN timers t ON t.decision_id = r.id AND t.kind = 'recheck'
                           WHERE r.person_id = d.person_id AND r.group_id = d.group_id AND r.id >= d.id)
                   OR EXISTS (SELECT 1 FROM decisions s WHERE s.person_id = d.person_id AND s.group_id = d.group_id
                              AND s.id > d.id AND s.state = 'pending' AND s.hook = 'on_sweep')
               FROM decisions d WHERE d.person_id = ?1 AND d.group_id = ?2 AND d.hook = 'on_join'
               ORDER BY d.id DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let run = DecisionId(row.get(0)?);
        let (decided, parked, settled, awaited) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Chain { person: at.person, group: at.group, run, decided, parked, settled, awaited })
    };
    Ok(db.prepare_cached(sql)?.query_row([at.person.0, at.group], read).optional()?)
}

/// One judgement of the same join stands: the one that settled it, else the one that goes on, else the first one.
fn one_judgement(db: &Connection, one: Chain, other: Chain) -> Result<(), StoreError> {
    let rank = |chain: &Chain| (!chain.settled, chain.parked, !chain.decided, !chain.awaited, chain.run);
    let (stands, falls) = if rank(&one) <= rank(&other) { (one, other) } else { (other, one) };
    outbox::drop_doubled(db, (stands.person, stands.run), (falls.person, falls.run), stands.group)?;
    let traces = params![falls.person.0, falls.group, falls.run.0];
    for sql in [
        "DELETE FROM timers WHERE kind = 'recheck' AND decision_id IN (
             SELECT id FROM decisions WHERE person_id = ?1 AND group_id = ?2 AND id >= ?3)",
        "DELETE FROM decisions WHERE person_id = ?1 AND group_id = ?2 AND id >= ?3
             AND state = 'pending' AND hook IN ('on_join', 'on_sweep')",
    ] {
        db.prepare_cached(sql)?.execute(traces)?;
    }
    // A recheck of it may have fired already.
    let sql = "UPDATE decisions SET twin_id = ?4 WHERE person_id = ?1 AND group_id = ?2 AND id >= ?3";
    db.prepare_cached(sql)?.execute(params![falls.person.0, falls.group, falls.run.0, stands.run.0])?;
    if stands.settled {
        // What settled it may be older than a sweep of it that is on its way.
        let sql = "DELETE FROM decisions WHERE person_id = ?1 AND group_id = ?2 AND id >= ?3
                   AND state = 'pending' AND hook = 'on_sweep' AND round > 0";
        db.prepare_cached(sql)?.execute(params![stands.person.0, stands.group, stands.run.0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::sync::Arc;

    #[test]
    fn every_table_that_names_people_is_merged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("perimeterd.db");
        drop(super::super::open(&file, Arc::new(SystemClock::new())).unwrap());
        let db = Connection::open(&file).unwrap();
        let sql = "SELECT t.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
                   WHERE t.type = 'table' AND (c.name LIKE '%person%' OR c.name LIKE '%member%' OR c.name = 'by_id') ORDER BY t.name";
        let mut select = db.prepare(sql).unwrap();
        let found: Vec<String> =
            select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let listed: Vec<&str> = NAME_PEOPLE.iter().map(|(table, _)| *table).collect();
        assert_eq!(found, listed, "enter new tables in NAME_PEOPLE, and make `merge` rewrite them");
    }
}
