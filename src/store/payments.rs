//! What payment providers tell: whose subscription stands how, whatever order it is told in.
//!
//! Owns the rules, as pure functions: an older telling never overrides a newer one, per subscription; of several
//! subscriptions of one phone the one that lasts longest counts. Knows no provider: `payments` translates theirs.

use super::{Pushed, StoreError};
use crate::{
    clock::Timestamp,
    facts::{Status, Subscription},
    ids::Phone,
};
use async_trait::async_trait;
use std::cmp::Reverse;

/// One authentic event of a payment provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The name of its `[[payments]]` block.
    pub source: String,
    /// The provider's id of the event: told again, it changes nothing.
    pub event: String,
    /// When it happened, by the provider's clock.
    pub at: Timestamp,
    /// The provider's id of whoever pays.
    pub customer: Option<String>,
    /// Their phone, where the event tells it of the customer as such.
    pub customer_phone: Option<Phone>,
    /// What it says of a subscription.
    pub contract: Option<ContractNews>,
}

/// What an event says of one subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct ContractNews {
    /// The provider's id of it.
    pub id: String,
    /// The phone that the subscription itself names; it comes before the customer's.
    pub phone: Option<Phone>,
    /// What happened.
    pub news: News,
}

/// What happened to a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// How it stands, whole. Of two tellings of one moment (providers count in seconds) the later `step` counts.
    Standing {
        /// Where in a subscription's life the telling belongs: made, changed, ended.
        step: u8,
        /// How it stands.
        standing: Subscription,
    },
    /// A bill was paid, for the time until then.
    Paid {
        /// The end of what was paid for.
        until: Option<Timestamp>,
    },
    /// A bill could not be collected.
    Failed,
}

/// A subscription at its provider, as far as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// How it stands.
    pub standing: Subscription,
    /// When that was told, by the provider's clock.
    pub told_at: Timestamp,
    /// The step of that telling.
    pub step: u8,
    /// The newest bill that counted.
    pub billed_at: Timestamp,
}

/// Before everything that a provider can tell.
const NEVER: Timestamp = Timestamp(i64::MIN);

impl Contract {
    /// How a contract stands after the news; `None` if they change nothing: older than what is known, or a bill that
    /// says nothing on its own.
    pub fn after(before: Option<&Self>, at: Timestamp, news: &News) -> Option<Self> {
        match (news, before) {
            (News::Standing { step, .. }, Some(old)) if (at, *step) < (old.told_at, old.step) => None,
            (News::Standing { step, standing }, old) => {
                let billed_at = old.map_or(NEVER, |old| old.billed_at);
                Some(Self { standing: standing.clone(), told_at: at, step: *step, billed_at })
            }
            (News::Paid { until }, None) => {
                let standing =
                    Subscription { status: Status::Active, plan: None, expires_at: Some((*until)?) };
                Some(Self { standing, told_at: NEVER, step: 0, billed_at: at })
            }
            // Who never had the seat does not get it by failing to pay.
            (News::Failed, None) => None,
            (News::Paid { .. } | News::Failed, Some(old)) if at < old.told_at.max(old.billed_at) => None,
            (News::Paid { until }, Some(old)) => {
                // The last bill of what has ended revives nothing.
                let ended = old.standing.status == Status::Canceled;
                let longer = (*until).filter(|_| !ended)?;
                let expires_at = old.standing.expires_at.map_or(longer, |end| end.max(longer));
                let standing = Subscription {
                    status: Status::Active,
                    plan: old.standing.plan.clone(),
                    expires_at: Some(expires_at),
                };
                Some(Self { standing, billed_at: at, ..old.clone() })
            }
            (News::Failed, Some(old)) => {
                let paying = matches!(old.standing.status, Status::Active | Status::Trialing);
                let standing = Subscription { status: Status::PastDue, ..old.standing.clone() };
                paying.then(|| Self { standing, billed_at: at, ..old.clone() })
            }
        }
    }

    /// Of several contracts of one phone the one that counts at `now`: one that entitles, of these the one that does so
    /// longest; if none does, the one told last.
    pub fn foremost(contracts: &[Self], now: Timestamp) -> Option<&Self> {
        contracts.iter().max_by_key(|contract| {
            let active = contract.standing.is_active(now);
            let lasts = active.then(|| contract.standing.expires_at.unwrap_or(Timestamp(i64::MAX)));
            (active, lasts, contract.told_at, Reverse(contract.standing.status as u8))
        })
    }
}

