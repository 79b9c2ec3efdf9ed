//! One safetensors file with a JSON manifest in its metadata.

use crate::{Architecture, Defence, Device, Error, Network};
use cleave_data::{Glyphs, Preparation};
use cleave_secrets::KeyId;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Version of the manifest that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The key of the manifest in the safetensors metadata.
const MANIFEST: &str = "cleave";

/// The key of the hash over manifest and tensors.
const HASH: &str = "cleave.sha256";

/// A tensor in host memory, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `shape` values.
    pub values: Vec<f32>,
}

/// What a file holds, and so who may hold the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All of it; the provider's.
    Whole,
    /// What the client runs.
    Front,
    /// What the provider serves.
    Back,
    /// A last layer by itself, which takes features.
    Head,
    /// What layers give for labelled images.
    Features,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole => "a whole network",
            Self::Front => "a front half",
            Self::Back => "a back half",
            Self::Head => "a head",
            Self::Features => "features",
        })
    }
}

/// What every manifest states about its file, whatever else it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// What the file holds.
    pub role: Role,
}

impl Header {
    /// A file written by this build.
    pub const fn of(role: Role) -> Self {
        Self { format: FORMAT_VERSION, role }
    }
}

/// How a network came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Data, seed, steps and settings of each training, first to last.
    pub history: Vec<serde_json::Value>,
}

/// The manifest of a whole network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Format and role.
    #[serde(flatten)]
    pub header: Header,
    /// The layers.
    pub architecture: Architecture,
    /// Class names, in the order of the outputs.
    pub classes: Vec<String>,
    /// How an image becomes an input.
    pub preparation: Preparation,
    /// Where it comes from.
    pub training: Training,
    /// Defences that were trained in.
    #[serde(default)]
    pub defences: Vec<Defence>,
    /// The key without which the network is wrong, since it has confusion neurons; `None` for one without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confused: Option<KeyId>,
}

/// A whole network, its manifest, and the glyphs its signal is drawn with.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The manifest.
    pub card: ModelCard,
    /// The network.
    pub network: Network,
    /// Digit images, where the signal is drawn with digits.
    pub glyphs: Option<Glyphs>,
}

/// The name of the glyphs among the tensors: u8, `[digits, images, 28, 28]`.
const GLYPHS: &str = "signal.glyphs";

/// What a file holds besides its manifest.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Weights by name, in PyTorch's layout.
    pub tensors: BTreeMap<String, HostTensor>,
    /// Digit images for the signal, the same number for each digit from 0 on.
    pub glyphs: Option<Glyphs>,
}

impl Checkpoint {
    /// Writes the file; an old one stays until the new one is complete on disk.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Execution`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let contents = Contents { tensors: self.network.tensors()?, glyphs: self.glyphs.clone() };
        write_checkpoint(path, &contents, &self.card)
    }

    /// Reads a whole network onto `device`.
    ///
    /// # Errors
    /// As [`read_checkpoint`] and [`check_manifest`]; what does not fit the architecture.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let (card, contents) = read_checkpoint::<ModelCard>(path, Role::Whole)?;
        let outputs = card.architecture.output()?.values();
        check_manifest(path, &card.architecture, &card.preparation, &card.classes, outputs)?;
        let network = Network::from_tensors(card.architecture.clone(), contents.tensors, device)?;
        Ok(Self { card, network, glyphs: contents.glyphs })
    }
}

/// Checks that what a manifest says of images, classes and signal agrees with its architecture and its outputs.
///
/// # Errors
/// [`Error::Format`] says what does not; [`Error::Architecture`].
pub fn check_manifest(
    path: &Path,
    architecture: &Architecture,
    preparation: &Preparation,
    classes: &[String],
    outputs: usize,
) -> Result<(), Error> {
    let at_odds = |reason: String| Err(Error::Format { path: path.to_owned(), reason });
    let (shapes, names) = (architecture.shapes()?, classes.len());
    if let Err(error) = preparation.validate() {
        return at_odds(format!("its preparation of images: {error}"));
    }
    if preparation.shape() != shapes[0].dims() {
        return at_odds(format!("it prepares images of {:?} and takes {}", preparation.shape(), shapes[0]));
    }
    if names != outputs {
        return at_odds(format!("it names {names} classes for {outputs} outputs"));
    }
    match architecture.join() {
        Some((_, spec)) if spec.classes != outputs => {
            at_odds(format!("its signal has {} values for {outputs} outputs", spec.classes))
        }
        _ => Ok(()),
    }
}

