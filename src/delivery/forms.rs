//! In which form of id a person is named: as the roster or event had it, after a mismatch in the other form, and if neither
//! is taken as a new roster has it (`whatsapp-reality.md` §2.4).
//!
//! An event may tell a phone where the group goes by LIDs. Nobody may stay inside for that, so a removal is refused as
//! wrongly named only after a roster was read that tells how the group names its people.

use super::{Clearance, Courier};
use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    ids::{GroupId, Lid, OutboxId, Phone},
    limits::Permit,
    store::{IdForm, Row, Settled, StoreError},
};
use std::{collections::BTreeMap, time::Duration};

/// Between two looks whether the roster has come.
pub(super) const LOOK: Duration = Duration::from_secs(15);

/// A roster that was read is in the directory by then.
const TAKEN_IN: Duration = Duration::from_secs(5);

/// What may still be tried after an id of the wrong form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextForm {
    /// The other form, which is known and has not been tried.
    Other,
    /// What a roster says.
    Roster,
    /// Nothing.
    None,
}

/// Rows whose first form of id was wrong. After a restart they begin anew.
#[derive(Debug, Default)]
pub(super) struct Forms {
    rows: BTreeMap<OutboxId, Tried>,
}

#[derive(Debug, Default)]
struct Tried {
    /// The other form is in use.
    other: bool,
    roster: Roster,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Roster {
    #[default]
    NotAsked,
    Awaited(GroupId),
    Read(Timestamp),
}

impl Forms {
    /// From now on in the other form.
    pub(super) fn turn(&mut self, id: OutboxId) {
        self.rows.entry(id).or_default().other = true;
    }

    /// Waits for a roster; what that says is tried like a first form.
    pub(super) fn await_roster(&mut self, id: OutboxId, group: GroupId) {
        self.rows.insert(id, Tried { other: false, roster: Roster::Awaited(group) });
    }

    /// A roster of the group was read.
    pub(super) fn roster_read(&mut self, group: &GroupId, now: Timestamp) {
        for tried in self.rows.values_mut().filter(|tried| tried.roster == Roster::Awaited(group.clone())) {
            tried.roster = Roster::Read(now);
        }
    }

    /// The row is over.
    pub(super) fn forget(&mut self, id: OutboxId) {
        self.rows.remove(&id);
    }

    fn is_other(&self, id: OutboxId) -> bool {
        self.rows.get(&id).is_some_and(|tried| tried.other)
    }

    fn next(&self, row: &Row) -> NextForm {
        let tried = self.rows.get(&row.id);
        if tried.is_none_or(|tried| !tried.other) && other_jid(row).is_some() {
            NextForm::Other
        } else if matches!(row.call, Call::Remove { .. })
            && tried.is_none_or(|tried| tried.roster == Roster::NotAsked)
        {
            NextForm::Roster
        } else {
            NextForm::None
        }
    }

    /// When to look whether the roster has come; `None`: the row may go.
    fn not_before(&self, id: OutboxId, now: Timestamp) -> Option<(Timestamp, Option<GroupId>)> {
        match &self.rows.get(&id)?.roster {
            Roster::NotAsked => None,
            Roster::Awaited(group) => Some((now + LOOK, Some(group.clone()))),
            Roster::Read(at) => Some((*at + TAKEN_IN, None)).filter(|(until, _)| now < *until),
        }
    }
}

impl Courier {
    /// What may be tried should the form that this row uses now be wrong.
    pub(super) fn next_form(&self, row: &Row, now: Timestamp) -> NextForm {
        let next = self.forms.next(row);
        let blind = || self.permit(&[crate::action::Class::Read], now) == Permit::Never;
        if next == NextForm::Roster && blind() { NextForm::None } else { next }
    }

    /// Puts off a row that waits for a roster. Its lane goes on: the others may be named rightly.
    pub(super) async fn lacks_form(
        &mut self,
        row: &Row,
        now: Timestamp,
    ) -> Result<Option<Clearance>, StoreError> {
        let Some((until, awaited)) = self.forms.not_before(row.id, now) else { return Ok(None) };
        if let Some(group) = awaited {
            self.wanted.ask_roster(group, now);
        }
        let note = row.note.clone();
        let later = Settled { state: RowState::Waiting, not_before: Some(until), note, counts: true };
        self.store.settle(None, vec![(row.id, later)], self.wall.now(), now).await?;
        Ok(Some(Clearance::Settled))
    }

    /// The other form did it: calls about this group's people use it from now on.
    pub(super) async fn remember_form(&self, row: &Row) -> Result<(), StoreError> {
        let (Some(group), true) = (row.call.group(), self.forms.is_other(row.id)) else {
            return Ok(());
        };
        let form = if self.jid(row).ends_with("@lid") { IdForm::Lid } else { IdForm::Phone };
        self.store.use_form(group, form).await
    }

    /// The id to use for the person: the form the roster or event used, or the other one after a mismatch.
    pub(super) fn jid(&self, row: &Row) -> String {
        let other = if self.forms.is_other(row.id) { other_jid(row) } else { None };
        other.unwrap_or_else(|| row.jid.clone())
    }
}

/// The person's id in the form that the row does not use, if it is known.
fn other_jid(row: &Row) -> Option<String> {
    let person = row.person?;
    if row.jid.ends_with("@lid") { person.phone.map(Phone::jid) } else { person.lid.map(Lid::jid) }
}
