//! Detached signatures, by minisign.

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};
use std::io::Cursor;

/// Who may have signed a document.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: PublicKey,
    text: String,
}

impl Verifier {
    /// From `RW…`, the second line of a minisign public key file.
    ///
    /// # Errors
    /// The sentence why it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        let key = PublicKey::from_base64(text.trim()).map_err(|_| {
            "this is not a minisign public key; it is the line that begins with RW".to_owned()
        })?;
        Ok(Self { text: key.to_base64(), key })
    }

    /// The key as people write it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks that this key has signed these bytes.
    ///
    /// # Errors
    /// The sentence why nobody can rely on them.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), String> {
        let signature = SignatureBox::from_string(signature)
            .map_err(|_| "its signature is not one of minisign".to_owned())?;
        if signature.keynum() != self.key.keynum() {
            return Err(format!(
                "it is signed by another key ({}) than the one subscribed to ({})",
                key_id(signature.keynum()),
                key_id(self.key.keynum())
            ));
        }
        minisign::verify(&self.key, &signature, Cursor::new(bytes), true, false, false)
            .map_err(|_| "its signature is bad: it was changed after it was signed, or only one of the two files is new".into())
    }
}

/// As minisign shows it.
fn key_id(number: &[u8]) -> String {
    number.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// Who signs our own documents.
pub struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// From the text of a secret key file, with its password if it has one.
    ///
    /// # Errors
    /// The sentence why it cannot be used.
    pub fn new(text: &str, password: Option<String>) -> Result<Self, String> {
        let boxed = |text: &str| {
            SecretKeyBox::from_string(text).map_err(|_| "it is not a minisign secret key".to_owned())
        };
        let secret = match password {
            None => SecretKey::from_unencrypted_box(boxed(text)?).map_err(|_| {
                "it is not a minisign secret key, or it has a password: give that too".to_owned()
            })?,
            Some(password) => SecretKey::from_box(boxed(text)?, Some(password))
                .map_err(|_| "it is not a minisign secret key, or the password is wrong".to_owned())?,
        };
        let public = PublicKey::from_secret_key(&secret).map_err(|error| error.to_string())?;
        Ok(Self { secret, public })
    }

    /// A new pair without a password: the text of the secret key's file, and of the public one's.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn invent() -> Result<(String, String), String> {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(|error| error.to_string())?;
        let secret = pair.sk.to_box(Some("perimeterd: signs shared lists")).map_err(|e| e.to_string())?;
        let public = pair.pk.to_box().map_err(|error| error.to_string())?;
        Ok((secret.into_string(), public.into_string()))
    }

    /// Who can check what this one signs.
    pub fn verifier(&self) -> Verifier {
        Verifier { key: self.public.clone(), text: self.public.to_base64() }
    }

    /// The detached signature. The comment is signed too.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, String> {
        let untrusted = Some("signature of a perimeterd list");
        let signed =
            minisign::sign(Some(&self.public), &self.secret, Cursor::new(bytes), Some(comment), untrusted);
        signed.map(|signature| signature.into_string()).map_err(|error| error.to_string())
    }
}
