use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use cleave_secrets::{Existing, write_file};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    EncryptedEnsemble, Error, IntegerNetwork, ParamSet, Params, Precision, Ranges, ReleaseFault, Result, Shape,
    network::{check_alike, same_scale},
};

const FORMAT: u32 = 1;
/// Bytes of the largest list of members, and of the largest member.
const MAX_LIST: u64 = 1 << 20;
const MAX_MEMBER: u64 = 1 << 25;
const MAX_MEMBERS: usize = 64;
const MAX_NAME: usize = 128;
/// The only channels there are.
const GREY: &str = "grey";

/// What a provider serves: networks in integers, and what a client has to know of them.
///
/// On disk it is a TOML file, the *list*, and beside it one JSON file a network, of which the list has the SHA-256.
/// The list finds damage. It is not signed: who can write to the folder can put in other networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Parameters that hold the sum of scores.
    pub set: ParamSet,
    /// The shape of all networks. Images are grey, `height` × `width`, prepared by [`levels`](crate::levels).
    pub shape: Shape,
    /// The sum of scores is divided by this and by the number of networks to give float scores.
    pub scale: f64,
    /// Names of the classes, in the order of the scores.
    pub classes: Vec<String>,
    /// How finely the networks were turned into integers.
    pub precision: Precision,
    /// What was measured before the release.
    pub ranges: Ranges,
    /// Bits that `set` has to hold above the largest sum that was measured.
    pub margin: u32,
    /// The name of the network that each came from.
    pub sources: Vec<String>,
    /// The networks, whose scores are added.
    pub networks: Vec<IntegerNetwork>,
}

/// The list as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    format: u32,
    set: String,
    classes: Vec<String>,
    scale: f64,
    max_weight: [u16; 3],
    input: Input,
    ranges: Measured,
    members: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    channels: String,
    height: usize,
    width: usize,
    max_pixel: u8,
}

/// [`Ranges`] as text in decimals, since they have more bits than a number in TOML.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    images: usize,
    margin_bits: u32,
    convolution: String,
    hidden: String,
    output: String,
    sum: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    file: String,
    sha256: String,
    source: String,
}

impl Release {
    /// Checks that networks, classes, precision and parameters agree, and that `set` holds the measured sum and margin.
    ///
    /// # Errors
    ///
    /// [`ReleaseFault::Field`], [`ReleaseFault::Exceeds`]; [`ReleaseFault::Refused`] for a network.
    pub fn check(&self) -> Result<(), ReleaseFault> {
        let Some(first) = self.networks.first().filter(|_| self.networks.len() <= MAX_MEMBERS) else {
            return Err(field("members", self.networks.len(), format!("1 to {MAX_MEMBERS}")));
        };
        check_alike(&self.networks)?;
        if first.shape != self.shape {
            return Err(field("shape of the networks", format!("{:?}", first.shape), format!("{:?}", self.shape)));
        }
        if !same_scale(first.scale, self.scale) {
            return Err(field("scale of the networks", first.scale, self.scale));
        }
        self.check_precision()?;
        self.check_names()?;
        if self.ranges.images == 0 {
            return Err(field("images in ranges", 0, "1 or more"));
        }
        match self.set.holds(self.ranges.sum, self.margin) {
            true => Ok(()),
            false => Err(ReleaseFault::Exceeds {
                set: self.set,
                largest: self.ranges.sum,
                margin: self.margin,
                limit: self.set.largest(),
            }),
        }
    }

