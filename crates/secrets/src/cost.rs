use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Bytes of salt in a sealed file.
pub(crate) const SALT_LEN: usize = 16;

const MIN_MEMORY_KIB: u32 = 8;
const MAX_MEMORY_KIB: u32 = 1 << 20; // 1 GiB
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
const MAX_PASSPHRASE: usize = 1024;

/// What Argon2id costs per passphrase tried, for the owner and for a thief.
///
/// The default is the second recommendation of RFC 9106: 64 MiB, three passes, four lanes. What is
/// read from a file must keep the bounds below, so that no file makes its reader run out of
/// memory. At the upper bounds one attempt takes 1 GiB and some ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory in KiB: 8 per lane to 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory: 1 to 16.
    pub passes: u32,
    /// Lanes: 1 to 16. They run one after the other here; a thief may run them side by side.
    pub lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl Cost {
    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// [`Error::Cost`] for the first number that is out of bounds.
    pub fn check(&self) -> Result<()> {
        let within = |field, got, min, max| match (min..=max).contains(&got) {
            true => Ok(()),
            false => Err(Error::Cost { field, got, min, max }),
        };
        within("lanes", self.lanes, 1, MAX_LANES)?;
        within("passes", self.passes, 1, MAX_PASSES)?;
        within("memory_kib", self.memory_kib, MIN_MEMORY_KIB * self.lanes, MAX_MEMORY_KIB)
    }

    /// The key that seals a file, from the UTF-8 bytes of the passphrase as they are.
    pub(crate) fn key(&self, passphrase: &str, salt: &[u8; SALT_LEN]) -> Result<Zeroizing<[u8; 32]>> {
        self.check()?;
        if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE {
            return Err(Error::PassphraseLength { got: passphrase.len(), max: MAX_PASSPHRASE });
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(refused)?;
        let mut memory = Vec::new();
        let no_memory = |_| Error::Memory { memory_kib: self.memory_kib };
        memory.try_reserve_exact(params.block_count()).map_err(no_memory)?;
        memory.resize(params.block_count(), Block::new());
        // A box is wiped block by block; a vector would be wiped again byte by byte, which takes
        // longer than a pass.
        let mut memory = Zeroizing::new(memory.into_boxed_slice());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase.as_bytes(), salt, key.as_mut_slice(), &mut memory[..])
            .map_err(refused)?;
        Ok(key)
    }
}

fn refused(_: argon2::Error) -> Error {
    Error::Refused { by: "Argon2id" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        let good = Cost { memory_kib: 128, passes: 1, lanes: 2 };
        let wrong = [
            ("memory_kib", Cost { memory_kib: 15, ..good }),
            ("memory_kib", Cost { memory_kib: 0, ..good }),
            ("memory_kib", Cost { memory_kib: MAX_MEMORY_KIB + 1, ..good }),
            ("memory_kib", Cost { memory_kib: u32::MAX, ..good }),
            ("passes", Cost { passes: 0, ..good }),
            ("passes", Cost { passes: 17, ..good }),
            ("lanes", Cost { lanes: 0, ..good }),
            ("lanes", Cost { lanes: 17, ..good }),
            ("lanes", Cost { lanes: u32::MAX, ..good }),
        ];
        good.check().unwrap();
        Cost::default().check().unwrap();
        Cost { memory_kib: MAX_MEMORY_KIB, passes: 16, lanes: 16 }.check().unwrap();
        Cost { memory_kib: 8, passes: 1, lanes: 1 }.check().unwrap();
        for (name, cost) in wrong {
            let error = cost.key("passphrase", &[0; SALT_LEN]).unwrap_err();
            assert!(matches!(error, Error::Cost { field, .. } if field == name), "{cost:?}: {error}");
        }
    }

    #[test]
    fn empty_and_endless_passphrases_are_refused() {
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        for (passphrase, len) in [(String::new(), 0), ("x".repeat(1025), 1025)] {
            let error = cost.key(&passphrase, &[0; SALT_LEN]).unwrap_err();
            assert!(matches!(error, Error::PassphraseLength { got, .. } if got == len), "{error}");
        }
        assert!(cost.key(&"x".repeat(1024), &[0; SALT_LEN]).is_ok());
    }
}
