//! What audits of ciphertexts share, whatever the scheme: residues in several forms, tests of counts, a classifier, and
//! an encryption with a part left out.

mod record;
mod rings;
mod run;
mod sides;
mod statistics;
mod weakened;

pub use record::{Distinguisher, Encryption, ResidueTest, Sample, Sight, View};
pub(crate) use rings::{Cipher, Rings, Seen, add, operator};
pub(crate) use run::Run;
pub(crate) use sides::{Sides, tests};
pub(crate) use statistics::{overlap, spread};
pub(crate) use weakened::Weakened;
