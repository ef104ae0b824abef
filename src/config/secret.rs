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

    /// 256 random bits as hex, for a secret that nobody has to remember.
    ///
    /// # Errors
    /// A sentence, if the system gives no random numbers.
    pub fn invent() -> Result<String, String> {
        let mut bytes = [0; 32];
        match rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes) {
            Ok(()) => Ok(hex::encode(bytes)),
            Err(_) => Err("the system gives no random numbers".into()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_invented_secrets_differ() {
        let (one, other) = (Secret::invent().unwrap(), Secret::invent().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
