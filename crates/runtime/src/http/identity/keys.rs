//! The public keys of an issuer, as its JSON Web Key Set (RFC 7517) has them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::signature::ALGORITHMS;

/// Keys that can check a signature; at least one.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why a document is no key set that is of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is no JSON Web Key Set")]
    Malformed(#[source] serde_json::Error),
    #[error("it has no public key that can check a signature")]
    Empty,
}

impl KeySet {
    /// Takes the keys that are of use; secrets, keys to encrypt with and unknown kinds are left out.
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(document).map_err(KeySetError::Malformed)?;
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::of).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// The key of this name that may check this algorithm, the first if there are several. A token that names none is taken for
    /// the only one that may.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        let found = match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.map(|key| &key.key)
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
                && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let possible = ALGORITHMS.into_iter().filter(|algorithm| suits(&jwk.algorithm, *algorithm));
        let declared = common.key_algorithm;
        let algorithms: Vec<_> =
            possible.filter(|algorithm| declared.is_none_or(|declared| declared == (*algorithm).into())).collect();
        if !is_for_signatures || algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: common.key_id.clone(), algorithms, key })
    }
}

/// Whether a key of this kind can check this algorithm.
fn suits(kind: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match kind {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(parameters) => {
            parameters.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ec(further: &Value) -> Value {
        // RFC 7515, appendix A.3
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                             "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        key.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        key
    }

    fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_checks_its_own_algorithm_only() {
        let keys = set(&[ec(&json!({"kid": "a"}))]).unwrap();
        assert!(keys.find(Some("a"), Algorithm::ES256).is_some());
        for algorithm in [Algorithm::ES384, Algorithm::RS256, Algorithm::EdDSA, Algorithm::HS256] {
            assert!(keys.find(Some("a"), algorithm).is_none(), "{algorithm:?}");
        }
        assert!(keys.find(Some("b"), Algorithm::ES256).is_none());
    }

    #[test]
    fn a_token_that_names_no_key_is_taken_for_the_only_one() {
        assert!(set(&[ec(&json!({"kid": "a"}))]).unwrap().find(None, Algorithm::ES256).is_some());
        let two = set(&[ec(&json!({"kid": "a"})), ec(&json!({"kid": "b"}))]).unwrap();
        assert!(two.find(None, Algorithm::ES256).is_none());
    }

    #[test]
    fn of_keys_of_one_name_the_first_that_fits_the_algorithm_counts() {
        // RFC 8037, appendix A.2
        let ed25519 =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let keys = set(&[ed25519, ec(&json!({"kid": "a"})), ec(&json!({"kid": "a"}))]).unwrap();
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256] {
            let first = keys.0.iter().find(|key| key.algorithms.contains(&algorithm)).unwrap();
            assert!(std::ptr::eq(keys.find(Some("a"), algorithm).unwrap(), &raw const first.key), "{algorithm:?}");
        }
    }

    #[test]
    fn secrets_keys_for_encryption_and_unknown_kinds_are_left_out() {
        let useless = [
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}),
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}),
            ec(&json!({"use": "enc"})),
            ec(&json!({"key_ops": ["sign"]})),
            ec(&json!({"alg": "RS256"})),
            ec(&json!({"alg": "ES512"})),
            ec(&json!({"crv": "secp256k1"})),
            json!({"kty": "new"}),
        ];
        assert!(matches!(set(&useless), Err(KeySetError::Empty)));
        let among = [&useless[..], &[ec(&json!({"kid": "a", "alg": "ES256", "use": "sig", "key_ops": ["verify"]}))]];
        let keys = set(&among.concat()).unwrap();
        assert!(keys.find(Some("a"), Algorithm::ES256).is_some());
        assert!(keys.find(Some("a"), Algorithm::HS256).is_none());
        assert!(matches!(KeySet::parse(b"<html>"), Err(KeySetError::Malformed(_))));
    }
}
