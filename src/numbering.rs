//! Countries and national spellings of phone numbers, by the tables of rlibphonenumber.
//!
//! Used where an owner writes a country or a national spelling, never to doubt an international number: numbering
//! plans change faster than libraries. The tables are built at the first use and cost about 7 MB.

use crate::ids::Phone;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, Region};

/// Whether an upper-case ISO 3166 code names a country whose numbers are known.
pub fn is_country(code: &str) -> bool {
    region(code).is_some()
}

fn region(code: &str) -> Option<Region> {
    let fits = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
    let region = fits.then(|| Region::from_code(code).ok()).flatten()?;
    PHONE_NUMBER_UTIL.get_supported_regions().any(|known| known == region).then_some(region)
}

/// The ISO 3166 code of a number's country; `None` where the tables do not tell. Countries that share a calling code
/// are told apart: `+1876…` is Jamaica.
pub fn country_of(phone: Phone) -> Option<String> {
    let number = PhoneNumber::parse(phone.e164(), None).ok()?;
    let code = number.get_region_code()?.to_string();
    (code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())).then_some(code)
}

/// Reads a number as people write it: international with `+` or `00` and any punctuation, plain international
/// digits, or, only with `default_country`, the national spelling of that country, which must then be a valid number.
pub fn spelled(text: &str, default_country: Option<&str>) -> Option<Phone> {
    let text: String = text.chars().filter(|c| !is_mark(*c)).collect();
    let text = text.trim();
    if let Some(phone) = Phone::parse(text) {
        return Some(phone);
    }
    let fits = text.chars().all(|c| c.is_ascii_digit() || c == '+' || is_between_digits(c));
    if !fits {
        return None;
    }
    let international = text.strip_prefix("00").map(|rest| format!("+{rest}"));
    let international = international.as_deref().or_else(|| text.starts_with('+').then_some(text));
    if let Some(spelling) = international {
        let bare: String = spelling.replace("(0)", "").chars().filter(char::is_ascii_digit).collect();
        let phone = Phone::parse(&bare)?;
        return Some(without_trunk_zero(phone).unwrap_or(phone));
    }
    national(text, default_country?)
}

/// Whether people write this between the digits of a number: spaces, dashes and hyphens of any kind, brackets, dots,
/// slashes, and marks that nobody sees.
pub fn is_between_digits(c: char) -> bool {
    matches!(c, ' ' | '\t' | '-' | '(' | ')' | '.' | '/' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}')
        || is_mark(c)
}

/// Whether nobody sees it: phones put such marks around a number that is copied, to say which way it is written.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The number that is meant by `+49 0151 …`: with the zero it is nobody's. `None` where the zero belongs to the number.
fn without_trunk_zero(phone: Phone) -> Option<Phone> {
    let number = PhoneNumber::parse(phone.e164(), None).ok().filter(PhoneNumber::is_valid)?;
    let (read, with_zero) = (Phone::parse(&number.to_string())?, phone.digits());
    let code = number.country_code.to_string();
    let rest = with_zero.strip_prefix(&code)?.strip_prefix('0')?;
    (read.digits() == format!("{code}{rest}")).then_some(read)
}

/// Reads the national spelling of a country; `None` if it is no valid number there. Plain digits that begin with the
/// country's own code are international.
pub fn national(text: &str, country: &str) -> Option<Phone> {
    let number = PhoneNumber::parse(text, Some(region(country)?)).ok()?;
    if number.is_valid() { Phone::parse(&number.to_string()) } else { None }
}

/// A line with every run of five or more digits shortened to two at either end, each left-out digit a dot so that
/// columns still fit.
pub fn shortened(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut digits = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let keep = if digits.len() >= 5 { 2 } else { digits.len() };
        for (index, digit) in digits.chars().enumerate() {
            let shown = index < keep || index + keep >= digits.len();
            out.push(if shown { digit } else { '·' });
        }
        digits.clear();
        if c != '\n' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_that_share_a_calling_code_are_told_apart() {
        for (number, country) in [("+18765551234", "JM"), ("+12025550123", "US"), ("+923001234567", "PK")] {
            assert_eq!(country_of(Phone::parse(number).unwrap()).as_deref(), Some(country), "{number}");
        }
        assert!(is_country("PK") && !is_country("XX") && !is_country("pk") && !is_country("001"));
    }

    #[test]
    fn a_national_spelling_needs_its_country() {
        let cases = [
            ("0151 23456789", Some("DE"), Some("+4915123456789")),
            ("0151 23456789", None, None),
            ("015123456789", Some("DE"), Some("+4915123456789")),
            ("+49 (0)151 234-56789", None, Some("+4915123456789")),
            ("0049 151 23456789", None, Some("+4915123456789")),
            ("4915123456789", Some("US"), Some("+4915123456789")),
            ("(202) 555-0123", Some("US"), Some("+12025550123")),
            ("0151", Some("DE"), None),
            ("27264519544897@lid", Some("DE"), None),
            ("\u{202a}+49 151 23456789\u{202c}", None, Some("+4915123456789")),
            ("\u{2068}4915123456789\u{2069}", None, Some("+4915123456789")),
            ("+1\u{202f}(202)\u{a0}555\u{2011}0123", None, Some("+12025550123")),
            ("0151 \u{2013} 2345 6789", Some("DE"), Some("+4915123456789")),
            ("+49 151 234\u{2026}56789", None, None),
            ("+49 0151 23456789", None, Some("+4915123456789")),
            ("0044 07911 123456", None, Some("+447911123456")),
            ("+39 06 1234 5678", None, Some("+390612345678")),
            ("+52 1 55 1234 5678", None, Some("+5215512345678")),
        ];
        for (text, country, expected) in cases {
            assert_eq!(spelled(text, country).map(Phone::e164).as_deref(), expected, "{text} {country:?}");
        }
    }
}
