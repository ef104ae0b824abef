//! Secrets: where they come from, and that they never show.

use std::{fmt, sync::Arc};

/// A secret's value, or why it could not be read. Neither `Debug` nor `Display` ever shows it.
#[derive(Clone)]
pub struct Secret {
    value: Arc<Result<String, String>>,
    plain: bool,
}

impl Secret {
    /// A secret with that value.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: Arc::new(Ok(value.into())), plain: false }
    }

    /// A secret that stands in plain text in the configuration file: it works, and is warned of.
    pub fn plain(value: impl Into<String>) -> Self {
        Self { value: Arc::new(Ok(value.into())), plain: true }
    }

    /// A secret that could not be read, with the sentence why.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { value: Arc::new(Err(why.into())), plain: false }
    }

    /// The value; the sentence why not otherwise.
    pub fn expose(&self) -> Result<&str, &str> {
        match &*self.value {
            Ok(value) => Ok(value),
            Err(why) => Err(why),
        }
    }

    /// Whether it stands in plain text in the configuration file.
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
