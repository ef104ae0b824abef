//! The text of a list as it comes from the disk: line by line through a small buffer, however long the list or a line is.
//!
//! Excerpts in problems are shortened like every number in a log: two digits at either end.

use super::{
    parse::{ParseContext, Wrong, read_line},
    set::{Entry, Gather, ListSet},
};
use crate::{config::BadLines, ids::Phone, lists::notes::Note, numbering};
use std::io::{self, BufRead};

/// Longer lines, in bytes, are no lines of a list.
const LONGEST: usize = 4096;

/// So many broken lines are shown; of a list that is refused for them no more are looked for.
const MOST_SHOWN: usize = 20;

/// What is said of a line with a character that [`is_foreign`].
const FOREIGN: &str =
    "the line has a control character; save the file as plain text whose lines end in LF or CRLF";

/// Of a line that is too long, so much is shown.
const SHOWN: usize = 60;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineProblem {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// One sentence.
    pub(super) message: String,
    /// The line with its numbers shortened.
    pub(super) snippet: String,
}

/// The broken lines of a list: how many were met, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// At least as many as are shown.
    pub(super) count: usize,
    /// At most twenty.
    pub(super) shown: Vec<LineProblem>,
}

/// A list as far as it could be read, and what could not.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) list: Gather,
    /// Lines that are not on it.
    pub(super) broken: Broken,
}

impl Lines {
    /// The list; what was left out of it is for the caller to tell.
    pub(super) fn finish(self, flaw: Option<String>) -> ListSet {
        self.list.finish(flaw)
    }
}

/// Reads a list to its end, or to its twentieth broken line where one is enough to refuse it.
///
/// # Errors
/// If the reader fails.
pub(super) fn read(
    reader: &mut dyn BufRead,
    context: &ParseContext,
    bad_lines: BadLines,
) -> io::Result<Lines> {
    let mut lines = Lines { list: Gather::default(), broken: Broken::default() };
    let mut number = 0;
    // The beginning of a line whose end is not in the buffer.
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let (mut rest, length) = (buffer, buffer.len());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            number += 1;
            if begun.is_empty() {
                lines.add(number, &rest[..end], context);
            } else {
                extend(&mut begun, &rest[..end]);
                lines.add(number, &begun, context);
                begun.clear();
            }
            rest = &rest[end + 1..];
            if bad_lines == BadLines::Refuse && lines.broken.count == MOST_SHOWN {
                return Ok(lines);
            }
        }
        extend(&mut begun, rest);
        reader.consume(length);
    }
    if !begun.is_empty() {
        lines.add(number + 1, &begun, context);
    }
    Ok(lines)
}

/// Adds to a line, up to the byte that makes it too long.
fn extend(line: &mut Vec<u8>, more: &[u8]) {
    let room = (LONGEST + 1).saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

impl Lines {
    fn add(&mut self, number: usize, line: &[u8], context: &ParseContext) {
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        match read_bytes(line, context) {
            Ok(Some((entry, note))) => self.list.add(entry, note),
            Ok(None) => {}
            Err((at, message)) => {
                self.broken.count += 1;
                if self.broken.shown.len() < MOST_SHOWN {
                    self.broken.shown.push(problem(number, line, at, message));
                }
            }
        }
    }
}

fn read_bytes(line: &[u8], context: &ParseContext) -> Result<Option<(Entry, Note)>, Wrong> {
    if line.len() > LONGEST {
        return Err((0, format!("the line is longer than {LONGEST} bytes; a list has one entry a line")));
    }
    let text = str::from_utf8(line).map_err(|error| {
        (error.valid_up_to(), "the line is not UTF-8 text; save the file as UTF-8".to_owned())
    })?;
    // Most lines of long lists are a number and nothing else.
    if let Some(phone) = Phone::parse(text.trim_end()) {
        return Ok(Some((Entry::Number(phone), Note::NONE)));
    }
    // Line ends of another system would hide the rest of the list in a reason or a comment.
    match text.trim_end().find(is_foreign) {
        Some(at) => Err((at, FOREIGN.to_owned())),
        None => read_line(text, context),
    }
}

/// Whether a character has no place in a line of text.
fn is_foreign(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')
}

fn problem(number: usize, line: &[u8], at: usize, message: String) -> LineProblem {
    let before = String::from_utf8_lossy(&line[..at.min(line.len())]);
    // Neither do they reach a terminal, nor do zeros between its digits hide a number from being shortened.
    let text: String = String::from_utf8_lossy(line).chars().filter(|c| !is_foreign(*c)).collect();
    let snippet = match line.len() > LONGEST {
        true => format!("{}…", numbering::shortened(&text.chars().take(SHOWN).collect::<String>())),
        false => numbering::shortened(text.trim_end()),
    };
    LineProblem { line: number, column: before.chars().count() + 1, message, snippet }
}
