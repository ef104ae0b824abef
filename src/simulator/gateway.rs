//! What of the gateway's behaviour differs between engines, versions and plans; may change while it runs.

use serde::{Deserialize, Serialize};

/// Whose shapes the gateway answers member calls and rosters in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// whatsmeow; what production seems to run.
    #[default]
    Gows,
    /// Baileys.
    Noweb,
    /// whatsapp-web.js.
    Webjs,
}

/// Where the 463 of a locked number hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockWords {
    /// In the text of an exception, HTTP 500.
    #[default]
    Thrown,
    /// In an error object, HTTP 200.
    Inside,
    /// HTTP 463, without words.
    Status,
}

/// How the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// The shape of answers.
    pub engine: Engine,
    /// 500 with the engine's text (what is expected of the real thing) or 403 (what the vendor documents) when we are no admin.
    pub documented_refusals: bool,
    /// Whether rosters are also served normalised, at `/participants/v2`.
    pub roster_v2: bool,
    /// A member call with the other form of id than the group's own is an identity error, and so is a private message by
    /// phone on WEBJS. Else both forms are taken.
    pub strict_ids: bool,
    /// How a message is refused to a number that is locked.
    pub lock: LockWords,
    /// Whether `me` tells of a lock; it does not always (waha#2219).
    pub tells_lock: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            engine: Engine::Gows,
            documented_refusals: false,
            roster_v2: true,
            strict_ids: false,
            lock: LockWords::Thrown,
            tells_lock: true,
        }
    }
}
