//! What a failed call means, by what the caller does next.
//!
//! Every `why` is redacted before it gets here: no token, no query, no full number.

use std::time::Duration;

/// A call that did not end in a plain success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// This person or target was refused, certainly and for good: a per-person code inside a 200, `false`, or WhatsApp's
    /// own refusal. Settle as refused; the session is well.
    #[error("refused{}: {why}", code.map(|code| format!(" with {code}")).unwrap_or_default())]
    Refused {
        /// WhatsApp's code where it told one: 401 we are no admin or were blocked, 403 privacy, 404 not there, 408 left
        /// recently, 409 there already, 419 full (`whatsapp-reality.md` §3.3).
        code: Option<u16>,
        /// What the gateway said.
        why: String,
    },
    /// The session is not WORKING. Nothing was done; park the session, count no attempt.
    #[error("the session is not ready: {why}")]
    NotReady {
        /// What the gateway said.
        why: String,
    },
    /// Too many calls, by the gateway's quota or WhatsApp's own. Nothing was done; the session's lane rests.
    #[error("asked to slow down: {why}")]
    SlowDown {
        /// How long, where told. Not clamped.
        retry_after: Option<Duration>,
        /// What the gateway said.
        why: String,
    },
    /// 463: this number may not start this chat. No more messages to people who never wrote to us.
    #[error("messages to strangers are locked (463): {why}")]
    Locked {
        /// What the gateway said.
        why: String,
    },
    /// The id has the wrong form for this group (phone instead of LID or the reverse). Nothing was done; try the other
    /// form once.
    #[error("the id is of the wrong form: {why}")]
    WrongIdentity {
        /// What the gateway said.
        why: String,
    },
    /// The gateway or its engine does not have this call. Never repeat it.
    #[error("not supported by the gateway: {why}")]
    Unsupported {
        /// What the gateway said.
        why: String,
    },
    /// The call certainly had no effect, or may be repeated. Try again later.
    #[error("the gateway could not do it now: {why}")]
    Transient {
        /// How long to wait, where told. Not clamped. Zero: at once.
        retry_after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// The request was sent and nobody knows whether it was carried out. Verify; never repeat a message.
    #[error("the outcome is unknown: {why}")]
    Unknown {
        /// What happened.
        why: String,
    },
    /// The request itself is wrong: credentials, plan, address, malformed. Stop and tell the operator.
    #[error("the gateway refuses our requests: {why}")]
    Fatal {
        /// What the gateway said.
        why: String,
    },
}

impl CallError {
    /// The variant's word, for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NotReady { .. } => "not_ready",
            Self::SlowDown { .. } => "slow_down",
            Self::Locked { .. } => "locked",
            Self::WrongIdentity { .. } => "wrong_identity",
            Self::Unsupported { .. } => "unsupported",
            Self::Transient { .. } => "transient",
            Self::Unknown { .. } => "unknown",
            Self::Fatal { .. } => "fatal",
        }
    }

    /// The same error with its text changed.
    #[must_use]
    pub(crate) fn map_why(mut self, change: impl FnOnce(String) -> String) -> Self {
        let (Self::Refused { why, .. }
        | Self::NotReady { why }
        | Self::SlowDown { why, .. }
        | Self::Locked { why }
        | Self::WrongIdentity { why }
        | Self::Unsupported { why }
        | Self::Transient { why, .. }
        | Self::Unknown { why }
        | Self::Fatal { why }) = &mut self;
        *why = change(std::mem::take(why));
        self
    }
}

/// What a call ends in.
pub type Outcome<T> = Result<T, CallError>;
