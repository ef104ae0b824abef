//! Calls that shape a group: its name and description, who may edit them, who is added, a group of our own.

use super::{Client, SHORT, segment, unreadable};
use crate::{
    ids::{GroupId, Person},
    wawp::{
        answer::What,
        error::{CallError, Outcome},
        failure::failing,
        wire,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

/// A group that the gateway made for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub group: GroupId,
    /// Whom WhatsApp did not let in, with its code (403: by invitation only).
    pub refused: Vec<(Person, u16)>,
}

impl Client {
    /// Names a group.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_subject(&self, group: &GroupId, text: &str) -> Outcome<()> {
        let path = format!("/v2/groups/{}/subject", segment(group.as_str()));
        self.call(Method::PUT, &path, Some(&json!({"subject": text})), What::Setting, SHORT).await.map(drop)
    }

    /// Describes a group. Not every engine can clear a description.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_description(&self, group: &GroupId, text: &str) -> Outcome<()> {
        let path = format!("/v2/groups/{}/description", segment(group.as_str()));
        let body = json!({"description": text});
        match self.call(Method::PUT, &path, Some(&body), What::Setting, SHORT).await {
            Err(CallError::Refused { code: Some(400), why }) if text.trim().is_empty() => {
                let why = format!("the gateway's engine cannot clear a description ({why})");
                Err(CallError::Refused { code: Some(400), why })
            }
            answer => answer.map(drop),
        }
    }

    /// Lets only admins edit subject and description, or everybody again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lock_info(&self, group: &GroupId, on: bool) -> Outcome<()> {
        let path = format!("/v2/groups/{}/settings/security/info-admin-only", segment(group.as_str()));
        self.call(Method::PUT, &path, Some(&json!({"adminsOnly": on})), What::Setting, SHORT).await.map(drop)
    }

    /// Adds one person. Somebody who is in the group already counts as added.
    ///
    /// # Errors
    /// [`CallError`]; `Refused` with 403 if they may only be invited, 408 if they left lately, 419 if the group is full.
    pub async fn add(&self, group: &GroupId, jid: &str) -> Outcome<()> {
        let path = format!("/v2/groups/{}/participants/add", segment(group.as_str()));
        let body = json!({"participants": [{"id": jid}]});
        match self.call(Method::POST, &path, Some(&body), What::Add, SHORT).await {
            Err(CallError::Refused { code: Some(409), .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Makes one person admin.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn promote(&self, group: &GroupId, jid: &str) -> Outcome<()> {
        let path = format!("/v2/groups/{}/admin/promote", segment(group.as_str()));
        let body = json!({"participants": [{"id": jid}]});
        self.call(Method::POST, &path, Some(&body), What::Add, SHORT).await.map(drop)
    }

    /// Makes a group with these people.
    ///
    /// # Errors
    /// [`CallError`]; after `Unknown` it must not be made again.
    pub async fn create_group(&self, subject: &str, jids: &[String]) -> Outcome<Created> {
        let people: Vec<Value> = jids.iter().map(|jid| json!({"id": jid})).collect();
        let body = json!({"name": subject, "participants": people});
        let value = self.call(Method::POST, "/v2/groups", Some(&body), What::Create, super::LONG).await?;
        created(&value).ok_or_else(|| CallError::Unknown { why: "the answer names no group".into() })
    }

    /// The invite link, in full.
    ///
    /// # Errors
    /// [`CallError`]; `Refused` if we are no admin.
    pub async fn invite_link(&self, group: &GroupId) -> Outcome<String> {
        let path = format!("/v2/groups/{}/invite-code", segment(group.as_str()));
        let value = self.call(Method::GET, &path, None, What::Read, SHORT).await?;
        let inner = value.get("data").unwrap_or(&value);
        let told = inner
            .as_str()
            .map(str::to_owned)
            .or_else(|| wire::text(inner, &["code", "inviteCode", "invite", "link", "url"]))
            .unwrap_or_default();
        match told.rsplit('/').next().unwrap_or_default() {
            code if code.is_empty() || code.contains(char::is_whitespace) => {
                Err(unreadable("no invite code"))
            }
            code => Ok(format!("https://chat.whatsapp.com/{code}")),
        }
    }
}

/// The new group in an answer of any engine.
fn created(value: &Value) -> Option<Created> {
    let told = wire::first(value, &["data", "group"]).filter(|inner| inner.is_object()).unwrap_or(value);
    let id = wire::first(told, &["JID", "jid", "id", "gid", "groupId"]).unwrap_or(told);
    let group = GroupId::parse(&wire::id_text(id)?)?;
    let refused = match wire::first(told, &["Participants", "participants"]) {
        Some(Value::Array(people)) => people.iter().filter_map(refusal).collect(),
        Some(Value::Object(map)) => map
            .iter()
            .filter_map(|(id, one)| Some((wire::person(&Value::String(id.clone()))?, code(one)?)))
            .collect(),
        _ => Vec::new(),
    };
    Some(Created { group, refused })
}

/// Whom an entry names as not let in.
fn refusal(entry: &Value) -> Option<(Person, u16)> {
    let named = ["id", "JID", "jid", "PhoneNumber", "pn", "LID", "lid"];
    let person = named.iter().filter_map(|key| wire::person(entry.get(key)?)).reduce(Person::merged)?;
    Some((person, code(entry)?))
}

fn code(entry: &Value) -> Option<u16> {
    ["Error", "error", "statusCode", "status", "code"].iter().find_map(|key| failing(entry.get(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_group_is_found_in_every_engines_answer() {
        let id = "120363000000000009@g.us";
        let shapes = [
            json!({"JID": id, "Name": "Guild", "Participants": [
                {"JID": "77@lid", "PhoneNumber": "4915112345678@s.whatsapp.net", "Error": 403},
                {"JID": "78@lid", "Error": 0}]}),
            json!({"title": "Guild", "gid": {"_serialized": id}, "participants": {
                "4915112345678@c.us": {"statusCode": 403, "isInviteV4Sent": false},
                "4915112345679@c.us": {"statusCode": 200}}}),
            json!({"data": {"id": id, "participants": [{"jid": "4915112345678@c.us", "status": "403"}]}}),
        ];
        for shape in shapes {
            let created = created(&shape).unwrap_or_else(|| panic!("{shape}"));
            assert_eq!(created.group.as_str(), id);
            assert_eq!(created.refused.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [403], "{shape}");
        }
        assert_eq!(created(&json!({"success": true})), None);
        assert!(created(&json!(id)).is_some());
    }
}
