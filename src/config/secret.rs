//! Secrets: where they come from, and that they never show.

use std::{fmt, sync::Arc};

/// A secret's value, or why it could not be read. Neither `Debug` nor `Display` ever shows it.
#[derive(Clone)]
pub struct Secret(Arc<Result<String, String>>);

impl Secret {
    /// A secret with that value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Arc::new(Ok(value.into())))
    }

    /// A secret that could not be read, with the sentence why.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self(Arc::new(Err(why.into())))
    }

    /// The value; the sentence why not otherwise.
    pub fn expose(&self) -> Result<&str, &str> {
        self.0.as_deref().map_err(String::as_str)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
