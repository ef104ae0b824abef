//! Who is behind an id: phones that a run asks for now, hidden people whose runs wait, numbers that lists name.
//!
//! Only the first has somebody waiting for the answer. The other two are background: they come after every other read, and
//! leave half of each ceiling to those. What is learnt goes to the store, which wakes whoever waited for it; when to ask
//! is [`crate::identity`]'s.

use super::Courier;
use crate::{
    action::Class,
    clock::Timestamp,
    identity::{
        Forward, Hidden, Learnt, LearntFrom, NumberRecord, NumberReply, PRESSING_FOR, ask_again_after,
    },
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
/// Between two looks at the numbers of lists while all is known of them and nobody is hidden.
const NUMBERS_AGAIN: Duration = Duration::from_secs(600);
/// The same in a daemon that waits for longer while nothing rings.
const NUMBERS_AT_LAST: Duration = Duration::from_secs(3600);
/// After a start the rosters come first.
const NUMBERS_FROM: Duration = Duration::from_secs(5);
/// A number that only a blacklist names is asked about again so much later than one of the allowlist: nobody waits for
/// it, and a pair that an event tells is learnt without asking.
const UNPROTECTED: Duration = Duration::from_secs(24 * 3600);
/// The least and the most between two questions about numbers, in seconds: slowly, and not in a beat.
const NUMBER_GAP: (u64, u64) = (10, 14);

/// Somebody wants to know the phone behind a LID.
pub struct PhoneRequest {
    /// The LID.
    pub lid: Lid,
    /// Where the answer goes; nobody there is fine. `None`: the gateway does not know it. `Err`: it was not asked, or
    /// could not tell, and why.
    pub answer: oneshot::Sender<Result<Option<Phone>, String>>,
}

/// The numbers that the owner's lists name one by one.
pub trait Listed: Send + Sync + 'static {
    /// Those worth asking about, the most important first.
    fn numbers(&self) -> Vec<Phone>;

    /// Whether somebody must not be ruled out while nobody knows whose this number is: then it is worth asking whether
    /// anybody has it. For the others it is not: such questions look like scraping (`wawp-api.md` §4).
    fn is_protected(&self, phone: Phone, now: Timestamp) -> bool;

    /// What is known of the LIDs of these numbers.
    fn known(&self, replies: Vec<NumberReply>);
}

/// What the background asks, and when.
pub(super) struct Inquiry {
    /// When to look who is hidden; `None`: when the bell rings.
    hidden_due: Option<Timestamp>,
    looked_at: Timestamp,
    /// When a hidden person was asked about last.
    asked: BTreeMap<Lid, Timestamp>,
    /// The next page of the list of pairs, while it is being read.
    page_from: Option<usize>,
    /// How many pages it has.
    pages: Option<usize>,
    /// When to look at the numbers of lists.
    numbers_due: Timestamp,
    /// No number is asked about before.
    numbers_from: Timestamp,
    /// The gateway knows no LID of this one: whether anybody has it is asked next.
    doubtful: Option<Phone>,
}

