//! Takes secrets and phone numbers out of finished lines.
//!
//! The second fence: phones and secrets already print shortened by their types. This one catches what came in by
//! another way, such as the text of a foreign error. It knows nothing of who wrote the line.

use std::{borrow::Cow, ops::Range, sync::RwLock};

/// Shorter words are not taken for secrets: they would cut ordinary text to pieces.
const SHORTEST_SECRET: usize = 6;

/// The digits of an international number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Knows the secrets of this process and takes them out of text.
#[derive(Default)]
pub struct Redactor {
    secrets: RwLock<Vec<String>>,
}

impl Redactor {
    /// Registers a secret, also as it looks inside a URL and inside a JSON string. Words below six characters are
    /// left out.
    pub fn add(&self, secret: &str) {
        if secret.len() < SHORTEST_SECRET {
            return;
        }
        let in_url =
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
        let in_form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let in_json = serde_json::to_string(secret).unwrap_or_default().trim_matches('"').to_owned();
        let mut secrets = self.secrets.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for spelling in [secret.to_owned(), in_url, in_form, in_json] {
            if spelling.len() >= SHORTEST_SECRET && !secrets.contains(&spelling) {
                secrets.push(spelling);
            }
        }
        // The longest first: one secret may begin with another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text with every registered secret as `[secret]` and every lone run of 7 to 15 digits shortened to its
    /// first and last two. Digits after a decimal point, and digits grown together with letters, are no numbers of
    /// people and stay: timestamps, durations, hashes.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.secrets.read().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), "[secret]"));
            }
        }
        shorten_numbers(text)
    }
}

/// Shortens every lone run of digits that may be a phone number.
fn shorten_numbers(text: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut shortened = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(run) = next_run(bytes, at) {
        at = run.end;
        if PHONE_DIGITS.contains(&run.len()) && stands_alone(bytes, &run) {
            shortened.push_str(&text[copied..run.start + 2]);
            shortened.push('…');
            copied = run.end - 2;
        }
    }
    if copied == 0 {
        return text;
    }
    shortened.push_str(&text[copied..]);
    Cow::Owned(shortened)
}

/// The next run of digits at or after `from`.
fn next_run(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + bytes.get(from..)?.iter().position(u8::is_ascii_digit)?;
    let length = bytes[start..].iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len() - start);
    Some(start..start + length)
}

/// Whether the run is a word of its own.
fn stands_alone(bytes: &[u8], run: &Range<usize>) -> bool {
    let before = &bytes[..run.start];
    let after = bytes.get(run.end).is_some_and(u8::is_ascii_alphabetic);
    !after
        && !is_fraction(before)
        && (!before.last().is_some_and(u8::is_ascii_alphabetic) || ends_escape(before))
}

/// Whether what follows `before` are decimals.
fn is_fraction(before: &[u8]) -> bool {
    matches!(before, [.., digit, b'.'] if digit.is_ascii_digit())
}

/// Whether the letter at the end belongs to an escape sequence and not to the digits: `%2B` in a URL, `\n` in a
/// quoted text, a colour on a terminal.
fn ends_escape(before: &[u8]) -> bool {
    let colour = before.strip_suffix(b"m").is_some_and(|rest| {
        let code = rest.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b';').count();
        rest[..rest.len() - code].ends_with(b"\x1b[")
    });
    colour || matches!(before, [.., b'%', b'2', b'B' | b'b'] | [.., b'\\', b'n' | b'r' | b't'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_numbers_are_shortened() {
        let redactor = Redactor::default();
        for (line, expected) in [
            ("from +4915112345678 to", "from +49…78 to"),
            ("4915112345678@c.us", "49…78@c.us"),
            ("27264519544897@lid and 1234567", "27…97@lid and 12…67"),
            ("true_4915112345678@c.us_3EB0", "true_49…78@c.us_3EB0"),
            ("4915112345678-1571234567@g.us", "49…78-15…67@g.us"),
            ("4915112345678.0:7@s.whatsapp.net", "49…78.0:7@s.whatsapp.net"),
            ("GET /members/%2B4915112345678?x", "GET /members/%2B49…78?x"),
            (r#"{"message":"gone:\n4915112345678"}"#, r#"{"message":"gone:\n49…78"}"#),
            ("\u{1b}[2m=\u{1b}[0m4915112345678", "\u{1b}[2m=\u{1b}[0m49…78"),
            ("ünï4915112345678ö", "ünï49…78ö"),
        ] {
            assert_eq!(redactor.redact(line), expected);
        }
    }

    #[test]
    fn timestamps_durations_and_hashes_stay() {
        let redactor = Redactor::default();
        for line in [
            "2026-11-22T04:21:04.123456789Z INFO took 1.234567891s",
            "20261122T042104",
            "120363012345678901@g.us is no phone: 18 digits",
            "hash 208f8a55dde9e05519e898b1 port 65535 e123456",
            "",
        ] {
            assert_eq!(redactor.redact(line), line);
        }
    }

    #[test]
    fn a_registered_secret_is_gone_in_every_spelling() {
        let redactor = Redactor::default();
        redactor.add("pa ss\"w/rd");
        redactor.add("pa ss\"w/rd-and-more");
        redactor.add("tiny");
        let line =
            "a pa ss\"w/rd b pa%20ss%22w%2Frd c pa+ss%22w%2Frd d pa ss\\\"w/rd e tiny pa ss\"w/rd-and-more";
        assert_eq!(redactor.redact(line), "a [secret] b [secret] c [secret] d [secret] e tiny [secret]");
    }
}
