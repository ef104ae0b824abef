//! What became of an edited file: the one vocabulary in which policies, lists and subscriptions report to the log, the
//! metrics and the operator.

/// The outcome of looking at an owner's file, where there is something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeup {
    /// The edit is in force.
    Taken {
        /// `policies`, `blacklist scrapers`, `allowlist`, `subscriptions`.
        what: String,
        /// One line for the log: sizes, what changed.
        detail: String,
        /// What is for the owner to mend, in sentences: lines that were left out, with the places; a copy that could not
        /// be kept.
        flaw: Option<String>,
    },
    /// The edit is refused; what was in force stays in force.
    Refused {
        /// As above.
        what: String,
        /// One sentence, the place, the next step; may hold a source excerpt on further lines.
        why: String,
    },
}
