//! Options that several commands share.

use crate::Failure;
use clap::Args;
use cleave_data::{Dataset, Glyphs, Layout, Loader, OpenOptions, Shapes};
use cleave_nets::{AlexNet, Architecture, ConvMixer, Device, SixConv};
use cleave_partition::Release;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Which labelled images to take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// Folder or tar of labelled images (class folders, cat.0.jpg names, MNIST idx, CIFAR-10 binary), or "builtin" for drawn shapes
    #[arg(long)]
    pub data: PathBuf,
    /// Take these classes, in this order
    #[arg(long, value_delimiter = ',')]
    pub classes: Option<Vec<String>>,
    /// At most this many images a class
    #[arg(long)]
    pub limit: Option<usize>,
    /// Stop at the first broken image instead of leaving it out
    #[arg(long)]
    pub strict: bool,
}

impl DataOptions {
    /// The same images with labels in the order of a network's classes.
    pub fn with_classes_of(&self, network: &[String]) -> Result<Self, Failure> {
        match &self.classes {
            Some(given) if given != network => {
                Err(Failure::OtherClasses { network: network.to_vec(), given: given.clone() })
            }
            _ => Ok(Self { classes: Some(network.to_vec()), ..self.clone() }),
        }
    }
}

/// Opens the images of a split, where the data has splits.
pub fn open_dataset(options: &DataOptions, split: Option<&str>) -> Result<Dataset, Failure> {
    if options.data.as_os_str() == BUILTIN {
        return builtin(options, split);
    }
    let open = OpenOptions {
        layout: Layout::Auto,
        strict: options.strict,
        classes: options.classes.clone(),
        ..OpenOptions::default()
    };
    let all = Dataset::open(&options.data, &open)?;
    if all.skipped().total() > 0 {
        eprintln!("{}: {}", options.data.display(), all.skipped());
    }
    let chosen = match split {
        Some(split) if !all.splits().is_empty() => all.in_split(split)?,
        Some("train") | None => all,
        Some(split) => {
            eprintln!("note: {} has no splits; all of its images stand in for {split}", options.data.display());
            all
        }
    };
    let chosen = options.limit.map_or(chosen.clone(), |most| chosen.limited(most, 0));
    if chosen.is_empty() { Err(Failure::NoImages { path: options.data.clone() }) } else { Ok(chosen) }
}

/// Names the broken images of a loader on stderr, and counts them.
pub fn report_faults(loader: &Loader) -> usize {
    let faults = loader.faults();
    if !faults.is_empty() {
        eprintln!("{faults}");
    }
    faults.len()
}

/// In place of a path: the built-in generator.
const BUILTIN: &str = "builtin";
/// Side of the built-in images in pixels, and how many there are in a split unless limited.
const BUILTIN_SIDE: usize = 64;
const BUILTIN_TRAIN: usize = 2000;
const BUILTIN_VAL: usize = 400;

/// Drawn shapes: two classes, or the number named with `--classes`.
fn builtin(options: &DataOptions, split: Option<&str>) -> Result<Dataset, Failure> {
    let (split, images) = match split {
        None | Some("train") => ("train", BUILTIN_TRAIN),
        Some(split) => (split, BUILTIN_VAL),
    };
    let classes = options.classes.as_ref().map_or(2, Vec::len);
    let all = Shapes::new(classes, BUILTIN_SIDE, 0)?.dataset(split, images);
    Ok(options.limit.map_or(all.clone(), |most| all.limited(most, 0)))
}

/// The split to evaluate on, where the data has one.
pub fn validation_split(options: &DataOptions, train: &Dataset) -> Option<&'static str> {
    let has = |split: &&str| train.splits().iter().any(|have| have == split);
    if options.data.as_os_str() == BUILTIN { Some("val") } else { ["val", "test"].into_iter().find(has) }
}

