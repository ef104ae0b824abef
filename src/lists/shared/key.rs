//! The key that subscribers of a hashed list share, and the hashes under it.

use super::Whom;
use crate::ids::{Lid, Phone};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Shorter keys could be guessed.
const SHORTEST: usize = 32;

/// A shared key. Never shown.
#[derive(Clone)]
pub struct HashKey(Hmac<Sha256>);

impl HashKey {
    /// The key that a secret's text stands for: its bytes as they are.
    ///
    /// # Errors
    /// The sentence why it is none.
    pub fn new(secret: &str) -> Result<Self, String> {
        let secret = secret.trim();
        if secret.len() < SHORTEST {
            return Err(format!("the key of a shared list has at least {SHORTEST} characters"));
        }
        let mac = Hmac::new_from_slice(secret.as_bytes());
        mac.map(Self).map_err(|_| "the key of a shared list cannot be used".into())
    }

    /// What tells this key from others; says nothing of the key.
    pub fn id(&self) -> String {
        hex::encode(&self.hash(b"the id of a perimeterd list key")[..8])
    }

    /// A phone's hash.
    pub fn phone(&self, phone: Phone) -> Whom {
        Whom::PhoneHash(self.hash(phone.digits().as_bytes()))
    }

    /// A LID's hash. No phone has an `@` in it, so none is ever equal to a LID.
    pub fn lid(&self, lid: Lid) -> Whom {
        Whom::LidHash(self.hash(lid.jid().as_bytes()))
    }

    fn hash(&self, text: &[u8]) -> [u8; 16] {
        let full = self.0.clone().chain_update(text).finalize().into_bytes();
        let mut cut = [0; 16];
        cut.copy_from_slice(&full[..16]);
        cut
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}