    fn check_precision(&self) -> Result<(), ReleaseFault> {
        for network in &self.networks {
            if network.max_pixel != self.precision.max_pixel {
                return Err(field("max_pixel of a network", network.max_pixel, self.precision.max_pixel));
            }
            for (layer, max) in network.layers.iter().zip(self.precision.max_weight) {
                let largest = layer.weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0);
                if largest > max.into() {
                    return Err(field("weight of a network", largest, format!("at most max_weight, {max}")));
                }
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ReleaseFault> {
        if self.classes.len() != self.shape.classes {
            return Err(field("number of classes", self.classes.len(), self.shape.classes));
        }
        if self.sources.len() != self.networks.len() {
            return Err(field("number of sources", self.sources.len(), self.networks.len()));
        }
        if let Some(name) = twice(&self.classes) {
            return Err(field("classes", format!("{name:?} twice"), "each once"));
        }
        match self.classes.iter().chain(&self.sources).find(|name| !is_text(name, MAX_NAME)) {
            Some(name) => Err(unprintable("name of a class or source", name)),
            None => Ok(()),
        }
    }

    /// Lays the networks out for ciphertexts.
    ///
    /// # Errors
    ///
    /// Those of [`EncryptedEnsemble::new`].
    pub fn ensemble(&self) -> Result<EncryptedEnsemble> {
        EncryptedEnsemble::new(&Params::named(self.set)?, &self.networks)
    }

    /// Writes the networks beside `path` (for `ensemble.toml` they are `ensemble-1.json` and so on), and the list last.
    ///
    /// Each file is written to a temporary name, synced and renamed. Where a release is replaced and that is
    /// interrupted, the old list does not fit the new networks, which [`Release::read`] finds.
    ///
    /// # Errors
    ///
    /// [`Error::Release`] with what [`Release::check`] finds, for a name that cannot be one of a file in a release, and
    /// for networks above 32 MiB; [`Error::Write`].
    pub fn write(&self, path: &Path, existing: Existing) -> Result<()> {
        let in_file = |fault| Error::Release { path: path.into(), fault };
        self.check().map_err(in_file)?;
        let files = self.file_names(path).map_err(in_file)?;
        let texts = self.networks.iter().map(json).collect::<Result<Vec<_>, _>>().map_err(in_file)?;
        let list = toml::to_string(&self.list(&files, &texts)).map_err(|error| in_file(format(error)))?;
        if existing == Existing::Keep && path.exists() {
            return Err(Error::Write(cleave_secrets::Error::Exists { path: path.into() }));
        }
        for (file, text) in files.iter().zip(&texts) {
            write_file(&path.with_file_name(file), text, existing).map_err(Error::Write)?;
        }
        write_file(path, list.as_bytes(), existing).map_err(Error::Write)
    }

    fn file_names(&self, path: &Path) -> Result<Vec<String>, ReleaseFault> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let names: Vec<_> = (1..=self.networks.len()).map(|number| format!("{stem}-{number}.json")).collect();
        names.iter().try_for_each(|name| check_file_name(name))?;
        match names.iter().any(|name| path.ends_with(name)) {
            true => Err(field("name of the list", stem, "another than those of the networks")),
            false => Ok(names),
        }
    }

    fn list(&self, files: &[String], texts: &[Vec<u8>]) -> List {
        let member = |((file, text), source): ((&String, &Vec<u8>), &String)| Member {
            file: file.clone(),
            sha256: HEXLOWER.encode(&Sha256::digest(text)),
            source: source.clone(),
        };
        let Shape { height, width, .. } = self.shape;
        List {
            format: FORMAT,
            set: self.set.name().into(),
            classes: self.classes.clone(),
            scale: self.scale,
            max_weight: self.precision.max_weight,
            input: Input { channels: GREY.into(), height, width, max_pixel: self.precision.max_pixel },
            ranges: Measured::new(self.ranges, self.margin),
            members: files.iter().zip(texts).zip(&self.sources).map(member).collect(),
        }
    }

    /// Reads a list and its networks, and checks them.
    ///
    /// # Errors
    ///
    /// [`Error::Release`] names the file and its [`ReleaseFault`]. Sizes are held against limits before anything is
    /// read, and hashes before anything is parsed.
    pub fn read(path: &Path) -> Result<Self> {
        let list = List::read(path).map_err(|fault| Error::Release { path: path.into(), fault })?;
        let networks = list.members.iter().map(|member| member.read(path)).collect::<Result<Vec<_>>>()?;
        list.release(networks).map_err(|fault| Error::Release { path: path.into(), fault })
    }
}

impl List {
    fn read(path: &Path) -> Result<Self, ReleaseFault> {
        let text = String::from_utf8(read(path, MAX_LIST)?).map_err(format)?;
        let table: toml::Table = text.parse().map_err(|error| syntax(&error))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(got) if got == i64::from(FORMAT) => {}
            Some(got) => return Err(ReleaseFault::Version { got, known: FORMAT }),
            None => return Err(field("format", "no number", FORMAT)),
        }
        let list: Self = toml::from_str(&text).map_err(|error| syntax(&error))?;
        list.check().map(|()| list)
    }

    /// What has to be right before a member is read.
    fn check(&self) -> Result<(), ReleaseFault> {
        if self.input.channels != GREY {
            return Err(field("channels", &self.input.channels, GREY));
        }
        if !(1..=MAX_MEMBERS).contains(&self.members.len()) {
            return Err(field("members", self.members.len(), format!("1 to {MAX_MEMBERS}")));
        }
        self.members.iter().try_for_each(|member| check_file_name(&member.file))?;
        let files: Vec<_> = self.members.iter().map(|member| member.file.clone()).collect();
        match twice(&files) {
            Some(name) => Err(field("file", format!("{name:?} twice"), "each once")),
            None => Ok(()),
        }
    }

