//! The first layer of a network under a key.

use crate::scramble::Table;
use crate::{Error, Keying, Lock, Scramble};
use cleave_data::Preparation;
use cleave_nets::{Architecture, HostTensor, Layer, Network};

/// Locks a network: it then answers keyed images as it answered plain ones before (iijima2023, Eqs. 8 and 9).
///
/// Also returned is how plain images are prepared before the key is applied: to values from −1 to 1. What the network's
/// own preparation did beyond that goes into the weights and the bias of its first layer, and batch normalisation is
/// folded where it can be ([`Network::folded`]). Answers change by rounding alone. Under [`Keying::PerPatch`] the first
/// layer becomes a [`Layer::LocalConv2d`] with as many times the weights as there are patches.
///
/// # Errors
/// [`Error::OtherImage`] when network, preparation and key are of different shapes; [`Error::NotLockable`];
/// [`Error::Network`].
pub fn lock(
    network: &Network,
    preparation: &Preparation,
    scramble: &Scramble,
) -> Result<(Network, Preparation), Error> {
    let lock = scramble.lock();
    check_shapes(network.architecture(), lock)?;
    if preparation.shape() != lock.image.dims() {
        let got = format!("prepared images of {:?}", preparation.shape());
        return Err(Error::OtherImage { expected: lock.image, got });
    }
    preparation.validate()?;
    if matches!(network.architecture().layers.first(), Some(Layer::LocalConv2d { .. })) {
        let reason = "its first layer has weights of its own at each patch, as one has that is locked already";
        return Err(Error::NotLockable { reason: reason.to_owned() });
    }
    let network = network.folded()?;
    let plain = preparation.clone().normalised(vec![0.5; lock.image.channels], vec![0.5; lock.image.channels]);
    let locked = with_stem(&network, lock, |stem| {
        stem.take_in(preparation, lock);
        stem.spread(lock).mapped(scramble.tables())
    })?;
    Ok((locked, plain))
}

/// Moves a locked network from one key to another, without the plain network in between.
///
/// It is of no use against whoever kept the network under the old key: both have the same weights in other places, which
/// shows how the two keys differ.
///
/// # Errors
/// [`Error::OtherImage`] when network and keys are of different shapes; [`Error::PerPatchToShared`]; [`Error::Network`].
pub fn rekey(network: &Network, old: &Scramble, new: &Scramble) -> Result<Network, Error> {
    check_shapes(network.architecture(), old.lock())?;
    check_shapes(network.architecture(), new.lock())?;
    if (old.lock().keying, new.lock().keying) == (Keying::PerPatch, Keying::Shared) {
        return Err(Error::PerPatchToShared);
    }
    let each = old.tables().iter().cycle().zip(new.tables());
    let changes: Vec<_> = each.map(|(old, new)| old.then_instead(new)).collect();
    with_stem(network, new.lock(), |stem| stem.spread(new.lock()).mapped(&changes))
}

/// Takes the key off a locked network, for whoever holds it. A network with a key for each patch keeps its local first
/// layer, with the same weights at every patch.
///
/// # Errors
/// [`Error::OtherImage`] when network and key are of different shapes; [`Error::Network`].
pub fn unlock(network: &Network, scramble: &Scramble) -> Result<Network, Error> {
    let lock = scramble.lock();
    check_shapes(network.architecture(), lock)?;
    let idle = Table::idle(lock);
    let changes: Vec<_> = scramble.tables().iter().map(|table| table.then_instead(&idle)).collect();
    with_stem(network, lock, |stem| stem.spread(lock).mapped(&changes))
}

fn check_shapes(architecture: &Architecture, lock: &Lock) -> Result<(), Error> {
    let own = Lock::of(architecture, lock.key, lock.keying)?;
    if (own.image, own.patch) == (lock.image, lock.patch) {
        return Ok(());
    }
    let got = format!("a network for {} in patches of {:?}", own.image, own.patch);
    Err(Error::OtherImage { expected: lock.image, got })
}

