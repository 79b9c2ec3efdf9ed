//! One safetensors file with a JSON manifest in its metadata.

use crate::{Architecture, Device, Error, Network};
use cleave_data::{Glyphs, Preparation};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// Version of the manifest that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The key of the manifest in the safetensors metadata.
const MANIFEST: &str = "cleave";

/// A tensor in host memory, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `shape` values.
    pub values: Vec<f32>,
}

/// Which part of a network a file holds, and so who may hold the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All of it; the provider's.
    Whole,
    /// What the client runs.
    Front,
    /// What the provider serves.
    Back,
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
    /// [`Error::Io`], [`Error::Format`], [`Error::Version`], or what does not fit the architecture.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let (card, contents) = read_checkpoint::<ModelCard>(path, Role::Whole)?;
        let network = Network::from_tensors(card.architecture.clone(), contents.tensors, device)?;
        Ok(Self { card, network, glyphs: contents.glyphs })
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
    let io = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".cleave-").tempfile_in(folder).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder).map_err(io)
}

/// On Unix a rename lasts only once its folder is synced.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

fn encode(path: &Path, contents: &Contents, manifest: &impl Serialize) -> Result<Vec<u8>, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let manifest = serde_json::to_string(manifest).map_err(|error| format(error.to_string()))?;
    let weights = contents.tensors.iter();
    let mut entries: Vec<_> = weights
        .map(|(name, tensor)| (name.as_str(), Dtype::F32, tensor.shape.clone(), little_endian(&tensor.values)))
        .collect();
    if let Some((shape, bytes)) = contents.glyphs.as_ref().map(glyph_bytes).transpose().map_err(&format)? {
        entries.push((GLYPHS, Dtype::U8, shape, bytes));
    }
    let views =
        entries.iter().map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, SafeTensorError>>().map_err(|error| format(error.to_string()))?;
    let metadata = HashMap::from([(MANIFEST.to_owned(), manifest)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| format(error.to_string()))
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
        (Dtype::U8, [digits, each, Glyphs::SIDE, Glyphs::SIDE]) => {
            let digits: Vec<_> = (0..*digits).collect();
            Glyphs::from_bytes(&digits, *each, view.data()).map_err(|error| error.to_string())
        }
        (dtype, shape) => Err(format!("its glyphs are {dtype:?} {shape:?}, expected U8 [digits, images, 28, 28]")),
    }
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Reads a file of the given role: its manifest and its tensors.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a damaged, foreign or misused file; [`Error::Version`].
pub fn read_checkpoint<M: DeserializeOwned>(path: &Path, role: Role) -> Result<(M, Contents), Error> {
    let bytes = read(path)?;
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let text = manifest_of(path, &bytes)?;
    let header = check_header(path, &text)?;
    if header.role != role {
        return Err(format(format!(
            "it holds the {:?} part of a network, and the {role:?} part is needed here",
            header.role
        )));
    }
    let manifest = serde_json::from_str(&text).map_err(|error| format(format!("its manifest: {error}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
    let mut contents = Contents::default();
    for (name, view) in file.iter() {
        match name {
            GLYPHS => contents.glyphs = Some(read_glyphs(&view).map_err(&format)?),
            _ => drop(contents.tensors.insert(name.to_owned(), host(name, &view)?)),
        }
    }
    Ok((manifest, contents))
}

/// Reads the header and the manifest of a file of any role, without its tensors.
///
/// # Errors
/// As [`read_checkpoint`].
pub fn read_manifest(path: &Path) -> Result<(Header, serde_json::Value), Error> {
    let text = manifest_of(path, &read(path)?)?;
    let header = check_header(path, &text)?;
    let value = serde_json::from_str(&text)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    Ok((header, value))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

fn manifest_of(path: &Path, bytes: &[u8]) -> Result<String, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| format(error.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|map| map.get(MANIFEST));
    text.cloned()
        .ok_or_else(|| format("it has no manifest; foreign weights come in through `cleave import`".to_owned()))
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
