//! Images and networks under one secret key (iijima2023).
//!
//! A network whose first layer is a convolution with a stride as large as its kernel sees an image as blocks that do
//! not overlap, and multiplies each block by one matrix. So the values of a block can be put in another order, and
//! some of them negated, if the rows of the matrix are: the answers stay what they were. [`Scramble`] does the one to
//! images, [`lock`] the other to the network.
//!
//! ```text
//!            Secret ──▶ Scramble::new(secret, Lock)
//!                         │            │
//! image ──▶ prepare ──▶ apply ──▶ keyed image ──▶ locked network ──▶ the plain network's logits
//!                                      ▲               ▲
//!                          what the provider sees     lock(network, preparation, scramble)
//! ```
//!
//! [`Keying::Shared`] is the paper's: one order and one choice of signs for all blocks. It is a fixed linear map, and
//! whoever knows one image and its keyed form has it. [`Keying::PerPatch`] draws another for each place of the image;
//! the network's first layer then has other weights at each place and is as many times larger. Those weights show how
//! the keys of the places differ, so that it hides no more. What attacks get back is measured in `cleave-audit`.

mod error;
mod lock;
mod scramble;
mod stem;

pub use error::Error;
pub use lock::{KeySpace, Keying, Lock};
pub use scramble::Scramble;
pub use stem::{lock, rekey, unlock};