impl Inquiry {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            hidden_due: Some(now),
            looked_at: Timestamp(0),
            asked: BTreeMap::new(),
            page_from: None,
            pages: None,
            numbers_due: now,
            numbers_from: now + NUMBERS_FROM,
            doubtful: None,
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
    ) -> (Vec<Lid>, Option<Timestamp>) {
        self.asked.retain(|lid, _| hidden.iter().any(|one| one.lid == *lid));
        let (mut due, mut next) = (Vec::new(), None);
        for one in hidden {
            let age = wall.since(one.since);
            let Some(pause) = ask_again_after(age) else { continue };
            // Its run has just asked.
            let at = self.asked.get(&one.lid).map_or(now + pause.saturating_sub(age), |last| *last + pause);
            if at <= now { due.push(one.lid) } else { next = [next, Some(at)].into_iter().flatten().min() }
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
            return match self.share(now) {
                Err(at) => Ok(Err(Some(at))),
                Ok(()) => self.ask_about_hidden(due, now).await.map(Ok),
            };
        }
        if self.inquiry.numbers_due <= now
            && let Some(phone) = self.look_at_numbers(now).await?
        {
            match self.share(now) {
                Err(at) => self.inquiry.numbers_due = at,
                Ok(()) => return self.ask_about_number(phone, now).await.map(Ok),
            }
        }
        Ok(Err([self.inquiry.hidden_due, Some(self.inquiry.numbers_due)].into_iter().flatten().min()))
    }

    /// Whether the background may read now, else when to try again: half of each window is for what cannot wait.
    fn share(&self, now: Timestamp) -> Result<(), Timestamp> {
        let permitted = self.permit(Class::READ_OF_PERSON, now) == Permit::Granted;
        let ceilings = self.ceilings();
        let ledger = self.ledger();
        let mut windows = ceilings.windows(Class::Read, now);
        let has_room = permitted
            && windows.all(|window| {
                let half = usize::try_from(window.calls.div_ceil(2)).unwrap_or(usize::MAX);
                ledger.used(&[Class::Read], window.length, now) < half
            });
        if has_room && !self.is_paused() { Ok(()) } else { Err(now + SHARE_USED) }
    }

    /// Who is to be asked about now; `None` if nobody is, and the next look is planned.
    async fn look_for_hidden(&mut self, now: Timestamp) -> Result<Option<Vec<Lid>>, StoreError> {
        let wall = self.wall.now();
        let hidden = self.store.hidden(&self.session, wall - PRESSING_FOR, HIDDEN_AT_ONCE).await?;
        self.inquiry.looked_at = now;
        if !hidden.is_empty() {
            // A number that a list names since the last look may be theirs.
            self.inquiry.numbers_due = self.inquiry.numbers_due.min(self.inquiry.numbers_from.max(now));
        }
        let (due, next) = self.inquiry.pressing(&hidden, wall, now);
        if due.is_empty() {
            self.inquiry.page_from = None;
            self.inquiry.hidden_due = next;
            return Ok(None);
        }
        Ok(Some(due))
    }

    /// One question: about one of them, or for a page of the list of all pairs where that is fewer questions.
    async fn ask_about_hidden(&mut self, due: Vec<Lid>, now: Timestamp) -> Result<(), StoreError> {
        let in_bulk = due.len() > FEW && self.inquiry.pages.is_none_or(|pages| pages < due.len());
        if self.inquiry.page_from.is_none() && !in_bulk {
            self.inquiry.asked.insert(due[0], now);
            if let Err(error) = self.ask_phone(due[0]).await? {
                tracing::debug!(session = %self.session, %error, "a hidden number could not be asked for");
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
        self.keep_pairs(pairs).await?;
        if entries >= LEAST_PAGE {
            self.inquiry.page_from = Some(from + entries);
            return Ok(());
        }
        if self.inquiry.pages != Some(usize::MAX) {
            self.inquiry.pages = Some(1 + from / LEAST_PAGE);
        }
        self.inquiry.page_from = None;
        self.inquiry.asked.extend(due.into_iter().map(|lid| (lid, now)));
        Ok(())
    }

    /// The number to be asked about now; `None` if none is, and the next look is planned. On the way the lists are told
    /// what is known by now.
    async fn look_at_numbers(&mut self, now: Timestamp) -> Result<Option<Phone>, StoreError> {
        self.inquiry.numbers_due = now + self.idle.clamp(NUMBERS_AGAIN, NUMBERS_AT_LAST);
        let numbers = self.listed.numbers();
        if numbers.is_empty() {
            self.inquiry.doubtful = None;
            return Ok(None);
        }
        let records = self.store.numbers(numbers).await?;
        self.listed.known(records.iter().filter_map(NumberRecord::best).collect());
        if now < self.inquiry.numbers_from {
            self.inquiry.numbers_due = self.inquiry.numbers_from;
            return Ok(None);
        }
        let doubtful = self.inquiry.doubtful.filter(|phone| records.iter().any(|one| one.phone == *phone));
        let wall = self.wall.now();
        let ask_at = |record: &NumberRecord| {
            let patience =
                if self.listed.is_protected(record.phone, wall) { Duration::ZERO } else { UNPROTECTED };
            if record.ask_at() == Timestamp(0) { record.ask_at() } else { record.ask_at() + patience }
        };
        let due = records.iter().filter(|record| ask_at(record) <= wall).min_by_key(|record| ask_at(record));
        Ok(doubtful.or(due.map(|record| record.phone)))
    }

    /// One question about a number: which LID it has, or, where the gateway knows none, whether anybody has it. A miss
    /// alone proves nothing: the gateway may not have met them.
    async fn ask_about_number(&mut self, phone: Phone, now: Timestamp) -> Result<(), StoreError> {
        let gap = Duration::from_secs(fastrand::u64(NUMBER_GAP.0..=NUMBER_GAP.1));
        self.inquiry.numbers_from = now + gap;
        self.inquiry.numbers_due = now + gap;
        let client = self.client.clone();
        let answer = if self.inquiry.doubtful.take() == Some(phone) {
            let exists = self
                .reading(Class::READ_OF_PERSON, async move { client.is_on_whatsapp(phone).await })
                .await?;
            exists.map(|exists| if exists == Some(false) { Forward::Absent } else { Forward::Untold })
        } else {
            match self.reading(Class::READ_OF_PERSON, async move { client.lid_of(phone).await }).await? {
                Ok(Some(lid)) => Ok(Forward::Lid(lid)),
                Ok(None) if self.listed.is_protected(phone, self.wall.now()) => {
                    self.inquiry.doubtful = Some(phone);
                    return Ok(());
                }
                Ok(None) => Ok(Forward::Untold),
                Err(error) => Err(error),
            }
        };
        let answer = answer.unwrap_or_else(|error| {
            tracing::debug!(session = %self.session, %error, "a listed number could not be asked about");
            Forward::Untold
        });
        let at = self.wall.now();
        if self.store.keep_reply(NumberReply { phone, answer, at }).await? > 0 {
            self.journal_bell.notify_one();
        }
        // The lists hear of it at once.
        let records = self.store.numbers(self.listed.numbers()).await?;
        self.listed.known(records.iter().filter_map(NumberRecord::best).collect());
        Ok(())
    }
}
