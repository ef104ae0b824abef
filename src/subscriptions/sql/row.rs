//! What the rows of an answer say of a person.

pub(super) use super::super::words::Cell;
use super::super::words::Words;
use crate::{
    facts::{Status, Subscription},
    ids::Phone,
    numbering,
};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// A row by the names of its columns, in small letters.
pub(super) type Row = BTreeMap<String, Cell>;

/// A row of its columns. Of two of the same name nobody knows which is meant: neither can be read.
pub(super) fn of(columns: impl IntoIterator<Item = (String, Cell)>) -> Row {
    let mut row = Row::new();
    for (name, cell) in columns {
        row.entry(name.to_lowercase()).and_modify(|cell| *cell = Cell::Strange).or_insert(cell);
    }
    row
}

/// What the rows say of `phone`: of several, the one that reaches furthest counts.
///
/// # Errors
/// What is wrong with the answer, without its values.
pub(super) fn judge(
    rows: &[Row],
    phone: Phone,
    words: &Words,
    zone: &TimeZone,
) -> Result<Subscription, String> {
    let read = rows.iter().map(|row| read(row, phone, words, zone)).collect::<Result<Vec<_>, _>>()?;
    let is_open = read.iter().any(|subscription| subscription.status == Status::Unknown);
    let last = read.into_iter().max_by_key(Subscription::reach);
    match last {
        None => Ok(Subscription { status: Status::None, plan: None, expires_at: None }),
        // What nobody can read may be the one that is paid for.
        Some(last) if is_open && !matches!(last.status, Status::Active | Status::Trialing) => {
            Ok(Subscription { status: Status::Unknown, ..last })
        }
        Some(last) => Ok(last),
    }
}

fn read(row: &Row, phone: Phone, words: &Words, zone: &TimeZone) -> Result<Subscription, String> {
    if let Some(cell) = row.get("phone") {
        let told = cell.word().and_then(|text| numbering::spelled(&text, None));
        if told != Some(phone) {
            return Err("for another person: its column `phone` is not the number that was asked for".into());
        }
    }
    let status = row.get("status").ok_or("without a column `status`; name one so in `query`")?;
    let word = status
        .word()
        .ok_or("with a `status` that is empty, or no word, or there twice; let `query` name one column so")?;
    let end = row.get("expires_at").unwrap_or(&Cell::Nothing).end(zone);
    let expires_at = end.ok_or(
        "with an `expires_at` that is neither a date nor a time nor seconds since 1970, or there twice",
    )?;
    let plan = row.get("plan").and_then(Cell::word);
    Ok(Subscription { status: words.status(&word), plan, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use jiff::civil;

    const ANNA: &str = "+4915100000001";

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    fn row(cells: &[(&str, Cell)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect()
    }

    fn judged(rows: &[Row]) -> Result<Subscription, String> {
        let words = Words::new(BTreeMap::from([("1".into(), Status::Active)]));
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        judge(rows, Phone::parse(ANNA).unwrap(), &words, &berlin)
    }

    #[test]
    fn an_end_is_read_however_a_database_keeps_it() {
        let end = |cell: Cell| {
            let rows = [row(&[("status", text("active")), ("expires_at", cell)])];
            judged(&rows).map(|judged| judged.expires_at.map(|at| at.to_string()))
        };
        let midnight = Ok(Some("2027-01-31T23:00:00.000Z".to_owned()));
        for cell in [text("2027-01-31"), Cell::Day(civil::date(2027, 1, 31)), text(" 2027-01-31T23:00:00Z ")]
        {
            assert_eq!(end(cell.clone()), midnight, "{cell:?}");
        }
        for cell in [
            text("2027-02-01 00:00:00"),
            text("2027-02-01T00:00:00.000"),
            text("2027-02-01T02:00:00+02:00"),
            text("1801436400"),
            Cell::Local(civil::date(2027, 2, 1).at(0, 0, 0, 0)),
            Cell::Whole(1_801_436_400),
            Cell::Whole(1_801_436_400_000),
            Cell::Fraction(1_801_436_400.25),
            Cell::Moment(Timestamp(1_801_436_400_000)),
        ] {
            let read = end(cell.clone());
            assert!(read == midnight || cell == text("2027-02-01T02:00:00+02:00"), "{cell:?}: {read:?}");
        }
        for cell in [
            Cell::Nothing,
            text(""),
            text("0"),
            Cell::Whole(0),
            text("0000-00-00 00:00:00"),
            text("infinity"),
        ] {
            assert_eq!(end(cell.clone()), Ok(None), "{cell:?}");
        }
        for cell in
            [text("soon"), text("2027-13-01"), Cell::Whole(-1), Cell::Strange, Cell::Fraction(f64::NAN)]
        {
            assert!(end(cell.clone()).is_err(), "{cell:?}");
        }
    }

    #[test]
    fn of_several_rows_the_one_that_reaches_furthest_counts() {
        let one = |status: &str, end: &str| row(&[("status", text(status)), ("expires_at", text(end))]);
        let status = |rows: &[Row]| judged(rows).map(|judged| judged.status);
        assert_eq!(status(&[]), Ok(Status::None));
        assert_eq!(status(&[one("canceled", "2027-01-01"), one("active", "2027-02-01")]), Ok(Status::Active));
        assert_eq!(
            status(&[one("canceled", "2027-03-01"), one("active", "2027-02-01")]),
            Ok(Status::Canceled)
        );
        assert_eq!(status(&[one("active", ""), one("canceled", "2027-02-01")]), Ok(Status::Active));
        assert_eq!(status(&[one("platinum", ""), one("canceled", "2027-02-01")]), Ok(Status::Unknown));
        assert_eq!(status(&[one("platinum", ""), one("active", "")]), Ok(Status::Active));
        assert!(status(&[one("active", ""), one("active", "soon")]).is_err());
        assert_eq!(status(&[row(&[("status", Cell::Whole(1))])]), Ok(Status::Active));
    }

    #[test]
    fn an_answer_about_somebody_else_is_none() {
        let about = |phone: Cell| judged(&[row(&[("status", text("active")), ("phone", phone)])]);
        for cell in
            [text(ANNA), text("4915100000001"), text("0049 151 00000001"), Cell::Whole(4_915_100_000_001)]
        {
            assert!(about(cell.clone()).is_ok(), "{cell:?}");
        }
        for cell in [text("+4915100000002"), Cell::Nothing, text("0151 00000001"), text("")] {
            let why = about(cell.clone()).unwrap_err();
            assert!(why.contains("another person") && !why.contains("0000"), "{cell:?}: {why}");
        }
        assert!(judged(&[row(&[("plan", text("gold"))])]).unwrap_err().contains("column `status`"));
        assert!(judged(&[row(&[("status", Cell::Nothing)])]).unwrap_err().contains("empty"));
    }
}
