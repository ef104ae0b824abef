//! Which of the gateway's operations a method and path mean, and the class that ceilings count it under.

use super::ask::Ask;
use crate::{action::Class, ids::GroupId, simulator::session::Status};
use axum::http::Method;

/// What a member call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Add,
    Remove,
    Promote,
    Demote,
}

/// One of the two security switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Messages,
    Info,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Groups,
    CreateGroup,
    CountGroups,
    Refresh,
    Group(String),
    Roster(String),
    RosterV2(String),
    Members(String, Deed),
    ReadSwitch(String, Switch),
    WriteSwitch(String, Switch),
    InviteCode(String),
    RevokeInvite(String),
    Subject(String),
    Description(String),
    Leave(String),
    SendText,
    Lids,
    CountLids,
    Lid(String),
    LidOf(String),
    CheckExists,
    SessionInfo,
    SessionMe,
    ReadWebhook,
    WriteWebhook,
    RateLimit,
    Lifecycle(Status),
    Archive,
}

impl Route {
    /// The operation, if there is one. The path is percent-decoded; a trailing slash is ignored.
    pub(super) fn of(method: &Method, path: &str, ask: &Ask) -> Option<Self> {
        let path = path.trim_end_matches('/').strip_prefix("/v2/")?;
        let parts: Vec<_> = path.split('/').collect();
        let verb = method.as_str();
        match (verb, parts.as_slice()) {
            ("GET", ["groups", "detail"]) => ask.text("groupId").map(Self::Group),
            (_, ["groups", rest @ ..]) => Self::of_groups(verb, rest),
            ("POST" | "GET", ["send", "text"]) => Some(Self::SendText),
            ("GET", ["lids"]) => Some(Self::Lids),
            ("GET", ["lids", "count"]) => Some(Self::CountLids),
            ("GET", ["lids", "pn", number]) => Some(Self::LidOf((*number).into())),
            ("GET", ["lids", lid]) => Some(Self::Lid((*lid).into())),
            ("POST", ["chats", _, "archive" | "unarchive"] | ["chats", "archive"]) => Some(Self::Archive),
            ("GET", ["contacts", "check-exists"]) => Some(Self::CheckExists),
            ("GET" | "POST", ["session", "info"]) => Some(Self::SessionInfo),
            ("GET", ["session", "me"]) => Some(Self::SessionMe),
            ("GET", ["session", "webhook"]) => Some(Self::ReadWebhook),
            ("POST", ["session", "webhook"]) => Some(Self::WriteWebhook),
            ("GET", ["session", "rate-limit"]) => Some(Self::RateLimit),
            ("POST" | "GET", ["session", "start" | "restart"]) => Some(Self::Lifecycle(Status::Working)),
            ("POST" | "GET", ["session", "stop"]) => Some(Self::Lifecycle(Status::Stopped)),
            ("POST" | "GET", ["session", "logout"]) => Some(Self::Lifecycle(Status::ScanQrCode)),
            _ => None,
        }
    }

    fn of_groups(verb: &str, rest: &[&str]) -> Option<Self> {
        let id = || rest[0].to_owned();
        Some(match (verb, rest) {
            ("GET", []) => Self::Groups,
            ("POST", [] | ["create"]) => Self::CreateGroup,
            ("GET", ["count"]) => Self::CountGroups,
            ("POST", ["refresh"]) => Self::Refresh,
            ("GET", [_]) => Self::Group(id()),
            ("GET", [_, "participants"]) => Self::Roster(id()),
            ("GET", [_, "participants", "v2"]) => Self::RosterV2(id()),
            ("POST", [_, "participants", "add"]) => Self::Members(id(), Deed::Add),
            ("POST", [_, "participants", "remove"]) => Self::Members(id(), Deed::Remove),
            ("POST", [_, "admin", "promote"]) => Self::Members(id(), Deed::Promote),
            ("POST", [_, "admin", "demote"]) => Self::Members(id(), Deed::Demote),
            ("GET" | "PUT", [_, "settings", "security", which]) => {
                let switch = match *which {
                    "messages-admin-only" => Switch::Messages,
                    "info-admin-only" => Switch::Info,
                    _ => return None,
                };
                if verb == "GET" { Self::ReadSwitch(id(), switch) } else { Self::WriteSwitch(id(), switch) }
            }
            ("GET", [_, "invite-code"]) => Self::InviteCode(id()),
            ("POST", [_, "invite-code", "revoke"]) => Self::RevokeInvite(id()),
            ("PUT", [_, "subject"]) => Self::Subject(id()),
            ("PUT", [_, "description"]) => Self::Description(id()),
            ("POST", [_, "leave"]) => Self::Leave(id()),
            _ => return None,
        })
    }

