//! What becomes of a number of ours: paired anew, restricted by WhatsApp.

use super::{
    alerts,
    apply::{Outcome, Step},
    words::to_json,
};
use crate::{
    clock::Timestamp,
    event::{Event, Restriction},
    ids::SessionName,
    store::{Raised, StoreError},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

/// A restriction without a told end: observed ones last a day.
const UNTOLD: Duration = Duration::from_secs(24 * 3600);

/// A restriction that ends so little later than the known one is the known one.
const SAME: Duration = Duration::from_secs(3600);

/// The number was paired anew: to WhatsApp it is young again, and operators hear of it.
pub(super) fn paired(
    db: &Connection,
    session: &SessionName,
    why: &str,
    at: Timestamp,
) -> Result<Raised, StoreError> {
    let sql =
        "UPDATE sessions SET scanning = 0, repaired_at = max(coalesce(repaired_at, 0), ?2) WHERE name = ?1";
    db.prepare_cached(sql)?.execute(params![session.as_str(), at.0])?;
    let text = format!("{session}: {why}; the ceilings begin low again and rise over [pacing] ramp");
    alerts::keep(db, at, "paired", session.as_str(), &text)?;
    Ok(Raised { kind: "paired", text })
}

impl Step<'_> {
    /// A session that shows a QR code and works later was paired in between; a restart of ours shows none.
    pub(super) fn watch_pairing(&mut self, session: &SessionName, state: &str) -> Result<(), StoreError> {
        if state == "SCAN_QR_CODE" {
            let sql =
                "INSERT INTO sessions (name, scanning) VALUES (?, 1) ON CONFLICT DO UPDATE SET scanning = 1";
            self.db.prepare_cached(sql)?.execute([session.as_str()])?;
        } else if state == "WORKING" {
            let sql = "SELECT 1 FROM sessions WHERE name = ? AND scanning = 1";
            if self.db.prepare_cached(sql)?.query_row([session.as_str()], |_| Ok(())).optional()?.is_some() {
                let raised = paired(self.db, session, "it was paired by its QR code", self.received_at)?;
                self.applied.raised.push(raised);
                self.applied.outbox_changed = true;
            }
        }
        Ok(())
    }

    /// Keeps a restriction for the courier to heed, unless it is known.
    pub(super) fn restricted(&mut self, event: &Event, told: &Restriction) -> Outcome {
        let until = told.until.unwrap_or(self.received_at + UNTOLD);
        let sql = "UPDATE sessions SET account = ?2 WHERE name = ?1
                   AND (account IS NULL OR CAST(account ->> 'until' AS INTEGER) < ?3)";
        let kept = Restriction { until: Some(until), ..told.clone() };
        let known = self.db.prepare_cached(sql)?.execute(params![
            event.session.as_str(),
            to_json(&kept)?,
            (until - SAME).0
        ])? == 0;
        self.applied.outbox_changed |= !known;
        Ok(Some(told.why.clone()))
    }
}
