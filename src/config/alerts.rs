//! `[alerts]`: who is told, and where.

use super::{Alerts, AlertsChat, Group, Session, error::ConfigError, node::Node, read::Reader};
use crate::ids::{GroupId, Phone, SessionName};

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn alerts(read: &Reader<'_>, node: Node, sessions: &[Session]) -> Result<Alerts> {
    let mut section = read.section(node, "[alerts]", &["session", "chat", "url", "secret", "window"])?;
    let session = section.take("session").map(|node| session(read, &node, sessions)).transpose()?;
    let url = section.take("url").map(|node| read.url(&node, "url")).transpose()?;
    let secret = section.take("secret");
    if let (None, Some(node)) = (&url, &secret) {
        return Err(read.at(node, "`secret` in [alerts] signs what is posted to `url`, which is missing"));
    }
    Ok(Alerts {
        session,
        chat: section.take("chat").map(|node| chat(read, &node)).transpose()?,
        url,
        secret: secret.map(|node| read.secret(node, "secret")).transpose()?,
        window: read.duration(&read.required(&mut section, "window")?, "window")?,
    })
}

fn session(read: &Reader<'_>, node: &Node, sessions: &[Session]) -> Result<SessionName> {
    let name = read.word(node, "session")?;
    let found = sessions.iter().find(|session| session.name.as_str() == name);
    found.map(|session| session.name.clone()).ok_or_else(|| {
        read.at(node, format!("no [[sessions]] block has the name `{name}`, so nothing could be sent by it"))
    })
}

fn chat(read: &Reader<'_>, node: &Node) -> Result<AlertsChat> {
    let text = read.word(node, "chat")?;
    let person = text.strip_suffix("@c.us").unwrap_or(&text);
    let chat = GroupId::parse(&text)
        .map(AlertsChat::Group)
        .or_else(|| Phone::parse(person.trim()).map(AlertsChat::Person));
    chat.ok_or_else(|| {
        read.at(
            node,
            "`chat` must be the id of a group, like \"1203630…@g.us\", or a number, like \"+4915…\"",
        )
    })
}

/// What works and is not wise.
pub(super) fn warnings(alerts: &Alerts, guarding: impl Fn(&str) -> Option<Group>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(AlertsChat::Group(group)) = &alerts.chat
        && let Some(block) = guarding(group.as_str())
    {
        warnings.push(format!(
            "[alerts]: `chat` is a group that [[groups]] {} guards, so its members read what operators are told; \
             use a group of the operators' own",
            block.name
        ));
    }
    if alerts.url.is_some() && alerts.secret.is_none() {
        warnings.push(
            "[alerts]: without `secret` what is posted to `url` is not signed, and anybody could forge it"
                .into(),
        );
    }
    warnings
}
