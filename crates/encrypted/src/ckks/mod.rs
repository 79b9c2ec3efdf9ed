//! Approximate arithmetic on encrypted complex numbers: CKKS in residue number systems.
//!
//! ```text
//!  client                                                    provider
//!  Secret ─▶ SecretKey ── evaluation_keys(plan) ───────────▶ EvaluationKeys
//!  slots ──▶ encrypt ─▶ Ciphertext ── to_bytes ────────────▶ add, multiply, rescale, rotate, …
//!  slots ◀── decrypt ◀─ Ciphertext ◀──────────────────────── to_bytes
//! ```
//!
//! A ciphertext (c₀, c₁) holds N/2 complex slots, as the polynomial m with c₀ + c₁·s = scale·m + error modulo
//! q_0⋯q_l. The scheme is that of Cheon, Kim, Kim and Song ("Homomorphic Encryption for Arithmetic of Approximate
//! Numbers", ASIACRYPT 2017), on residues modulo primes as Cheon, Han, Kim, Kim and Song ("A Full RNS Variant of
//! Approximate Homomorphic Encryption", SAC 2018) have it, with the hybrid key switching of Han and Ki ("Better
//! Bootstrapping for Approximate Homomorphic Encryption", CT-RSA 2020). Transforms and arithmetic modulo primes are
//! `fhe-math`'s.
//!
//! | where | what |
//! |---|---|
//! | `params` | primes, the check against the table, what is computed once |
//! | `embedding` | slots to coefficients and back |
//! | `ring` | changing the base, dividing by primes, automorphisms |
//! | `keys` | secret key, switching keys, key switching |
//! | `cipher` | encryption, decryption, bytes, what needs no key |
//! | `evaluate` | what needs keys: products, rotations, the conjugation |
//!
//! Level and scale go with every ciphertext. What does not fit is an [`Error`](crate::Error), never a wrong number.
//! Only the size of the values is not seen: beyond q_0⋯q_l/scale they wrap around.
//!
//! **Tell nobody what was decrypted** who has ciphertexts and is not to have the key. A decrypted value has the error
//! of the ciphertext in it, and one ciphertext with its decryption gives the key (Li and Micciancio, "On the Security
//! of Homomorphic Encryption on Approximate Numbers", EUROCRYPT 2021; a test here does it). No noise is added that
//! would hide it.
//!
//! In constant time: arithmetic modulo primes and their transforms, also in encryption. Not in constant time: encoding
//! and decoding (floating point), centring while decrypting, the draw of the secret key (as in BFV). Nobody outside has
//! reviewed it.
//!
//! ```
//! use cleave_encrypted::ckks::{Complex, KeyPlan, ParamSet, Params, Plaintext, SecretKey};
//!
//! let params = Params::named(ParamSet::Ckks16384x8)?;
//! let secret = SecretKey::generate(&params)?;
//! let keys = secret.evaluation_keys(&KeyPlan::new(&params).relinearise(2).rotate(1, 1))?;
//! let slots: Vec<_> = (0..params.slots()).map(|j| Complex::from(j as f64 / 8192.0)).collect();
//! let x = secret.encrypt(&Plaintext::encode(&params, &slots, 2, params.scale())?)?;
//!
//! // On the provider's side: the square of the next slot.
//! let next = keys.rotate(&keys.multiply(&x, &x)?.rescale()?, 1)?;
//!
//! let got = secret.decrypt(&next)?;
//! assert!((got[0] - slots[1] * slots[1]).abs() < 1e-6);
//! # Ok::<(), cleave_encrypted::Error>(())
//! ```

mod cipher;
mod embedding;
mod evaluate;
mod keys;
#[cfg(test)]
mod known;
mod params;
mod ring;
#[cfg(test)]
mod tests;

pub use cipher::{Ciphertext, Plaintext};
pub use embedding::Complex;
pub use keys::{EvaluationKeys, KeyCollector, KeyPlan, SecretKey, Tags};
pub use params::{ParamSet, Params};
