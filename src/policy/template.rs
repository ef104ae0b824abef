//! Texts: `policies/templates/NAME.txt`, or `NAME.LANG.txt` for a language, with `{key}` places to fill.
//!
//! `{names}` stays as it is unless the script fills it: it is filled when the welcome is sent.

use super::vocabulary;
use std::collections::{BTreeMap, BTreeSet};

/// The texts of a policy set, as read at load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Templates {
    /// By file stem: `how-to-join`, `how-to-join.de`.
    texts: BTreeMap<String, String>,
}

/// Filled in by the sending of a welcome, not by the script.
const LATER: &str = "names";

impl Templates {
    /// Takes a text under its file stem. The newline that editors put at the end is not part of it.
    pub(super) fn insert(&mut self, stem: &str, text: &str) {
        self.texts.insert(stem.into(), text.trim_end().into());
    }

    /// The text in a language, if there is one in that language, else the plain one.
    pub(super) fn find(&self, name: &str, language: Option<&str>) -> Result<&str, String> {
        let translated = language.and_then(|language| self.texts.get(&format!("{name}.{language}")));
        if let Some(text) = translated.or_else(|| self.texts.get(name)) {
            return Ok(text);
        }
        let hint = vocabulary::did_you_mean(name, self.texts.keys().map(String::as_str));
        Err(format!("there is no template `{name}` (policies/templates/{name}.txt){hint}"))
    }

    /// Checks at load that what a script fills is enough for the text in every language. Where it cannot be known what
    /// the script fills, a translation may have no place that the plain text has not.
    pub(super) fn check(&self, name: &str, filled: Option<&BTreeSet<String>>) -> Result<(), String> {
        let plain = places(self.find(name, None)?);
        let filled = filled.unwrap_or(&plain);
        let of_name =
            |stem: &str| stem == name || stem.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        for (stem, text) in self.texts.iter().filter(|(stem, _)| of_name(stem)) {
            for place in places(text) {
                if place != LATER && !filled.contains(&place) {
                    let hint = vocabulary::did_you_mean(&place, filled.iter().map(String::as_str));
                    return Err(format!(
                        "policies/templates/{stem}.txt has a place {{{place}}} that nothing fills{hint}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Fills the places of a text.
    pub(super) fn fill(
        &self,
        name: &str,
        language: Option<&str>,
        values: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let text = self.find(name, language)?;
        let mut filled = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let place = after.split_once('}').filter(|(key, _)| is_key(key));
            let Some((key, behind)) = place else {
                filled.push('{');
                rest = after;
                continue;
            };
            match values.get(key) {
                Some(value) => filled.push_str(value),
                None if key == LATER => filled.push_str("{names}"),
                None => {
                    let hint = vocabulary::did_you_mean(key, values.keys().map(String::as_str));
                    return Err(format!("template `{name}` has a place {{{key}}} that nothing fills{hint}"));
                }
            }
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// The places of a text.
fn places(text: &str) -> BTreeSet<String> {
    let behind = text.split('{').skip(1);
    behind
        .filter_map(|after| after.split_once('}'))
        .filter(|(key, _)| is_key(key))
        .map(|(key, _)| key.to_owned())
        .collect()
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, values: &[(&str, &str)], language: Option<&str>) -> Result<String, String> {
        let mut templates = Templates::default();
        templates.insert("hello", text);
        templates.insert("hello.de", "Hallo {who}");
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        templates.fill("hello", language, &values)
    }

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        assert_eq!(
            fill("Hi {who}, {names}: { a }\n", &[("who", "you")], None).unwrap(),
            "Hi you, {names}: { a }"
        );
        assert_eq!(fill("Hi {who}", &[("who", "{who}")], Some("fr")).unwrap(), "Hi {who}");
        assert_eq!(fill("Hi {who}", &[("who", "du")], Some("de")).unwrap(), "Hallo du");
    }

    #[test]
    fn an_unfilled_place_is_an_error_with_a_suggestion() {
        let why = fill("Hi {whom}", &[("who", "you")], None).unwrap_err();
        assert!(why.contains("{whom}") && why.contains("did you mean `who`?"), "{why}");
    }
}