/// Which network.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ModelOptions {
    /// Architecture: alexnet, six-conv (He et al. 2019), or convmixer-WIDTH-DEPTH
    #[arg(long, default_value = "alexnet")]
    pub arch: Arch,
    /// Height and width of the input in pixels
    #[arg(long, default_value_t = 224)]
    pub size: usize,
    /// Channels of the input: 3 for colour, 1 for grey
    #[arg(long, default_value_t = 3)]
    pub channels: usize,
    /// Divide every width but the last by this
    #[arg(long, default_value_t = 1)]
    pub divisor: usize,
    /// Side of ConvMixer's patches in pixels
    #[arg(long, default_value_t = 4)]
    pub patch: usize,
    /// Side of ConvMixer's depthwise kernel
    #[arg(long, default_value_t = 9)]
    pub kernel: usize,
}

/// Architectures by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// AlexNet as in sun2019, Table 1.
    Alexnet,
    /// Six convolutions as in He et al. 2019, for 32x32 images.
    SixConv,
    /// ConvMixer as in iijima2023.
    ConvMixer {
        /// Channels between its blocks.
        width: usize,
        /// Blocks.
        depth: usize,
    },
}

impl std::str::FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mixer = || {
            let (width, depth) = text.strip_prefix("convmixer-")?.split_once('-')?;
            Some(Self::ConvMixer { width: width.parse().ok()?, depth: depth.parse().ok()? })
        };
        match text {
            "alexnet" => Ok(Self::Alexnet),
            "six-conv" => Ok(Self::SixConv),
            _ => mixer()
                .ok_or_else(|| "take alexnet, six-conv, or convmixer-WIDTH-DEPTH as in convmixer-256-8".to_owned()),
        }
    }
}

impl ModelOptions {
    /// The layer list for so many classes.
    pub fn architecture(&self, classes: usize) -> Result<Architecture, Failure> {
        let Self { size, channels, divisor, patch, kernel, .. } = *self;
        Ok(match self.arch {
            Arch::Alexnet => AlexNet { size, channels, classes, divisor }.architecture(),
            Arch::SixConv => SixConv { size, channels, classes, divisor }.architecture(),
            Arch::ConvMixer { width, depth } => {
                ConvMixer { size, channels, classes, width: width / divisor.max(1), depth, kernel, patch }
                    .architecture()
            }
        }?)
    }
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceOption {
    /// Device to compute on
    #[arg(long, default_value = "flex")]
    pub device: String,
}

impl DeviceOption {
    /// The device.
    pub fn open(&self) -> Result<Device, Failure> {
        Ok(cleave_nets::device(&self.device)?)
    }
}

/// Digit images for the signal.
#[derive(Args, Clone, Debug)]
pub struct GlyphOptions {
    /// Folder with MNIST's idx files to take digit images from; without it they are drawn
    #[arg(long)]
    pub glyphs: Option<PathBuf>,
    /// Digit images of each digit that a client gets to draw its signal with
    #[arg(long, default_value = "64")]
    pub released_glyphs: NonZeroUsize,
}

/// Digit images to train with and to draw when there is no MNIST.
const DRAWN_GLYPHS: usize = 1000;

impl GlyphOptions {
    /// Images of the digits 0 to `classes` - 1, of MNIST's `split` or drawn.
    pub fn open(&self, classes: usize, split: &str, seed: u64) -> Result<Glyphs, Failure> {
        let digits: Vec<_> = (0..classes.min(10)).collect();
        match &self.glyphs {
            Some(folder) => Ok(Glyphs::from_mnist(folder, split, &digits)?),
            None => Ok(Glyphs::drawn(if split == "train" { seed } else { !seed }, &digits, DRAWN_GLYPHS)?),
        }
    }
}

/// A name that a hello can carry.
pub fn model_name(text: &str) -> Result<String, String> {
    let fits = (1..=cleave_wire::MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("take 1 to 128 printable ASCII characters without blanks".to_owned()) }
}

/// Where the two files of a pair go.
#[derive(Args, Clone, Debug)]
pub struct PairFiles {
    /// The client's file
    #[arg(long)]
    pub out_front: PathBuf,
    /// The provider's file
    #[arg(long)]
    pub out_back: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

impl PairFiles {
    /// Writes a pair, whole or not at all.
    pub fn write(&self, release: &Release) -> Result<(), Failure> {
        Ok(release.write(&self.out_front, &self.out_back, self.force)?)
    }
}