/// Writes tensors and manifest as one safetensors file: to a temporary name, synced, then renamed.
///
/// # Errors
/// [`Error::Io`]; a file that stood at `path` is then still there, unchanged.
pub fn write_checkpoint(path: &Path, contents: &Contents, manifest: &impl Serialize) -> Result<(), Error> {
    write_atomically(path, &encode(path, contents, manifest)?)
}

/// Writes a file to a temporary name in the same folder, syncs it and renames it.
///
/// # Errors
/// [`Error::Io`]; a file that stood at `path` is then still there, unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_through(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], for what is made while it is written.
pub(crate) fn write_through(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), Error> {
    let io = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".cleave-").tempfile_in(folder).map_err(io)?;
    fill(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder).map_err(io)
}

/// On Unix a rename lasts only once its folder is synced.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn encode(path: &Path, contents: &Contents, manifest: &impl Serialize) -> Result<Vec<u8>, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let mut entries = entries(&contents.tensors);
    if let Some((shape, bytes)) = contents.glyphs.as_ref().map(glyph_bytes).transpose().map_err(format)? {
        entries.push((GLYPHS, Dtype::U8, shape, bytes));
    }
    seal(path, &entries, manifest)
}

/// A tensor as it is written: name, element type, shape, bytes.
pub(crate) type Entry<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn entries(tensors: &BTreeMap<String, HostTensor>) -> Vec<Entry<'_>> {
    tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), Dtype::F32, tensor.shape.clone(), little_endian(&tensor.values)))
        .collect()
}

fn views<'a>(entries: &'a [Entry<'a>]) -> Result<Vec<(&'a str, TensorView<'a>)>, SafeTensorError> {
    let view = |(name, dtype, shape, bytes): &'a Entry<'a>| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?));
    entries.iter().map(view).collect()
}

