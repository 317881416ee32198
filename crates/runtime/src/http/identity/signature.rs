//! Signatures of tokens by ring, which TLS is made of, too: one provider of cryptography is enough.
//!
//! Asymmetric algorithms only, so that no published key can pass for a shared secret; ring takes RSA keys of 2048 to 8192 bits.
//! Checked against the examples of RFC 7515, RFC 7520 and RFC 8037.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use signature_traits::Verifier;

/// What a token may be signed by.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: |algorithm, key| Ok(Box::new(Checker::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(), // it makes and names keys, which nobody here does
};

/// Lets tokens be checked from here on.
pub(super) fn install() {
    // Refused if it is there already.
    PROVIDER.install_default().ok();
}

/// How ring checks a signature.
enum Method {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

fn method(algorithm: Algorithm) -> Option<Method> {
    Some(match algorithm {
        Algorithm::RS256 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Method::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Method::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Method::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Method::Curve(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Method::Curve(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Method::Curve(&signature::ED25519),
        _ => return None,
    })
}

/// One key, for one algorithm.
struct Checker {
    algorithm: Algorithm,
    method: Method,
    key: DecodingKey,
}

impl Checker {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        let method = method(algorithm).ok_or_else(|| new_error(ErrorKind::UnsupportedAlgorithm))?;
        if key.family() != algorithm.family() {
            return Err(new_error(ErrorKind::InvalidKeyFormat));
        }
        Ok(Self { algorithm, method, key: key.clone() })
    }
}

impl Verifier<Vec<u8>> for Checker {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature_traits::Error> {
        let checked = match (&self.method, self.key.kind()) {
            (Method::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n: number(n), e: number(e) };
                key.verify(parameters, message, signature)
            }
            (Method::Curve(curve), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*curve, point).verify(message, signature)
            }
            _ => return Err(signature_traits::Error::new()),
        };
        checked.map_err(|_| signature_traits::Error::new())
    }
}

impl JwtVerifier for Checker {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Some issuers write zeros before a number, which ring refuses.
fn number(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    &bytes[first..]
}
