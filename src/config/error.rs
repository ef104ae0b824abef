//! What is wrong with a configuration: one sentence, the place, the source line, the next step.
//!
//! Lines that may hold a secret are shown with their strings blotted out.

use crate::excerpt::excerpt;
use std::{fmt, ops::Range, path::PathBuf};

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One sentence.
    pub message: String,
    /// The file, where a file is to blame.
    pub file: Option<PathBuf>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The source line with a caret under the place.
    pub snippet: Option<String>,
    /// What to do about it.
    pub next_step: &'static str,
}

impl ConfigError {
    /// An error without a place in a file.
    pub(super) fn bare(message: impl Into<String>, next_step: &'static str) -> Self {
        Self { message: message.into(), file: None, line: None, column: None, snippet: None, next_step }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(file) = &self.file {
            write!(f, "\n{}", file.display())?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{snippet}")?;
        }
        write!(f, "\n{}", self.next_step)
    }
}

/// A file's text, to turn byte spans into places.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The error at a span of this file.
    pub(super) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        next_step: &'static str,
    ) -> ConfigError {
        let start = self.floor(span.start);
        let before = &self.text[..start];
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let source_line = self.text[line_start..].lines().next().unwrap_or_default();
        let column = self.text[line_start..start].chars().count() + 1;
        let end = self.floor(span.end.min(line_start + source_line.len()).max(start));
        let width = self.text[start..end].chars().count().max(1);
        ConfigError {
            message: message.into(),
            file: Some(self.path.clone()),
            line: Some(line),
            column: Some(column),
            snippet: Some(excerpt(line, column, width, &blotted(source_line))),
            next_step,
        }
    }

    /// The nearest character boundary at or before a byte.
    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// The line as it may be shown: where a secret may stand, what is quoted (or, without quotes, what follows the
/// equals sign) is blotted out, each character by a dot so that the caret still fits.
fn blotted(line: &str) -> String {
    let lower = line.to_lowercase();
    let delicate = ["token", "secret", "key", "password", "header", "authorization"];
    if !delicate.iter().any(|word| lower.contains(word)) {
        return line.into();
    }
    let value_at = line.find('=').map_or(0, |at| at + 1);
    let (head, value) = line.split_at(value_at);
    if !value.contains(['"', '\'']) {
        return head.chars().chain(value.chars().map(|c| if c == ' ' { ' ' } else { '·' })).collect();
    }
    let mut quote = None;
    let blot = value.chars().map(|c| match quote {
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            c
        }
        Some(open) if c == open => {
            quote = None;
            c
        }
        Some(_) => '·',
        None => c,
    });
    head.chars().chain(blot).collect()
}
