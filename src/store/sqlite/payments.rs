//! What payment providers told: the SQL of [`crate::store::payments`].

use super::{
    SqliteStore, pushed,
    words::{Columns, phone_column, to_json},
};
use crate::{
    clock::Timestamp,
    ids::Phone,
    store::{
        Pushed, StoreError,
        payments::{Account, Accounted, Contract, ContractNews, Notice, Payments},
    },
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

#[async_trait]
impl Payments for SqliteStore {
    async fn account(&self, notice: Notice, now: Timestamp) -> Result<Account, StoreError> {
        self.writer.run(move |db| account(db, &notice, now)).await
    }
}

fn account(db: &Connection, notice: &Notice, now: Timestamp) -> Result<Account, StoreError> {
    let sql = "INSERT INTO payment_events VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    if db.prepare_cached(sql)?.execute(params![notice.source, notice.event, now.0])? == 0 {
        return Ok(Account { outcome: Accounted::Repeat, pushed: Vec::new(), dropped: Vec::new() });
    }
    // Whoever had one of these phones before and whoever has it now.
    let mut concerned = BTreeSet::new();
    let mut outcome = Accounted::Nothing;
    if keep_payer(db, notice, &mut concerned)? {
        outcome = Accounted::Taken;
    }
    if let Some(news) = &notice.contract {
        concerned.extend(phone_of(db, &notice.source, &news.id)?);
        if keep_contract(db, notice, news)? {
            outcome = Accounted::Taken;
        }
        match phone_of(db, &notice.source, &news.id)? {
            Some(phone) => drop(concerned.insert(phone)),
            None if outcome == Accounted::Taken => outcome = Accounted::Nobody,
            None => {}
        }
    }
    let mut account = Account { outcome, pushed: Vec::new(), dropped: Vec::new() };
    if outcome == Accounted::Taken {
        for phone in concerned {
            match Contract::foremost(&contracts_of(db, phone)?, now) {
                Some(contract) => {
                    let pushed = Pushed { phone, subscription: contract.standing.clone(), at: now };
                    pushed::keep(db, &pushed)?;
                    account.pushed.push(pushed);
                }
                None => {
                    pushed::forget(db, phone)?;
                    account.dropped.push(phone);
                }
            }
        }
    }
    Ok(account)
}

/// Keeps a customer's phone, if the notice tells it and nothing newer did; whether it is another one than before.
fn keep_payer(db: &Connection, notice: &Notice, concerned: &mut BTreeSet<Phone>) -> Result<bool, StoreError> {
    let (Some(customer), Some(phone)) = (&notice.customer, notice.customer_phone) else { return Ok(false) };
    let mut select = db.prepare_cached("SELECT phone FROM payers WHERE source = ? AND customer = ?")?;
    let before =
        select.query_row(params![notice.source, customer], |row| phone_in(row, "phone")).optional()?;
    let sql = "INSERT INTO payers VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
               SET phone = excluded.phone, told_at = excluded.told_at WHERE told_at <= excluded.told_at";
    let kept = db.prepare_cached(sql)?.execute(params![
        notice.source,
        customer,
        phone_column(phone),
        notice.at.0
    ])?;
    let before = before.flatten();
    if kept == 0 || before == Some(phone) {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM contracts WHERE source = ? AND customer = ? AND phone IS NULL LIMIT 1";
    if db.prepare_cached(sql)?.exists(params![notice.source, customer])? {
        concerned.extend(before);
        concerned.insert(phone);
    }
    Ok(true)
}

/// Takes the news of a contract; whether they change anything.
fn keep_contract(db: &Connection, notice: &Notice, news: &ContractNews) -> Result<bool, StoreError> {
    let sql = "SELECT standing, told_at, step, billed_at, customer, phone FROM contracts
               WHERE source = ? AND contract = ?";
    let mut select = db.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok((contract_in(row)?, row.get::<_, Option<String>>("customer")?, phone_in(row, "phone")?))
    };
    let known = select.query_row(params![notice.source, news.id], read).optional()?;
    let (before, customer, phone) = known.unwrap_or_default();
    let Some(after) = Contract::after(before.as_ref(), notice.at, &news.news) else { return Ok(false) };
    let sql = "INSERT INTO contracts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
               SET customer = excluded.customer, phone = excluded.phone, standing = excluded.standing,
                   told_at = excluded.told_at, step = excluded.step, billed_at = excluded.billed_at";
    db.prepare_cached(sql)?.execute(params![
        notice.source,
        news.id,
        notice.customer.clone().or(customer),
        news.phone.or(phone).map(phone_column),
        to_json(&after.standing)?,
        after.told_at.0,
        after.step,
        after.billed_at.0,
    ])?;
    Ok(true)
}

/// The phone behind a contract: its own, else its customer's.
fn phone_of(db: &Connection, source: &str, contract: &str) -> Result<Option<Phone>, StoreError> {
    let sql = "SELECT coalesce(c.phone, p.phone) AS phone FROM contracts c
               LEFT JOIN payers p ON p.source = c.source AND p.customer = c.customer
               WHERE c.source = ? AND c.contract = ?";
    let found = db.prepare_cached(sql)?.query_row([source, contract], |row| phone_in(row, "phone"));
    Ok(found.optional()?.flatten())
}

/// Every contract of a phone, at any provider.
fn contracts_of(db: &Connection, phone: Phone) -> Result<Vec<Contract>, StoreError> {
    let sql = "SELECT standing, told_at, step, billed_at FROM contracts WHERE phone = ?1
               UNION ALL
               SELECT c.standing, c.told_at, c.step, c.billed_at FROM payers p
               JOIN contracts c ON c.source = p.source AND c.customer = p.customer
               WHERE p.phone = ?1 AND c.phone IS NULL";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([phone_column(phone)], contract_in)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn contract_in(row: &Row<'_>) -> rusqlite::Result<Option<Contract>> {
    let Some(standing) = row.json("standing")? else { return Ok(None) };
    let step = row.get("step")?;
    Ok(Some(Contract { standing, told_at: row.time("told_at")?, step, billed_at: row.time("billed_at")? }))
}

fn phone_in(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Phone>> {
    let number: Option<i64> = row.get(column)?;
    Ok(number.and_then(|number| Phone::from_u64(number.cast_unsigned())))
}
