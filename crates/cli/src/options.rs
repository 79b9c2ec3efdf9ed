//! Options that several commands share.

use crate::Failure;
use clap::Args;
use cleave_data::{Dataset, Glyphs, Layout, Loader, OpenOptions, Shapes};
use cleave_nets::{
    AlexNet, Architecture, CifarResNet, ConvMixer, CryptoNets, DenseNet, Device, Published, RegNetX, ResNet, SixConv,
    Vgg,
};
use cleave_partition::Release;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

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
    match options.data.as_os_str() == BUILTIN {
        true => builtin(options, split),
        false => chosen(options, open_all(options)?, split),
    }
}

/// Opens the images to measure on: those of a split that is named, else `val`, else `test`.
pub fn open_held_out(options: &DataOptions, split: Option<&str>) -> Result<Dataset, Failure> {
    if options.data.as_os_str() == BUILTIN {
        return builtin(options, split.or(Some("val")));
    }
    let all = open_all(options)?;
    let split = split.or_else(|| validation_split(options, &all)).unwrap_or("val");
    chosen(options, all, Some(split))
}

/// Opens all images of a folder or tar.
fn open_all(options: &DataOptions) -> Result<Dataset, Failure> {
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
    Ok(all)
}

/// The images of a split, no more of them than asked for.
fn chosen(options: &DataOptions, all: Dataset, split: Option<&str>) -> Result<Dataset, Failure> {
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
    /// Architecture: alexnet, six-conv, convmixer-256-8, vgg-16-bn, resnet-50, resnet-20, regnet-x-400mf, densenet-121,
    /// densenet-100-12, cryptonets and others; --help has all
    ///
    /// alexnet: five convolutions. six-conv: He et al. 2019, for 32 pixels. convmixer-WIDTH-DEPTH: as in
    /// convmixer-256-8. vgg-11, -13, -16, -19, each also with batch normalisation as in vgg-16-bn: below 64 pixels
    /// with one linear layer instead of three. resnet-18, -34, -50, -101, -152: for large images; resnet-20 and
    /// every other 6n+2: for 32 pixels. regnet-x-400mf. densenet-121, -161, -169, -201: for large images;
    /// densenet-DEPTH-GROWTH as in densenet-100-12, of depth 6n+4: for 32 pixels. cryptonets: Xiong et al., squares for
    /// activations, pixels from 0 to 1 as they are; for `cleave quantise`. Networks for large images keep
    /// their first layers on small ones; at 32 pixels one position is left at their end
    #[arg(long, default_value = "alexnet")]
    pub arch: Arch,
    /// Height and width of the input in pixels [default: 224; cryptonets: 28]
    #[arg(long)]
    pub size: Option<usize>,
    /// Channels of the input: 3 for colour, 1 for grey [default: 3; cryptonets: 1]
    #[arg(long)]
    pub channels: Option<usize>,
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
    /// CryptoNets as in Xiong et al., Table 1, for 28x28 grey images.
    CryptoNets,
    /// ConvMixer as in iijima2023.
    ConvMixer {
        /// Channels between its blocks.
        width: usize,
        /// Blocks.
        depth: usize,
    },
    /// VGG of a published depth.
    Vgg {
        /// Layers with weights.
        depth: usize,
        /// Whether a batch normalisation follows each convolution.
        batch_norm: bool,
    },
    /// ResNet of a published depth, for large images.
    ResNet(usize),
    /// ResNet of another depth, for 32x32 images.
    CifarResNet(usize),
    /// RegNetX-400MF.
    RegNetX,
    /// DenseNet of a published depth, for large images.
    DenseNet(usize),
    /// DenseNet for 32x32 images.
    CompactDenseNet {
        /// Layers with weights.
        depth: usize,
        /// Channels that a layer adds.
        growth: usize,
    },
}

/// What to write for an architecture.
const ARCHITECTURES: &str = "take alexnet, six-conv, cryptonets, convmixer-WIDTH-DEPTH as in convmixer-256-8, \
    vgg-11, vgg-13, vgg-16 or vgg-19, each with or without -bn, \
    resnet-18, resnet-34, resnet-50, resnet-101, resnet-152, or resnet-DEPTH with 6n+2 layers as in resnet-20, \
    regnet-x-400mf, densenet-121, densenet-161, densenet-169, densenet-201, \
    or densenet-DEPTH-GROWTH with 6n+4 layers as in densenet-100-12";

/// Images of fewer pixels a side leave VGG's hidden layers a single position, so they are left out.
const LARGE: usize = 64;

impl std::str::FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "alexnet" => Some(Self::Alexnet),
            "six-conv" => Some(Self::SixConv),
            "cryptonets" => Some(Self::CryptoNets),
            "regnet-x-400mf" => Some(Self::RegNetX),
            _ => text.split_once('-').and_then(|(family, numbers)| Self::of_family(family, numbers)),
        }
        .ok_or_else(|| ARCHITECTURES.to_owned())
    }
}

