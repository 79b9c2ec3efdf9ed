//! Trained networks from PyTorch.

use crate::{Architecture, Device, Error, HostTensor, Network};
use pytorch_reader::PytorchReader;
use safetensors::SafeTensors;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How the keys of a foreign file find their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyMapping {
    /// By name where the file has one of our names, otherwise by order.
    #[default]
    Auto,
    /// By name only: the keys of an `nn.Sequential` with the same layers (`0.weight`, `3.bias`).
    ByName,
    /// By order only: numeric order inside a module, the modules in the order in which all shapes fit.
    ByOrder,
    /// As the user says: our name for each key of the file.
    Given(BTreeMap<String, String>),
    /// As [`KeyMapping::Auto`], but where the file has one of these keys, all are those: [`crate::Published::keys`].
    Published(BTreeMap<String, String>),
}

/// One tensor's way from the file to the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// Key in the file.
    pub from: String,
    /// Name in the network.
    pub to: String,
    /// Shape, the same in both.
    pub shape: Vec<usize>,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// `"name"`, `"order"`, `"given"` or `"torchvision"`.
    pub mapped_by: &'static str,
    /// Each tensor, in the order of the layers.
    pub tensors: Vec<Mapped>,
    /// Keys that hold no weights and were left (`num_batches_tracked`).
    pub ignored: Vec<String>,
}

/// Reads a PyTorch state dict (`.pt`, `.pth`, `.bin`) or PyTorch-layout safetensors into `architecture`.
///
/// A pickle is parsed for tensors only; nothing in it is executed.
///
/// # Errors
/// [`Error::Format`] for a file that cannot be read; [`Error::Keys`] and [`Error::TensorShape`] name
/// what is unknown, missing or misshapen.
pub fn import_network(
    path: &Path,
    architecture: Architecture,
    mapping: &KeyMapping,
    device: &Device,
) -> Result<(Network, ImportReport), Error> {
    let (mut foreign, ignored) = read_foreign(path)?;
    let wanted = Network::tensor_shapes(&architecture)?;
    let (mapped_by, pairs) = pair_up(mapping, &wanted, &foreign)?;
    let mut tensors = BTreeMap::new();
    let mut report = ImportReport { mapped_by, tensors: Vec::new(), ignored };
    for ((to, expected), from) in wanted.into_iter().zip(pairs) {
        let tensor =
            foreign.remove(&from).ok_or_else(|| Error::Keys { missing: vec![from.clone()], unknown: vec![] })?;
        if tensor.shape != expected {
            return Err(Error::TensorShape { name: from, expected, got: tensor.shape });
        }
        report.tensors.push(Mapped { from, to: to.clone(), shape: expected });
        tensors.insert(to, tensor);
    }
    Ok((Network::from_tensors(architecture, tensors, device)?, report))
}

type Wanted = [(String, Vec<usize>)];
type Foreign = BTreeMap<String, HostTensor>;

/// For each wanted tensor the key in the file.
fn pair_up(mapping: &KeyMapping, wanted: &Wanted, foreign: &Foreign) -> Result<(&'static str, Vec<String>), Error> {
    match mapping {
        KeyMapping::ByName => Ok(("name", by_name(wanted, foreign)?)),
        KeyMapping::ByOrder => Ok(("order", by_order(wanted, foreign)?)),
        KeyMapping::Given(names) => Ok(("given", by_given(names, wanted, foreign)?)),
        KeyMapping::Auto => automatic(&BTreeMap::new(), wanted, foreign),
        KeyMapping::Published(names) => automatic(names, wanted, foreign),
    }
}

/// Whichever names the file begins to follow it has to follow throughout; where it follows none, its order counts.
fn automatic(
    published: &BTreeMap<String, String>,
    wanted: &Wanted,
    foreign: &Foreign,
) -> Result<(&'static str, Vec<String>), Error> {
    if wanted.iter().any(|(name, _)| foreign.contains_key(name)) {
        Ok(("name", by_name(wanted, foreign)?))
    } else if published.keys().any(|key| foreign.contains_key(key)) {
        Ok(("torchvision", by_given(published, wanted, foreign)?))
    } else {
        Ok(("order", by_order(wanted, foreign)?))
    }
}

fn by_name(wanted: &Wanted, foreign: &Foreign) -> Result<Vec<String>, Error> {
    let missing: Vec<_> =
        wanted.iter().filter(|(name, _)| !foreign.contains_key(name)).map(|(name, _)| name.clone()).collect();
    let unknown: Vec<_> = foreign.keys().filter(|key| !wanted.iter().any(|(name, _)| name == *key)).cloned().collect();
    if !missing.is_empty() || !unknown.is_empty() {
        return Err(Error::Keys { missing, unknown });
    }
    Ok(wanted.iter().map(|(name, _)| name.clone()).collect())
}

fn by_given(names: &BTreeMap<String, String>, wanted: &Wanted, foreign: &Foreign) -> Result<Vec<String>, Error> {
    let mut spellings: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    names.iter().for_each(|(key, name)| spellings.entry(name).or_default().push(key));
    let (mut keys, mut missing) = (Vec::new(), Vec::new());
    for (name, _) in wanted {
        let spellings = spellings.get(name).map_or(&[][..], Vec::as_slice);
        match spellings.iter().find(|key| foreign.contains_key(**key)) {
            Some(key) => keys.push((*key).clone()),
            None => missing.push(spellings.last().map_or(name, |key| *key).clone()),
        }
    }
    let taken: BTreeSet<_> = keys.iter().collect();
    let unknown: Vec<_> = foreign.keys().filter(|key| !taken.contains(key)).cloned().collect();
    if !missing.is_empty() || !unknown.is_empty() {
        return Err(Error::Keys { missing, unknown });
    }
    Ok(keys)
}