/// The bytes of a file: tensors, manifest, and the hash over both.
pub(crate) fn seal(path: &Path, entries: &[Entry<'_>], manifest: &impl Serialize) -> Result<Vec<u8>, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let manifest = serde_json::to_string(manifest).map_err(|error| format(error.to_string()))?;
    let views = views(entries).map_err(|error| format(error.to_string()))?;
    let hash = hash(&manifest, views.iter().map(|(name, view)| (*name, view.clone())));
    let metadata = HashMap::from([(MANIFEST.to_owned(), manifest), (HASH.to_owned(), hash)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| format(error.to_string()))
}

/// SHA-256 over a layer list and its tensors, in hexadecimal.
pub(crate) fn fingerprint(
    architecture: &Architecture,
    tensors: &BTreeMap<String, HostTensor>,
) -> Result<String, Error> {
    let entries = entries(tensors);
    let views = views(&entries).map_err(|error| Error::Execution { reason: error.to_string() })?;
    Ok(hash(&serde_json::to_string(architecture)?, views.into_iter()))
}

/// SHA-256 over the manifest and, by name, every tensor with its type and shape; in hexadecimal.
fn hash<'a>(manifest: &str, tensors: impl Iterator<Item = (&'a str, TensorView<'a>)>) -> String {
    let mut sorted: Vec<_> = tensors.collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes()); // no field runs into the next
        hash.update(bytes);
    };
    add(manifest.as_bytes());
    for (name, view) in &sorted {
        add(name.as_bytes());
        add(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        add(view.data());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shape and bytes of as many images as every digit has.
fn glyph_bytes(glyphs: &Glyphs) -> Result<(Vec<usize>, Vec<u8>), String> {
    let digits = glyphs.digits();
    let each = digits.iter().map(|&digit| glyphs.len(digit)).min().unwrap_or(0);
    let bytes = glyphs.to_bytes(&digits, each).map_err(|error| error.to_string())?;
    Ok((vec![digits.len(), each, Glyphs::SIDE, Glyphs::SIDE], bytes))
}

fn read_glyphs(view: &TensorView<'_>) -> Result<Glyphs, String> {
    match (view.dtype(), view.shape()) {
        (Dtype::U8, [digits @ 1..=10, each @ (1..), Glyphs::SIDE, Glyphs::SIDE]) => {
            let digits: Vec<_> = (0..*digits).collect();
            Glyphs::from_bytes(&digits, *each, view.data()).map_err(|error| error.to_string())
        }
        (dtype, shape) => {
            Err(format!("its glyphs are {dtype:?} {shape:?}, expected U8 [1 to 10 digits, images, 28, 28]"))
        }
    }
}

pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Reads a file of the given role: its manifest and its tensors.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a foreign or misused file; [`Error::Damaged`]; [`Error::Version`].
pub fn read_checkpoint<M: DeserializeOwned>(path: &Path, role: Role) -> Result<(M, Contents), Error> {
    let bytes = read(path)?;
    let (manifest, file) = unseal(path, &bytes, role)?;
    let mut contents = Contents::default();
    for (name, view) in file.iter() {
        match name {
            GLYPHS => {
                let glyphs = read_glyphs(&view);
                contents.glyphs = Some(glyphs.map_err(|reason| Error::Format { path: path.to_owned(), reason })?);
            }
            _ => drop(contents.tensors.insert(name.to_owned(), host(name, &view)?)),
        }
    }
    Ok((manifest, contents))
}

/// The manifest and the tensors in the bytes of a file, held against their hash.
pub(crate) fn unseal<'a, M: DeserializeOwned>(
    path: &Path,
    bytes: &'a [u8],
    role: Role,
) -> Result<(M, SafeTensors<'a>), Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let metadata = metadata_of(path, bytes)?;
    let text = manifest_of(path, &metadata)?;
    let header = check_header(path, &text)?;
    if header.role != role {
        return Err(format(format!("it holds {}, and needed here is {role}", header.role)));
    }
    let manifest = serde_json::from_str(&text).map_err(|error| format(format!("its manifest: {error}")))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| format(error.to_string()))?;
    check_hash(path, &metadata, hash(&text, file.iter()))?;
    Ok((manifest, file))
}

/// Reads the header and the manifest of a file of any role, without its tensors.
///
/// # Errors
/// As [`read_checkpoint`].
pub fn read_manifest(path: &Path) -> Result<(Header, serde_json::Value), Error> {
    let bytes = read(path)?;
    let metadata = metadata_of(path, &bytes)?;
    let text = manifest_of(path, &metadata)?;
    let header = check_header(path, &text)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    check_hash(path, &metadata, hash(&text, file.iter()))?;
    let value = serde_json::from_str(&text)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    Ok((header, value))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

fn metadata_of(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| format(error.to_string()))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

fn manifest_of(path: &Path, metadata: &HashMap<String, String>) -> Result<String, Error> {
    metadata.get(MANIFEST).cloned().ok_or_else(|| {
        let reason = "it has no manifest; foreign weights come in through `cleave import`".to_owned();
        Error::Format { path: path.to_owned(), reason }
    })
}

fn check_hash(path: &Path, metadata: &HashMap<String, String>, got: String) -> Result<(), Error> {
    match metadata.get(HASH) {
        Some(expected) if *expected == got => Ok(()),
        expected => {
            let expected = expected.cloned().unwrap_or_else(|| "none".to_owned());
            Err(Error::Damaged { path: path.to_owned(), expected, got })
        }
    }
}

fn check_header(path: &Path, manifest: &str) -> Result<Header, Error> {
    let header: Header = serde_json::from_str(manifest)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: format!("its manifest: {error}") })?;
    if header.format > FORMAT_VERSION {
        return Err(Error::Version { path: path.to_owned(), got: header.format, supported: FORMAT_VERSION });
    }
    Ok(header)
}

/// A safetensors view of any real element type, as f32.
pub(crate) fn host(name: &str, view: &TensorView<'_>) -> Result<HostTensor, Error> {
    let values = crate::import::real_values(name, &format!("{:?}", view.dtype()), view.data())?;
    Ok(HostTensor { shape: view.shape().to_vec(), values })
}