impl Arch {
    /// `50` of a `resnet`, `100-12` of a `densenet`.
    fn of_family(family: &str, numbers: &str) -> Option<Self> {
        let two = || {
            let (first, second) = numbers.split_once('-')?;
            Some((first.parse::<usize>().ok()?, second.parse::<usize>().ok()?))
        };
        let one = || numbers.parse().ok();
        match family {
            "convmixer" => two().map(|(width, depth)| Self::ConvMixer { width, depth }),
            "vgg" => {
                let plain = numbers.strip_suffix("-bn");
                let depth = plain.unwrap_or(numbers).parse().ok().filter(|depth| Vgg::DEPTHS.contains(depth))?;
                Some(Self::Vgg { depth, batch_norm: plain.is_some() })
            }
            "resnet" => match one()? {
                depth if ResNet::DEPTHS.contains(&depth) => Some(Self::ResNet(depth)),
                depth if depth > 2 && depth % 6 == 2 => Some(Self::CifarResNet(depth)),
                _ => None,
            },
            "densenet" => match (one(), two()) {
                (Some(depth), _) if DenseNet::DEPTHS.contains(&depth) => Some(Self::DenseNet(depth)),
                (_, Some((depth, growth))) if depth > 4 && depth % 6 == 4 => {
                    Some(Self::CompactDenseNet { depth, growth })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl ModelOptions {
    /// Height and width of the input in pixels, and its channels.
    pub fn input(&self) -> (usize, usize) {
        let (size, channels) = if self.arch == Arch::CryptoNets { (28, 1) } else { (224, 3) };
        (self.size.unwrap_or(size), self.channels.unwrap_or(channels))
    }

    /// The layer list for so many classes.
    pub fn architecture(&self, classes: usize) -> Result<Architecture, Failure> {
        Ok(self.published(classes)?.architecture)
    }

    /// The layer list with the names of its tensors in torchvision, where it is there.
    pub fn published(&self, classes: usize) -> Result<Published, Failure> {
        let Self { divisor, patch, kernel, .. } = *self;
        let (size, channels) = self.input();
        let dense = |dense| DenseNet { size, channels, classes, divisor, ..dense };
        Ok(match self.arch {
            Arch::Alexnet => AlexNet { size, channels, classes, divisor }.architecture()?.into(),
            Arch::SixConv => SixConv { size, channels, classes, divisor }.architecture()?.into(),
            Arch::CryptoNets => CryptoNets { size, channels, classes, divisor }.architecture()?.into(),
            Arch::ConvMixer { width, depth } => {
                let width = width / divisor.max(1);
                ConvMixer { size, channels, classes, width, depth, kernel, patch }.architecture()?.into()
            }
            Arch::Vgg { depth, batch_norm } => {
                let hidden = (size >= LARGE).then_some(4096);
                Vgg { depth, batch_norm, hidden, size, channels, classes, divisor }.published()?
            }
            Arch::ResNet(depth) => ResNet { depth, size, channels, classes, divisor }.published()?,
            Arch::CifarResNet(depth) => CifarResNet { depth, size, channels, classes, divisor }.published()?,
            Arch::RegNetX => RegNetX { size, channels, classes, divisor, ..RegNetX::default() }.published()?,
            Arch::DenseNet(depth) => dense(DenseNet::of_depth(depth)?).published()?,
            Arch::CompactDenseNet { depth, growth } => dense(DenseNet::compact(depth, growth)?).published()?,
        })
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

/// Fails where a file would be written over another one of the same command.
pub fn distinct<'a>(written: impl IntoIterator<Item = &'a Path>, others: &[&Path]) -> Result<(), Failure> {
    let mut seen = others.to_vec();
    for path in written {
        if seen.contains(&path) {
            return Err(Failure::SameFile { path: path.to_owned() });
        }
        seen.push(path);
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 21] = [
        "alexnet",
        "cryptonets",
        "six-conv",
        "convmixer-256-8",
        "vgg-11",
        "vgg-13-bn",
        "vgg-16",
        "vgg-19-bn",
        "resnet-18",
        "resnet-34",
        "resnet-50",
        "resnet-101",
        "resnet-152",
        "resnet-20",
        "resnet-110",
        "regnet-x-400mf",
        "densenet-121",
        "densenet-161",
        "densenet-169",
        "densenet-201",
        "densenet-100-12",
    ];

    fn options(name: &str, size: usize) -> ModelOptions {
        let (arch, size, channels) = (name.parse().unwrap(), Some(size), Some(3));
        ModelOptions { arch, size, channels, divisor: 1, patch: 4, kernel: 9 }
    }

    #[test]
    fn every_architecture_is_found_by_its_name() {
        for name in NAMES {
            let outputs = options(name, 64).architecture(7).unwrap().output().unwrap();
            assert_eq!(outputs.values(), 7, "{name}");
        }
    }

    #[test]
    fn other_names_are_answered_with_the_list() {
        let wrong =
            ["vgg-12", "vgg-16-bn-bn", "resnet-19", "resnet-2", "densenet-100", "densenet-41-12", "regnet", "-"];
        for name in wrong {
            assert_eq!(name.parse::<Arch>().unwrap_err(), ARCHITECTURES, "{name}");
        }
        assert!(!ARCHITECTURES.contains("  "));
        let listed = |name: &&str| ARCHITECTURES.contains(name.trim_end_matches("-bn"));
        assert_eq!(NAMES.iter().filter(|name| !listed(name)).collect::<Vec<_>>(), [&"resnet-110"]);
    }

    #[test]
    fn small_images_get_the_small_head_and_large_ones_torchvisions() {
        let linear = |size| {
            let architecture = options("vgg-11", size).architecture(10).unwrap();
            architecture.numbered_layers().iter().filter(|layer| layer.name.starts_with("fc")).count()
        };
        assert_eq!([32, 64, 224].map(linear), [1, 3, 3]);
    }
}
