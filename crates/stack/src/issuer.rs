//! An issuer of tokens for one machine: a key of its own, the JSON Web Key Set that has its public half, and tokens by it.
//!
//! It signs whatever it is told to, also what no service may take: tests need that. Who asks it is not asked who they are.

use std::path::Path;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// Signs tokens with ES256.
#[derive(Debug)]
pub struct Issuer {
    id: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// `iss` of its tokens.
    pub const NAME: &str = "https://issuer.localhost";

    /// `aud` of its tokens.
    pub const AUDIENCE: &str = "web-store";

    /// How long a token is good, unless it says otherwise.
    pub const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

    /// One with a new key, under a name for it.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate(id: &str) -> anyhow::Result<Issuer> {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("making a key failed"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        Ok(Issuer { id: id.to_owned(), key: key.map_err(|error| anyhow!("a new key is refused: {error}"))?, random })
    }

    /// The public key as a JSON Web Key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let (x, y) = self.public_key()[1..].split_at(32);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y})
    }

    /// The public key as a point, uncompressed.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The JSON Web Key Set with its key alone.
    #[must_use]
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// What a service is told to take its tokens, whose keys are in a file.
    #[must_use]
    pub fn settings(jwks: &Path) -> [(&'static str, String); 3] {
        [
            ("AUTH_ISSUER", Issuer::NAME.to_owned()),
            ("AUTH_AUDIENCE", Issuer::AUDIENCE.to_owned()),
            ("AUTH_JWKS_FILE", jwks.display().to_string()),
        ]
    }

    /// A token for somebody, with scopes.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn token(&self, subject: &str, scopes: &[&str]) -> anyhow::Result<String> {
        self.token_of(&json!({ "sub": subject, "scope": scopes.join(" ") }))
    }

    /// A token with these claims; `iss`, `aud` and `exp` are added where they don't say otherwise. One that is null is left out.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn token_of(&self, claims: &Value) -> anyhow::Result<String> {
        let (now, header) = (Utc::now().timestamp(), json!({"typ": "JWT", "alg": "ES256", "kid": self.id}));
        let mut all = json!({
            "iss": Issuer::NAME, "aud": Issuer::AUDIENCE, "iat": now, "exp": now + Issuer::LIFETIME_SECONDS,
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        if let Value::Object(all) = &mut all {
            all.retain(|_, value| !value.is_null());
        }
        self.sign(&header, &all)
    }

    /// A token with this header, whatever it says, and these claims alone.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let message = Issuer::message(header, claims);
        let signature = self.key.sign(&self.random, message.as_bytes()).map_err(|_| anyhow!("signing failed"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What of a token is signed.
    #[must_use]
    pub fn message(header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}")
    }
}