    fn release(self, networks: Vec<IntegerNetwork>) -> Result<Release, ReleaseFault> {
        let shape = networks.first().map(|network| network.shape).ok_or_else(|| field("members", 0, "1 or more"))?;
        let Input { height, width, max_pixel, .. } = self.input;
        if (height, width) != (shape.height, shape.width) {
            let got = format!("{height}x{width}");
            return Err(field("height and width", got, format!("{}x{}", shape.height, shape.width)));
        }
        let release = Release {
            set: self.set.parse()?,
            shape,
            scale: self.scale,
            classes: self.classes,
            precision: Precision { max_pixel, max_weight: self.max_weight },
            ranges: self.ranges.ranges()?,
            margin: self.ranges.margin_bits,
            sources: self.members.into_iter().map(|member| member.source).collect(),
            networks,
        };
        release.check().map(|()| release)
    }
}

impl Measured {
    fn new(ranges: Ranges, margin_bits: u32) -> Self {
        let Ranges { convolution, hidden, output, sum, images } = ranges;
        let [convolution, hidden, output, sum] = [convolution, hidden, output, sum].map(|x| x.to_string());
        Self { images, margin_bits, convolution, hidden, output, sum }
    }

    fn ranges(&self) -> Result<Ranges, ReleaseFault> {
        let number =
            |name, text: &str| text.parse().map_err(|_| field(name, format!("{text:?}"), "a number in decimals"));
        Ok(Ranges {
            convolution: number("ranges.convolution", &self.convolution)?,
            hidden: number("ranges.hidden", &self.hidden)?,
            output: number("ranges.output", &self.output)?,
            sum: number("ranges.sum", &self.sum)?,
            images: self.images,
        })
    }
}

impl Member {
    /// Reads the network beside the list.
    fn read(&self, list: &Path) -> Result<IntegerNetwork> {
        let path: PathBuf = list.with_file_name(&self.file);
        self.parse(&path).map_err(|fault| Error::Release { path, fault })
    }

    fn parse(&self, path: &Path) -> Result<IntegerNetwork, ReleaseFault> {
        let text = read(path, MAX_MEMBER)?;
        let got = HEXLOWER.encode(&Sha256::digest(&text));
        if got != self.sha256 {
            return Err(ReleaseFault::Hash { expected: shown(&self.sha256), got });
        }
        let network: IntegerNetwork = serde_json::from_slice(&text).map_err(format)?;
        network.check()?;
        Ok(network)
    }
}

/// A plain file that is not too large.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReleaseFault> {
    let data = std::fs::metadata(path).map_err(ReleaseFault::Io)?; // opening a pipe would wait for its other end
    if !data.is_file() {
        return Err(ReleaseFault::NotAFile);
    }
    let too_large = |got| ReleaseFault::TooLarge { got, limit };
    if data.len() > limit {
        return Err(too_large(data.len()));
    }
    let mut bytes = Vec::with_capacity(data.len() as usize);
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(ReleaseFault::Io)?;
    match bytes.len() as u64 {
        got if got > limit => Err(too_large(got)), // it grew
        _ => Ok(bytes),
    }
}

fn json(network: &IntegerNetwork) -> Result<Vec<u8>, ReleaseFault> {
    let text = serde_json::to_vec(network).map_err(format)?;
    match text.len() as u64 {
        got if got > MAX_MEMBER => Err(ReleaseFault::TooLarge { got, limit: MAX_MEMBER }),
        _ => Ok(text),
    }
}

/// A name in the folder of the list, on any operating system: no way out of it, and nothing hidden.
fn check_file_name(name: &str) -> Result<(), ReleaseFault> {
    let stray = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    match !is_text(name, MAX_NAME) || name.starts_with(['.', '-']) || name.contains(stray) {
        true => Err(unprintable("file", name)),
        false => Ok(()),
    }
}

fn is_text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.contains(char::is_control)
}

fn twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)).map(|(_, name)| name)
}

fn unprintable(what: &'static str, name: &str) -> ReleaseFault {
    field(what, format!("{:?}", shown(name)), format!("a plain name of 1 to {MAX_NAME} bytes"))
}

/// The beginning of a text that could be of any length.
fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

fn field(field: &'static str, got: impl ToString, expected: impl ToString) -> ReleaseFault {
    ReleaseFault::Field { field, got: shown(&got.to_string()), expected: expected.to_string() }
}

fn format(error: impl ToString) -> ReleaseFault {
    ReleaseFault::Format { reason: error.to_string() }
}

/// Without the excerpt that TOML's errors have, which could hold anything.
fn syntax(error: &toml::de::Error) -> ReleaseFault {
    ReleaseFault::Format { reason: error.message().to_owned() }
}