/// Weights of a first layer, `[positions, filters, block]`, and its bias.
struct Stem {
    weight: Vec<f32>,
    bias: Vec<f32>,
    block: usize,
    local: bool,
}

/// The network with another first layer, which has a bias whether it had one before or not.
fn with_stem(network: &Network, lock: &Lock, change: impl FnOnce(&mut Stem) -> Stem) -> Result<Network, Error> {
    let architecture = network.architecture();
    let mut tensors = network.tensors()?;
    let missing = || cleave_nets::Error::Keys { missing: vec!["0.weight".to_owned()], unknown: vec![] };
    let weight = tensors.remove("0.weight").ok_or_else(missing)?;
    let local = matches!(architecture.layers.first(), Some(Layer::LocalConv2d { .. }));
    let none = || vec![0.0; weight.shape.get(usize::from(local)).copied().unwrap_or_default()]; // one a filter
    let bias = tensors.remove("0.bias").map_or_else(none, |bias| bias.values);
    let mut stem = Stem { weight: weight.values, bias, block: lock.block(), local };
    let stem = change(&mut stem);
    let (filters, [rows, columns]) = (stem.bias.len(), lock.patch);
    let mut shape = vec![filters, lock.image.channels, rows, columns];
    let mut layers = architecture.layers.clone();
    match layers.first_mut() {
        Some(first) if stem.local => {
            shape.insert(0, lock.blocks());
            *first = Layer::LocalConv2d { filters, size: lock.patch };
        }
        Some(Layer::Conv2d { bias, .. }) => *bias = true,
        _ => {}
    }
    tensors.insert("0.weight".to_owned(), HostTensor { shape, values: stem.weight });
    tensors.insert("0.bias".to_owned(), HostTensor { shape: vec![filters], values: stem.bias });
    Ok(Network::from_tensors(Architecture::new(architecture.input, layers)?, tensors, network.device())?)
}

impl Stem {
    /// Takes in what `preparation` does beyond mapping bytes to −1 to 1: with mean m and deviation s the network takes
    /// (x − m)/s, which is (y + 1 − 2m)/2s of y = 2x − 1.
    fn take_in(&mut self, preparation: &Preparation, lock: &Lock) {
        let plane = lock.patch[0] * lock.patch[1];
        let of = |values: &[f32], at: usize| f64::from(values[at % self.block / plane]);
        let mut shifts = vec![0.0; self.bias.len()];
        for (at, weight) in self.weight.iter_mut().enumerate() {
            let (mean, twice) = (of(&preparation.mean, at), 2.0 * of(&preparation.std, at));
            shifts[at / self.block] += f64::from(*weight) * (1.0 - 2.0 * mean) / twice;
            *weight = (f64::from(*weight) / twice) as f32;
        }
        self.bias.iter_mut().zip(shifts).for_each(|(bias, shift)| *bias = (f64::from(*bias) + shift) as f32);
    }

    /// The same weights at every position, where each position is to have its own.
    fn spread(&self, lock: &Lock) -> Self {
        let local = self.local || lock.keying == Keying::PerPatch;
        let copies = if local && !self.local { lock.blocks() } else { 1 };
        Self { weight: self.weight.repeat(copies), bias: self.bias.clone(), block: self.block, local }
    }

    /// Rows of the embedding's matrix in another order and with other signs, as the values of its blocks.
    fn mapped(&self, tables: &[Table]) -> Self {
        let mut weight = Vec::with_capacity(self.weight.len());
        for (index, kernel) in self.weight.chunks_exact(self.block).enumerate() {
            let table = &tables[index / self.bias.len() % tables.len()];
            weight.extend(table.moves().map(|(from, sign)| sign * kernel[from]));
        }
        Self { weight, bias: self.bias.clone(), block: self.block, local: self.local }
    }
}
