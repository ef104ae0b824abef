//! Answers on stdout: JSON for machines, columns for people.

use crate::clock::Timestamp;
use serde_json::Value;
use std::io::{self, Write as _};

/// Prints a text as it is. Who closes the pipe has read enough.
pub(super) fn raw(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints one JSON value on one line.
pub(super) fn json(value: &Value) {
    line(&value.to_string());
}

/// Prints a line for people.
pub(super) fn line(text: &str) {
    raw(&format!("{text}\n"));
}

/// Prints rows with the columns under each other; the last column is as wide as it is.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A text field of a row; empty if it is null or missing.
pub(super) fn text(row: &Value, pointer: &str) -> String {
    match row.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A time field of a row, which stands there in milliseconds.
pub(super) fn time(row: &Value, pointer: &str) -> String {
    row.pointer(pointer).and_then(Value::as_i64).map_or(String::new(), |millis| Timestamp(millis).to_string())
}
