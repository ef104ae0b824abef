//! No token and no full number leaves in an error.
//!
//! The gateway takes its credentials in the query and its error bodies echo the request (`whatsapp-reality.md` §3.2), so
//! every text from outside passes here before it becomes part of an error.

use std::sync::Arc;

/// Texts are cut to this many characters: enough for the cause, little for a body that echoes a message.
const LONGEST: usize = 300;
/// Digit runs from this length on may be phone numbers.
const SHORTEST_NUMBER: usize = 7;

/// Knows what must not be shown.
#[derive(Clone)]
pub(crate) struct Redactor {
    secrets: Arc<[String]>,
}

impl Redactor {
    /// Hides these values, as they are and percent-encoded.
    pub(crate) fn new(secrets: &[&str]) -> Self {
        let encoded = |secret: &str| {
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let mut all: Vec<String> =
            secrets.iter().filter(|s| !s.is_empty()).flat_map(|s| [(*s).to_owned(), encoded(s)]).collect();
        // The longest first: a secret that contains another one is hidden whole.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets: all.into() }
    }

    /// The text in one line, without secrets, query strings and full numbers, cut to a readable length.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &*self.secrets {
            text = text.replace(secret.as_str(), "[redacted]");
        }
        let line = text.split_whitespace().map(without_query).collect::<Vec<_>>().join(" ");
        let line = shorten_numbers(&line);
        match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// A word without what follows a `?` that begins a query, and without the value of a credential's name.
fn without_query(word: &str) -> String {
    let query = word.match_indices('?').map(|(at, _)| at).find(|at| word[at + 1..].contains('='));
    let word = query.map_or(word, |at| &word[..=at]);
    for name in ["access_token=", "instance_id=", "access_token\":", "instance_id\":"] {
        if let Some(at) = word.find(name) {
            return format!("{}[redacted]", &word[..at + name.len()]);
        }
    }
    word.to_owned()
}

/// Keeps the first and the last two digits of every run that could be a number.
pub(crate) fn shorten_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        out.push_str(before);
        if digits.len() >= SHORTEST_NUMBER {
            out.push_str(&digits[..2]);
            out.push('…');
            out.push_str(&digits[digits.len() - 2..]);
        } else {
            out.push_str(digits);
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_queries_and_numbers_are_hidden() {
        let redactor = Redactor::new(&["s3cr+t/token", "A1B2C3D4E5F6"]);
        for (text, shown) in [
            ("bad s3cr+t/token here", "bad [redacted] here"),
            ("s3cr%2Bt%2Ftoken", "[redacted]"),
            ("GET https://x/v2/a?instance_id=1&access_token=2 failed", "GET https://x/v2/a? failed"),
            ("access_token=zzz", "access_token=[redacted]"),
            ("for A1B2C3D4E5F6", "for [redacted]"),
            ("4915112345678@c.us is\n not  there", "49…78@c.us is not there"),
            ("status 400: really?", "status 400: really?"),
        ] {
            assert_eq!(redactor.clean(text), shown);
        }
        assert!(redactor.clean(&"x".repeat(5000)).chars().count() <= LONGEST + 1);
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_secret_or_seven_digits_in_a_row(before in ".{0,40}", after in ".{0,40}", digits in "[0-9]{7,20}") {
            let redactor = Redactor::new(&["tok-EN~42"]);
            let shown = redactor.clean(&format!("{before}tok-EN~42{after}{digits}"));
            prop_assert!(!shown.contains("tok-EN~42"));
            let longest = shown.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            prop_assert!(longest < SHORTEST_NUMBER, "{}", shown);
        }
    }
}
