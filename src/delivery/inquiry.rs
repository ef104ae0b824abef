//! Who is behind an id: phones that a run asks for now, people whose runs or removals wait for their other id, ids
//! that lists name (those are [`super::listed`]'s).
//!
//! Only the first has somebody waiting for the answer. The other two are background: they come after every other read, and
//! leave places of each ceiling to those. What is learnt goes to the store, which wakes whoever waited for it; when to ask
//! is [`crate::identity`]'s.

use super::Courier;
use crate::{
    action::Class,
    clock::Timestamp,
    identity::{Hidden, Learnt, LearntFrom, OnlyId, PRESSING_FOR, ask_again_after},
    ids::{Lid, Phone},
    limits::Permit,
    store::StoreError,
    wawp::error::CallError,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::oneshot;

/// More hidden people than this are looked for in the gateway's list of pairs, page by page.
const FEW: usize = 3;
/// Hidden people looked at together.
const HIDDEN_AT_ONCE: u32 = 256;
/// Pairs asked for in one page, and what a page holds at least if others follow (the vendor's own limit).
const PAGE: usize = 500;
const LEAST_PAGE: usize = 100;
/// Between two looks at who is hidden, however often the bell rings.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While the background has had its share of a ceiling.
const SHARE_USED: Duration = Duration::from_secs(3);
/// After a start the rosters come first.
const NUMBERS_FROM: Duration = Duration::from_secs(5);

/// Somebody wants to know the phone behind a LID.
pub struct PhoneRequest {
    /// The LID.
    pub lid: Lid,
    /// Where the answer goes; nobody there is fine. `None`: the gateway does not know it. `Err`: it was not asked, or
    /// could not tell, and why.
    pub answer: oneshot::Sender<Result<Option<Phone>, String>>,
}

/// What the background leaves of a ceiling to others.
#[derive(Clone, Copy)]
enum Leaving {
    /// One place.
    One,
    /// Half of the places.
    Half,
}

/// What the background asks, and when.
pub(super) struct Inquiry {
    /// When to look who is hidden; `None`: when the bell rings.
    hidden_due: Option<Timestamp>,
    looked_at: Timestamp,
    /// When a hidden person was asked about last.
    asked: BTreeMap<OnlyId, Timestamp>,
    /// The next page of the list of pairs, while it is being read.
    page_from: Option<usize>,
    /// How many pages it has.
    pages: Option<usize>,
    /// The pages read so far named somebody who was looked for.
    found: bool,
    /// They named nobody: one of them is asked about, to see whether the list is to be believed.
    doubted: bool,
    /// When to look at the numbers of lists.
    pub(super) numbers_due: Timestamp,
    /// No number is asked about before.
    pub(super) numbers_from: Timestamp,
    /// The gateway knows no LID of this one: whether anybody has it is asked next.
    pub(super) doubtful: Option<Phone>,
    /// The LIDs of lists whose phone is unknown, with when each was asked about last.
    pub(super) unpaired: BTreeMap<Lid, Option<Timestamp>>,
}

impl Inquiry {
    pub(super) fn new(now: Timestamp, unpaired: Vec<Lid>) -> Self {
        Self {
            hidden_due: Some(now),
            looked_at: Timestamp(0),
            asked: BTreeMap::new(),
            page_from: None,
            pages: None,
            found: false,
            doubted: false,
            numbers_due: now,
            numbers_from: now + NUMBERS_FROM,
            doubtful: None,
            unpaired: unpaired.into_iter().map(|lid| (lid, None)).collect(),
        }
    }

    /// The outbox changed: a run may have met somebody hidden.
    pub(super) fn bell(&mut self) {
        let due = self.looked_at + LOOK_AGAIN;
        self.hidden_due = Some(self.hidden_due.map_or(due, |planned| planned.min(due)));
    }

    /// Of the hidden ones, those to be asked about now; and when the first of the others is due. Ages are counted to
    /// `wall`, by which events are received, pauses by `now`.
    fn pressing(
        &mut self,
        hidden: &[Hidden],
        wall: Timestamp,
        now: Timestamp,
    ) -> (Vec<OnlyId>, Option<Timestamp>) {
        self.asked.retain(|id, _| hidden.iter().any(|one| one.id == *id));
        let (mut due, mut next) = (Vec::new(), None);
        for one in hidden {
            let age = wall.since(one.since);
            let Some(pause) = ask_again_after(age) else { continue };
            // The run of somebody hidden has just asked; for a LID nobody has.
            let first = || match one.id {
                OnlyId::Lid(_) => now + pause.saturating_sub(age),
                OnlyId::Phone(_) => now,
            };
            let at = self.asked.get(&one.id).map_or_else(first, |last| *last + pause);
            if at <= now { due.push(one.id) } else { next = [next, Some(at)].into_iter().flatten().min() }
        }
        (due, next)
    }
}

impl Courier {
    /// Answers whoever asks for a phone, at once: from the gateway if the ceiling permits, else "not now".
    pub(super) async fn answer_phone(&mut self, request: PhoneRequest) -> Result<(), StoreError> {
        if request.answer.is_closed() {
            return Ok(());
        }
        if self.permit(Class::READ_OF_PERSON, self.steady.now()) != Permit::Granted || self.is_paused() {
            let why = "the number is hidden and the ceiling for reads is used up";
            let _ = request.answer.send(Err(why.into()));
            return Ok(());
        }
        let answer = self.ask_phone(request.lid).await?;
        let answer = answer.map_err(|error| format!("the gateway could not tell the number: {error}"));
        let _ = request.answer.send(answer);
        Ok(())
    }

    async fn ask_phone(&mut self, lid: Lid) -> Result<Result<Option<Phone>, CallError>, StoreError> {
        let client = self.client.clone();
        let answer = self.reading(Class::READ_OF_PERSON, async move { client.phone_of(lid).await }).await?;
        if let Ok(Some(phone)) = &answer {
            self.keep_pairs(vec![(*phone, lid)]).await?;
        }
        Ok(answer)
    }

    /// Asks for the id that is not known; whether it was told.
    async fn ask_other_id(&mut self, id: OnlyId) -> Result<Result<bool, CallError>, StoreError> {
        Ok(match id {
            OnlyId::Lid(lid) => self.ask_phone(lid).await?.map(|told| told.is_some()),
            OnlyId::Phone(phone) => self.ask_lid(phone).await?.map(|told| told.is_some()),
        })
    }

    async fn ask_lid(&mut self, phone: Phone) -> Result<Result<Option<Lid>, CallError>, StoreError> {
        let client = self.client.clone();
        let answer = self.reading(Class::READ_OF_PERSON, async move { client.lid_of(phone).await }).await?;
        if let Ok(Some(lid)) = &answer {
            self.keep_pairs(vec![(phone, *lid)]).await?;
        }
        Ok(answer)
    }

    /// Keeps pairs that the gateway told; whoever waited for one is looked at now.
    async fn keep_pairs(&mut self, pairs: Vec<(Phone, Lid)>) -> Result<(), StoreError> {
        let learnt = Learnt::new(LearntFrom::Gateway, self.wall.now());
        if self.store.learn(pairs, learnt).await? > 0 {
            self.journal_bell.notify_one();
        }
        Ok(())
    }

    /// Makes one background read if one is due and the background has not had its share. `Err` inside tells when to
    /// come again.
    pub(super) async fn inquire(
        &mut self,
        now: Timestamp,
    ) -> Result<Result<(), Option<Timestamp>>, StoreError> {
        if self.inquiry.hidden_due.is_some_and(|due| due <= now)
            && let Some(due) = self.look_for_hidden(now).await?
        {
            return match self.share(Leaving::One, now) {
                Err(at) => Ok(Err(Some(at))),
                Ok(()) => self.ask_about_hidden(due, now).await.map(Ok),
            };
        }
        if self.inquiry.numbers_due <= now
            && let Some(id) = self.look_at_listed(now).await?
        {
            match self.share(Leaving::Half, now) {
                Err(at) => self.inquiry.numbers_due = at,
                Ok(()) => return self.ask_about_listed(id, now).await.map(Ok),
            }
        }
        Ok(Err([self.inquiry.hidden_due, Some(self.inquiry.numbers_due)].into_iter().flatten().min()))
    }

    /// Whether the background may read now, else when to try again. Those who have just joined may be offenders: for
    /// them all places but one; for the numbers of lists, which nobody waits for, half.
    fn share(&self, leaving: Leaving, now: Timestamp) -> Result<(), Timestamp> {
        let permitted = self.permit(Class::READ_OF_PERSON, now) == Permit::Granted;
        let ceilings = self.ceilings();
        let ledger = self.ledger();
        let mut windows = ceilings.windows(Class::Read, now);
        let has_room = permitted
            && windows.all(|window| {
                let places = match leaving {
                    Leaving::One => window.calls.saturating_sub(1).max(1),
                    Leaving::Half => window.calls.div_ceil(2),
                };
                ledger.used(&[Class::Read], window.length, now)
                    < usize::try_from(places).unwrap_or(usize::MAX)
            });
        if has_room && !self.is_paused() { Ok(()) } else { Err(now + SHARE_USED) }
    }

    /// Who is to be asked about now; `None` if nobody is, and the next look is planned.
    async fn look_for_hidden(&mut self, now: Timestamp) -> Result<Option<Vec<OnlyId>>, StoreError> {
        let wall = self.wall.now();
        let (since, lids_too) = (wall - PRESSING_FOR, self.listed.spares_by_lid());
        let hidden = self.store.hidden(&self.session, since, lids_too, HIDDEN_AT_ONCE).await?;
        self.inquiry.looked_at = now;
        if hidden.iter().any(|one| matches!(one.id, OnlyId::Lid(_))) {
            // A number that a list names since the last look may be theirs.
            self.inquiry.numbers_due = self.inquiry.numbers_due.min(self.inquiry.numbers_from.max(now));
        }
        let (due, next) = self.inquiry.pressing(&hidden, wall, now);
        if due.is_empty() {
            self.inquiry.page_from = None;
            self.inquiry.doubted = false;
            self.inquiry.hidden_due = next;
            return Ok(None);
        }
        Ok(Some(due))
    }

    /// One question: about one of them, or for a page of the list of all pairs where that is fewer questions.
    async fn ask_about_hidden(&mut self, due: Vec<OnlyId>, now: Timestamp) -> Result<(), StoreError> {
        if std::mem::take(&mut self.inquiry.doubted) {
            // The list lacks what the gateway knows: then one by one.
            match self.ask_other_id(due[fastrand::usize(..due.len())]).await? {
                Ok(true) => self.inquiry.pages = Some(usize::MAX),
                Ok(false) | Err(_) => self.inquiry.asked.extend(due.into_iter().map(|id| (id, now))),
            }
            return Ok(());
        }
        let in_bulk = due.len() > FEW && self.inquiry.pages.is_none_or(|pages| pages < due.len());
        if self.inquiry.page_from.is_none() && !in_bulk {
            self.inquiry.asked.insert(due[0], now);
            if let Err(error) = self.ask_other_id(due[0]).await? {
                tracing::debug!(session = %self.session, %error, "somebody's other id could not be asked for");
            }
            return Ok(());
        }
        let from = self.inquiry.page_from.unwrap_or(0);
        let client = self.client.clone();
        let answer =
            self.reading(Class::READ_OF_PERSON, async move { client.pairs(PAGE, from).await }).await?;
        let (pairs, entries) = answer.unwrap_or_else(|error| {
            tracing::debug!(session = %self.session, %error, "the list of pairs could not be read");
            // Then one by one, until the next start.
            self.inquiry.pages = Some(usize::MAX);
            (Vec::new(), 0)
        });
        let named = pairs
            .iter()
            .any(|(phone, lid)| due.contains(&OnlyId::Lid(*lid)) || due.contains(&OnlyId::Phone(*phone)));
        self.inquiry.found = named || (from > 0 && self.inquiry.found);
        self.keep_pairs(pairs).await?;
        if entries >= LEAST_PAGE {
            self.inquiry.page_from = Some(from + entries);
            return Ok(());
        }
        self.inquiry.page_from = None;
        if self.inquiry.pages != Some(usize::MAX) {
            self.inquiry.pages = Some(1 + from / LEAST_PAGE);
            if !self.inquiry.found {
                self.inquiry.doubted = true;
                return Ok(());
            }
        }
        self.inquiry.asked.extend(due.into_iter().map(|id| (id, now)));
        Ok(())
    }
}
