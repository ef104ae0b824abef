//! What is asked on behalf of the owner's lists: which account is behind a number that they name, and which number is
//! behind a LID. So whoever a group shows by the other id is matched all the same.
//!
//! It is the last of the background ([`super::inquiry`]): one question at a time, slowly.

use super::Courier;
use crate::{
    action::Class,
    clock::Timestamp,
    identity::{Forward, NumberRecord, NumberReply, OnlyId},
    ids::{Lid, Phone},
    store::StoreError,
};
use std::time::Duration;

/// Between two looks at the numbers of lists while all is known of them and nobody is hidden.
const NUMBERS_AGAIN: Duration = Duration::from_secs(600);
/// The same in a daemon that waits for longer while nothing rings.
const NUMBERS_AT_LAST: Duration = Duration::from_secs(3600);
/// A number that only a blacklist names is asked about again so much later than one of the allowlist: nobody waits for
/// it, and a pair that an event tells is learnt without asking.
const UNPROTECTED: Duration = Duration::from_secs(24 * 3600);
/// The least and the most between two questions about numbers, in seconds: slowly, and not in a beat.
const NUMBER_GAP: (u64, u64) = (10, 14);
/// A LID whose number the gateway did not tell is asked about again after this long.
const LID_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// The ids that the owner's lists name one by one.
pub trait Listed: Send + Sync + 'static {
    /// Those worth asking about, the most important first.
    fn numbers(&self) -> Vec<Phone>;

    /// Whether somebody must not be ruled out while nobody knows whose this number is: then it is worth asking whether
    /// anybody has it. For the others it is not: such questions look like scraping (`wawp-api.md` §4).
    fn is_protected(&self, phone: Phone, now: Timestamp) -> bool;

    /// What is known of the LIDs of these numbers.
    fn known(&self, replies: Vec<NumberReply>);

    /// The LIDs worth asking about.
    fn lids(&self) -> Vec<Lid>;

    /// Somebody we know may turn out to be whom a list names: whoever is inside is to be looked at again.
    fn met(&self);

    /// Whether somebody may be spared by their LID alone: then nobody is removed whose LID is unknown.
    fn spares_by_lid(&self) -> bool;
}

impl Courier {
    /// What a list names and is to be asked about now; `None` if nothing is, and the next look is planned.
    pub(super) async fn look_at_listed(&mut self, now: Timestamp) -> Result<Option<OnlyId>, StoreError> {
        if let Some(phone) = self.look_at_numbers(now).await? {
            return Ok(Some(OnlyId::Phone(phone)));
        }
        Ok(self.look_at_lids(now).await?.map(OnlyId::Lid))
    }

    /// One question about what a list names.
    pub(super) async fn ask_about_listed(&mut self, id: OnlyId, now: Timestamp) -> Result<(), StoreError> {
        let gap = Duration::from_secs(fastrand::u64(NUMBER_GAP.0..=NUMBER_GAP.1));
        self.inquiry.numbers_from = now + gap;
        self.inquiry.numbers_due = now + gap;
        match id {
            OnlyId::Phone(phone) => self.ask_about_number(phone).await,
            OnlyId::Lid(lid) => self.ask_about_lid(lid, now).await,
        }
    }

    /// The LID to be asked about now. Whose number became known since the last look, by whatever way, may be inside
    /// under that number.
    async fn look_at_lids(&mut self, now: Timestamp) -> Result<Option<Lid>, StoreError> {
        let lids = self.listed.lids();
        if lids.is_empty() {
            self.inquiry.unpaired.clear();
            return Ok(None);
        }
        let unpaired = self.store.unpaired(lids.clone()).await?;
        let before = std::mem::take(&mut self.inquiry.unpaired);
        if before.keys().any(|lid| lids.contains(lid) && !unpaired.contains(lid)) {
            self.listed.met();
        }
        let asked = |lid: &Lid| before.get(lid).copied().flatten();
        self.inquiry.unpaired = unpaired.iter().map(|lid| (*lid, asked(lid))).collect();
        if now < self.inquiry.numbers_from {
            self.inquiry.numbers_due = self.inquiry.numbers_from;
            return Ok(None);
        }
        let mut due = self.inquiry.unpaired.iter();
        Ok(due.find(|(_, asked)| asked.is_none_or(|at| at + LID_AGAIN <= now)).map(|(lid, _)| *lid))
    }

    async fn ask_about_lid(&mut self, lid: Lid, now: Timestamp) -> Result<(), StoreError> {
        self.inquiry.unpaired.insert(lid, Some(now));
        let client = self.client.clone();
        match self.reading(Class::READ_OF_PERSON, async move { client.phone_of(lid).await }).await? {
            Ok(Some(phone)) => self.keep_answer(phone, Forward::Lid(lid)).await?,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(session = %self.session, %error, "a listed LID could not be asked about");
            }
        }
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
    async fn ask_about_number(&mut self, phone: Phone) -> Result<(), StoreError> {
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
        self.keep_answer(phone, answer).await?;
        // The lists hear of it at once.
        let records = self.store.numbers(self.listed.numbers()).await?;
        self.listed.known(records.iter().filter_map(NumberRecord::best).collect());
        Ok(())
    }

    /// Keeps what the gateway said; whoever waited for it is looked at now.
    async fn keep_answer(&mut self, phone: Phone, answer: Forward) -> Result<(), StoreError> {
        let at = self.wall.now();
        if self.store.keep_reply(NumberReply { phone, answer, at }).await? > 0 {
            self.journal_bell.notify_one();
        }
        Ok(())
    }
}