/// At most this many modules are tried in every order: 6! = 720 comparisons of shapes.
const MAX_MODULES: usize = 6;

/// Files forget the order of modules (`classifier` sorts before `features`), so it is the one in which
/// every shape fits; two such orders would be a guess and are refused.
fn by_order(wanted: &Wanted, foreign: &Foreign) -> Result<Vec<String>, Error> {
    let modules = modules(foreign);
    let orders =
        if modules.len() <= MAX_MODULES { permutations(modules.len()) } else { vec![(0..modules.len()).collect()] };
    let keys = |order: &Vec<usize>| order.iter().flat_map(|&module| modules[module].clone()).collect::<Vec<_>>();
    let fits = |keys: &Vec<String>| {
        keys.len() == wanted.len() && keys.iter().zip(wanted).all(|(key, (_, shape))| foreign[key].shape == *shape)
    };
    let mut fitting = orders.iter().map(keys).filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(first_misfit(wanted, foreign, &keys(&orders[0]))),
    }
}

/// What to tell the user when no order, or more than one, fits.
fn first_misfit(wanted: &Wanted, foreign: &Foreign, keys: &[String]) -> Error {
    for (key, (_, expected)) in keys.iter().zip(wanted) {
        if foreign[key].shape != *expected && keys.len() == wanted.len() {
            return Error::TensorShape {
                name: key.clone(),
                expected: expected.clone(),
                got: foreign[key].shape.clone(),
            };
        }
    }
    Error::Keys { missing: wanted.iter().map(|(name, _)| name.clone()).collect(), unknown: keys.to_vec() }
}

/// Keys grouped by their first word, each group in numeric order with weights before biases.
fn modules(foreign: &Foreign) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<Vec<Part>, Vec<String>> = BTreeMap::new();
    for key in foreign.keys() {
        let head = split(key).into_iter().take_while(|part| matches!(part, Part::Word(_))).take(1).collect();
        groups.entry(head).or_default().push(key.clone());
    }
    let mut modules: Vec<_> = groups.into_values().collect();
    modules.iter_mut().for_each(|keys| keys.sort_by_key(|key| split(key)));
    modules
}

/// A part of a dotted key that sorts as PyTorch lists it: numbers by value, `weight` before `bias`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(usize),
    Weight,
    Word(String),
}

fn split(key: &str) -> Vec<Part> {
    let part = |word: &str| match (word, word.parse()) {
        (_, Ok(number)) => Part::Number(number),
        ("weight", _) => Part::Weight,
        _ => Part::Word(word.to_owned()),
    };
    key.split('.').map(part).collect()
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for next in 0..count {
        let insert =
            |order: Vec<usize>| (0..=order.len()).map(move |at| [&order[..at], &[next], &order[at..]].concat());
        orders = orders.into_iter().flat_map(insert).collect();
    }
    orders
}

/// Integers that count batches, and no weights.
fn is_counter(key: &str) -> bool {
    key.ends_with("num_batches_tracked")
}

/// The tensors of a file, and the keys that hold no weights.
fn read_foreign(path: &Path) -> Result<(Foreign, Vec<String>), Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    match SafeTensors::deserialize(&bytes) {
        Ok(file) => {
            let (ignored, weights): (Vec<_>, Vec<_>) = file.iter().partition(|(name, _)| is_counter(name));
            let host = |(name, view): &(&str, _)| Ok((name.to_string(), crate::checkpoint::host(name, view)?));
            let foreign = weights.iter().map(host).collect::<Result<_, Error>>()?;
            Ok((unwrap(foreign), ignored.into_iter().map(|(name, _)| name.to_owned()).collect()))
        }
        Err(_) => read_state_dict(path),
    }
}

/// The wrappers that training scripts put around a state dict.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

fn read_state_dict(path: &Path) -> Result<(Foreign, Vec<String>), Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let reader = PytorchReader::new(path).map_err(|error| format(error.to_string()))?;
    let (mut foreign, mut ignored) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in reader.into_tensors() {
        if is_counter(&name) {
            ignored.push(name);
            continue;
        }
        let bytes = tensor.read().map_err(|error| format(error.to_string()))?;
        let values = real_values(&name, &format!("{:?}", tensor.dtype()), &bytes)?;
        foreign.insert(name, HostTensor { shape: tensor.shape().to_vec(), values });
    }
    if foreign.is_empty() {
        return Err(format("it holds no tensor; save the model's state_dict() with torch.save".to_owned()));
    }
    Ok((unwrap(foreign), ignored))
}

/// Takes off a prefix that all keys share, where it is one of [`WRAPPERS`].
fn unwrap(mut foreign: Foreign) -> Foreign {
    for wrapper in WRAPPERS {
        let prefix = format!("{wrapper}.");
        if foreign.keys().all(|key| key.starts_with(&prefix)) {
            foreign = foreign.into_iter().map(|(key, tensor)| (key[prefix.len()..].to_owned(), tensor)).collect();
        }
    }
    foreign
}

/// Little-endian bytes of a real element type, by its name, as f32.
pub(crate) fn real_values(name: &str, element: &str, bytes: &[u8]) -> Result<Vec<f32>, Error> {
    let half = |chunk: &[u8]| u16::from_le_bytes([chunk[0], chunk[1]]);
    let pairs = || bytes.chunks_exact(2).map(half);
    match element {
        "F32" => Ok(bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()),
        "F64" => Ok(bytes
            .chunks_exact(8)
            .map(|c| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32)
            .collect()),
        "F16" => Ok(pairs().map(|bits| half::f16::from_bits(bits).to_f32()).collect()),
        "BF16" => Ok(pairs().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()),
        _ => Err(Error::ElementType { name: name.to_owned(), got: element.to_owned() }),
    }
}