    /// The word for it in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::CreateGroup => "create_group",
            Self::CountGroups => "count_groups",
            Self::Refresh => "refresh",
            Self::Group(_) => "group",
            Self::Roster(_) => "roster",
            Self::RosterV2(_) => "roster_v2",
            Self::Members(_, Deed::Add) => "add",
            Self::Members(_, Deed::Remove) => "remove",
            Self::Members(_, Deed::Promote) => "promote",
            Self::Members(_, Deed::Demote) => "demote",
            Self::ReadSwitch(..) => "read_setting",
            Self::WriteSwitch(_, Switch::Messages) => "announce_only",
            Self::WriteSwitch(_, Switch::Info) => "info_locked",
            Self::InviteCode(_) => "invite_code",
            Self::RevokeInvite(_) => "revoke_invite",
            Self::Subject(_) => "subject",
            Self::Description(_) => "description",
            Self::Leave(_) => "leave",
            Self::SendText => "send_text",
            Self::Lids => "lids",
            Self::CountLids => "count_lids",
            Self::Lid(_) => "lid",
            Self::LidOf(_) => "lid_of",
            Self::CheckExists => "check_exists",
            Self::SessionInfo => "session_info",
            Self::SessionMe => "session_me",
            Self::ReadWebhook => "read_webhook",
            Self::WriteWebhook => "write_webhook",
            Self::RateLimit => "rate_limit",
            Self::Archive => "archive",
            Self::Lifecycle(Status::Working) => "start_session",
            Self::Lifecycle(_) => "stop_session",
        }
    }

    /// The class it counts under; none for what concerns the session itself and not WhatsApp.
    pub(super) fn class(&self, ask: &Ask) -> Option<Class> {
        Some(match self {
            Self::CreateGroup => Class::GroupCreate,
            Self::Members(_, Deed::Add) => Class::Add,
            Self::Members(_, Deed::Remove) => Class::Remove,
            Self::Members(_, Deed::Promote | Deed::Demote)
            | Self::WriteSwitch(..)
            | Self::RevokeInvite(_)
            | Self::Subject(_)
            | Self::Description(_)
            | Self::Leave(_) => Class::Settings,
            Self::SendText if ask.text("chatId").is_some_and(|chat| chat.ends_with("@g.us")) => {
                Class::GroupMessage
            }
            Self::SendText => Class::Dm,
            Self::Groups
            | Self::CountGroups
            | Self::Refresh
            | Self::Group(_)
            | Self::Roster(_)
            | Self::RosterV2(_)
            | Self::ReadSwitch(..)
            | Self::InviteCode(_)
            | Self::Lids
            | Self::CountLids
            | Self::Lid(_)
            | Self::LidOf(_)
            | Self::CheckExists => Class::Read,
            Self::SessionInfo
            | Self::SessionMe
            | Self::ReadWebhook
            | Self::WriteWebhook
            | Self::RateLimit
            | Self::Lifecycle(_)
            | Self::Archive => return None,
        })
    }

    /// The group it names.
    pub(super) fn group(&self, ask: &Ask) -> Option<GroupId> {
        match self {
            Self::Group(id)
            | Self::Roster(id)
            | Self::RosterV2(id)
            | Self::Members(id, _)
            | Self::ReadSwitch(id, _)
            | Self::WriteSwitch(id, _)
            | Self::InviteCode(id)
            | Self::RevokeInvite(id)
            | Self::Subject(id)
            | Self::Description(id)
            | Self::Leave(id) => GroupId::parse(id),
            Self::SendText => GroupId::parse(&ask.text("chatId")?),
            _ => None,
        }
    }

    /// Whether a session that is not connected answers 422 to it.
    pub(super) fn needs_connection(&self) -> bool {
        let without = matches!(
            self,
            Self::SessionInfo | Self::ReadWebhook | Self::WriteWebhook | Self::RateLimit | Self::Lifecycle(_)
        );
        !without
    }
}