/// What a notice came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounted {
    /// It changed what is known.
    Taken,
    /// It was told before.
    Repeat,
    /// It says nothing new: something newer was told before, or nothing follows from it alone.
    Nothing,
    /// It is kept, and nobody knows whose subscription it is: no phone is told anywhere.
    Nobody,
}

/// What is to be made known after a notice; it is durable already.
#[derive(Clone, Debug)]
pub struct Account {
    /// What it came to.
    pub outcome: Accounted,
    /// How the people concerned stand now.
    pub pushed: Vec<Pushed>,
    /// Whose subscriptions belong to another phone now, and nothing is left of them here.
    pub dropped: Vec<Phone>,
}

/// The use cases of payment providers.
#[async_trait]
pub trait Payments: Send + Sync + 'static {
    /// Takes a notice, whole or not at all, and with it what follows for the phones concerned: they are kept as pushed
    /// subscriptions.
    async fn account(&self, notice: Notice, now: Timestamp) -> Result<Account, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(status: Status, end: Option<i64>) -> Subscription {
        Subscription { status, plan: Some("gold".into()), expires_at: end.map(Timestamp) }
    }

    fn told(at: i64, step: u8, status: Status, end: Option<i64>) -> Contract {
        let standing = standing(status, end);
        Contract { standing, told_at: Timestamp(at), step, billed_at: NEVER }
    }

    fn states(step: u8, status: Status, end: Option<i64>) -> News {
        News::Standing { step, standing: standing(status, end) }
    }

    #[test]
    fn an_older_telling_never_overrides_a_newer_one() {
        let known = told(100, 1, Status::Active, Some(900));
        let after = |at, news| Contract::after(Some(&known), Timestamp(at), &news);
        assert_eq!(after(99, states(2, Status::Canceled, None)), None);
        assert_eq!(
            after(100, states(0, Status::None, None)),
            None,
            "made, told after changed, of one second"
        );
        assert!(after(100, states(1, Status::PastDue, None)).is_some());
        assert!(after(101, states(0, Status::None, None)).is_some());
        assert_eq!(after(99, News::Failed), None);
        assert_eq!(after(99, News::Paid { until: Some(Timestamp(2000)) }), None);
    }

    #[test]
    fn a_bill_prolongs_and_revives_nothing_that_has_ended() {
        let paid = News::Paid { until: Some(Timestamp(2000)) };
        let after = |known: &Contract, at, news: &News| {
            let after = Contract::after(Some(known), Timestamp(at), news)?;
            Some((after.standing.status, after.standing.expires_at.map(|end| end.0)))
        };
        let owes = told(100, 1, Status::PastDue, Some(900));
        assert_eq!(after(&owes, 101, &paid), Some((Status::Active, Some(2000))));
        let active = told(100, 1, Status::Active, Some(900));
        assert_eq!(after(&active, 101, &News::Failed), Some((Status::PastDue, Some(900))));
        assert_eq!(after(&told(100, 2, Status::Canceled, Some(100)), 101, &paid), None);
        assert_eq!(after(&told(100, 0, Status::None, Some(900)), 101, &News::Failed), None);
        // Bills among themselves.
        let billed = Contract::after(Some(&active), Timestamp(150), &paid).unwrap();
        assert_eq!(Contract::after(Some(&billed), Timestamp(140), &News::Failed), None);
        // A bill hides no telling that is older than it.
        assert!(Contract::after(Some(&billed), Timestamp(120), &states(1, Status::PastDue, None)).is_some());
        assert_eq!(Contract::after(None, Timestamp(1), &News::Failed), None);
        assert!(Contract::after(None, Timestamp(1), &paid).is_some());
    }

    #[test]
    fn of_several_subscriptions_the_one_that_lasts_counts() {
        let now = Timestamp(500);
        let old = told(400, 2, Status::Canceled, Some(400));
        let new = told(300, 1, Status::Active, Some(900));
        let endless = told(200, 1, Status::Active, None);
        let status = |all: &[Contract]| {
            Contract::foremost(all, now).map(|found| (found.standing.status, found.told_at.0))
        };
        assert_eq!(status(&[old.clone(), new.clone()]), Some((Status::Active, 300)));
        assert_eq!(status(&[new, old.clone(), endless]), Some((Status::Active, 200)));
        assert_eq!(status(&[told(100, 0, Status::None, None), old]), Some((Status::Canceled, 400)));
        assert_eq!(status(&[]), None);
    }
}
