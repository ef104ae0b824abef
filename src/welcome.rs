//! The text of a public welcome: one message for all who came within the window. Pure.
//!
//! Who is in it and when it is due is the store's business (rows of one group, text and due time go out together);
//! this module only writes the message.

/// Names shown before "and 34 others".
const SHOWN: usize = 20;

/// The text where the policy gave none.
const DEFAULT_TEXT: &str = "Welcome {names}!";

/// One person to be welcomed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Display name, if known.
    pub name: Option<String>,
    /// The id to mention.
    pub jid: String,
}

/// A message ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub text: String,
    /// The ids mentioned in it.
    pub mentions: Vec<String>,
}

/// Writes the welcome. `{names}` in the text stands for the names; a text without it gets no names. Somebody without a
/// name is mentioned by id. Line breaks and control characters in names are attacker's text and become spaces.
pub fn message(text: Option<&str>, newcomers: &[Newcomer]) -> Message {
    let text = text.unwrap_or(DEFAULT_TEXT);
    if !text.contains("{names}") {
        return Message { text: text.into(), mentions: Vec::new() };
    }
    let shown = &newcomers[..newcomers.len().min(SHOWN)];
    let mut mentions = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for newcomer in shown {
        match newcomer.name.as_deref().map(plain).filter(|name| !name.is_empty()) {
            Some(name) => names.push(name),
            None => {
                names.push(format!("@{}", newcomer.jid.split('@').next().unwrap_or_default()));
                mentions.push(newcomer.jid.clone());
            }
        }
    }
    Message { text: text.replace("{names}", &listed(names, newcomers.len() - shown.len())), mentions }
}

/// `A`, `A and B`, `A, B and C`, `A, B and 34 others`.
fn listed(mut names: Vec<String>, others: usize) -> String {
    if others > 0 {
        names.push(format!("{others} {}", if others == 1 { "other" } else { "others" }));
    }
    let Some(last) = names.pop() else { return String::new() };
    if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
}

fn plain(name: &str) -> String {
    let spaced: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(64).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Newcomer> {
        let newcomer =
            |name: &&str| Newcomer { name: Some((*name).into()), jid: "4915100000000@c.us".into() };
        names.iter().map(newcomer).collect()
    }

    #[test]
    fn names_are_listed_as_people_list_them() {
        assert_eq!(message(None, &named(&["Ada"])).text, "Welcome Ada!");
        assert_eq!(message(None, &named(&["Ada", "Bo", "Cy"])).text, "Welcome Ada, Bo and Cy!");
    }

    #[test]
    fn beyond_twenty_names_the_others_are_counted() {
        let many: Vec<String> = (0..54).map(|n| format!("N{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = message(None, &named(&many)).text;
        assert!(text.ends_with("N19 and 34 others!"), "{text}");
    }

    #[test]
    fn somebody_without_a_name_is_mentioned() {
        let nameless = [Newcomer { name: Some(" \n".into()), jid: "77001@lid".into() }];
        let message = message(Some("Hi {names}"), &nameless);
        assert_eq!((message.text.as_str(), message.mentions), ("Hi @77001", vec!["77001@lid".to_string()]));
    }
}
