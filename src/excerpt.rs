//! A source line with a caret under the place: how every mistake in an owner's file is shown. Pure.

/// ` 12 | text` and the caret line under it. `line` and `column` count from 1, in characters; `width` carets are set, at
/// least one. Tabs stay tabs in the caret's line, so that it stands where the reader's terminal puts the character.
pub fn excerpt(line: usize, column: usize, width: usize, text: &str) -> String {
    let lead: String =
        text.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!("  {line:>4} | {text}\n       | {lead}{}", "^".repeat(width.max(1)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(super::excerpt(7, 3, 2, "\tabc"), "     7 | \tabc\n       | \t ^^");
    }
}
