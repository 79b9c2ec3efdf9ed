//! What layers give for labelled images, and files with it.

use crate::checkpoint::{little_endian, seal, unseal};
use crate::{Architecture, Defence, Error, Header, Network, Role};
use cleave_secrets::KeyId;
use flate2::read::MultiGzDecoder;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// The most samples.
const MAX_SAMPLES: usize = 1 << 20;
/// The most values of a sample.
const MAX_WIDTH: usize = 1 << 16;
/// The most values of all samples: 1 GiB of f32.
const MAX_VALUES: usize = 1 << 28;
/// The most classes.
const MAX_CLASSES: usize = 1 << 16;
/// The most bytes of a number in a table.
const MAX_NUMBER: usize = 64;
/// The most bytes of a safetensors file's names, manifest and hash.
const MAX_HEAD: usize = 16 << 20;
/// The most bytes of a safetensors file: values, labels and what stands before them.
const MAX_FILE: u64 = (4 * MAX_VALUES + 8 * MAX_SAMPLES + MAX_HEAD) as u64;

const VALUES: &str = "features";
const LABELS: &str = "labels";

/// Where features come from: layers of a network, from its input to a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSource {
    /// [`Network::fingerprint`] of these layers, as they stand in the network's file.
    pub part: String,
    /// How many entries of the layer list they are.
    pub at: usize,
    /// The numbered layer that the features come out of; 0 for the prepared image itself.
    pub layer: usize,
    /// The key that confusion neurons were taken out with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// Whether a signal joins before the place, so that features are of a signal too.
    #[serde(default)]
    pub signals: bool,
    /// What was done to the features at a cut.
    #[serde(default)]
    pub defences: Vec<Defence>,
}

impl FeatureSource {
    /// The first `at` entries of a network's layer list.
    ///
    /// # Errors
    /// [`Error::Range`] beyond the end; [`Error::Execution`].
    pub fn of(network: &Network, at: usize) -> Result<Self, Error> {
        let part = network.slice(0..at)?;
        Ok(Self {
            part: part.fingerprint()?,
            at,
            layer: part.architecture().numbered_layers().len(),
            key: None,
            signals: part.signal_shape().is_some(),
            defences: Vec::new(),
        })
    }

    /// How many entries of the layer list lie before the features: those to the end of a numbered layer, or, without
    /// one, those before the last. Layers at the end that pass on every value as it is are left out.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`].
    pub fn place(architecture: &Architecture, layer: Option<usize>) -> Result<usize, Error> {
        let number = layer.unwrap_or_else(|| architecture.numbered_layers().len());
        let numbered = architecture.numbered_layer(number)?;
        let end = if layer.is_some() { numbered.end } else { numbered.weight };
        let busy = architecture.layers[..end].iter().rposition(|layer| !layer.is_idle());
        Ok(busy.map_or(0, |last| last + 1))
    }

    /// Whether the same layers run, with the same weights. What is done to the features behind them may differ.
    pub fn is_alike(&self, other: &Self) -> bool {
        (&self.part, self.at, self.key) == (&other.part, other.at, other.key)
    }
}

impl Display for FeatureSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.at {
            0 => write!(f, "the image as it is prepared")?,
            at => write!(f, "layer {} ({at} entries of the layer list, hash {})", self.layer, self.part)?,
        }
        if let Some(key) = self.key {
            write!(f, ", without the confusion neurons of the key {key}")?;
        }
        if self.signals {
            write!(f, ", with signals")?;
        }
        self.defences.iter().try_for_each(|defence| write!(f, ", {defence}"))
    }
}

/// Labelled samples of features: what layers gave for images, or any other table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    width: usize,
    labels: Vec<usize>,
    classes: Vec<String>,
    source: Option<FeatureSource>,
}

/// The manifest of a safetensors file.
#[derive(Serialize, Deserialize)]
struct FeatureCard {
    #[serde(flatten)]
    header: Header,
    classes: Vec<String>,
    source: Option<FeatureSource>,
}

fn unlike(what: &'static str, expected: impl Into<String>, got: impl Display) -> Error {
    Error::Features { what, expected: expected.into(), got: got.to_string() }
}

impl Features {
    /// Values of one sample after the other, with their labels.
    ///
    /// # Shapes
    /// `values`: `[labels, width]`.
    ///
    /// # Errors
    /// [`Error::Features`], [`Error::NotFinite`].
    pub fn new(
        values: Vec<f32>,
        width: usize,
        labels: Vec<usize>,
        classes: Vec<String>,
        source: Option<FeatureSource>,
    ) -> Result<Self, Error> {
        Self::check_size(labels.len(), width)?;
        if values.len() != labels.len() * width {
            return Err(unlike("values of all samples", format!("{} x {width}", labels.len()), values.len()));
        }
        if let Some((position, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite { name: VALUES.to_owned(), position, value });
        }
        let features = Self { values, width, labels, classes: Vec::new(), source };
        features.with_classes(classes)
    }

    /// Whether so many samples of so many values are within the bounds of this build.
    ///
    /// # Errors
    /// [`Error::Features`].
    pub fn check_size(samples: usize, width: usize) -> Result<(), Error> {
        let bounds = [
            ("samples", samples, MAX_SAMPLES),
            ("values of a sample", width, MAX_WIDTH),
            ("values of all samples", samples.saturating_mul(width), MAX_VALUES),
        ];
        match bounds.into_iter().find(|(_, count, most)| !(1..=*most).contains(count)) {
            Some((what, count, most)) => Err(unlike(what, format!("1 to {most}"), count)),
            None => Ok(()),
        }
    }

    /// The same samples under other names of the classes; there may be more classes than have samples.
    ///
    /// # Errors
    /// [`Error::Features`] for a label without a name.
    pub fn with_classes(self, classes: Vec<String>) -> Result<Self, Error> {
        if classes.is_empty() || classes.len() > MAX_CLASSES {
            return Err(unlike("names of classes", format!("1 to {MAX_CLASSES}"), classes.len()));
        }
        match self.labels.iter().find(|&&label| label >= classes.len()) {
            Some(label) => Err(unlike("a label", format!("less than the {} classes", classes.len()), label)),
            None => Ok(Self { classes, ..self }),
        }
    }

    /// All values, sample after sample: `[len, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Values of a sample.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The label of each sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Names of the classes, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Where the features come from, if that is known.
    pub const fn source(&self) -> Option<&FeatureSource> {
        self.source.as_ref()
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample, which is never so.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Reads a file of either form: safetensors, or a table (CSV), which may be gzipped. Which one it is, is told by its first bytes.
    ///
    /// A table has a line for each sample, the label first, without a header. It says neither where the features come
    /// from nor what the classes are called: they are "0", "1", … up to the largest label.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Csv`] names line and column; [`Error::Format`], [`Error::Damaged`], [`Error::Version`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let start = file.fill_buf().map_err(io)?;
        match (start, start.get(8)) {
            ([0x1f, 0x8b, ..], _) => read_csv(BufReader::new(MultiGzDecoder::new(file)), path),
            (_, Some(b'{')) => read_safetensors(file, path),
            _ => read_csv(file, path),
        }
    }

    /// Writes a table as [`Features::read`] takes it. It says neither what the classes are called nor where the features come from.
    ///
    /// # Errors
    /// [`Error::Io`]; a file that stood at `path` is then still there, unchanged.
    pub fn write_csv(&self, path: &Path) -> Result<(), Error> {
        crate::checkpoint::write_through(path, |file| {
            let mut text = BufWriter::new(file);
            for (label, row) in self.labels.iter().zip(self.values.chunks_exact(self.width)) {
                write!(text, "{label}")?;
                row.iter().try_for_each(|value| write!(text, ",{value:?}"))?; // shortest that reads back alike
                writeln!(text)?;
            }
            text.flush()
        })
    }

    /// Writes a safetensors file: the tensors `features` (f32) and `labels` (i64), the classes and the source.
    ///
    /// # Errors
    /// [`Error::Io`]; a file that stood at `path` is then still there, unchanged.
    pub fn write_safetensors(&self, path: &Path) -> Result<(), Error> {
        let labels: Vec<u8> = self.labels.iter().flat_map(|&label| (label as i64).to_le_bytes()).collect();
        let entries = [
            (VALUES, Dtype::F32, vec![self.len(), self.width], little_endian(&self.values)),
            (LABELS, Dtype::I64, vec![self.len()], labels),
        ];
        let header = Header::of(Role::Features);
        let card = FeatureCard { header, classes: self.classes.clone(), source: self.source.clone() };
        crate::write_atomically(path, &seal(path, &entries, &card)?)
    }
}

fn read_safetensors(file: impl Read, path: &Path) -> Result<Features, Error> {
    let format = |reason: String| Error::Format { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format(format!("it has more than {MAX_FILE} bytes")));
    }
    let (card, tensors) = unseal::<FeatureCard>(path, &bytes, Role::Features)?;
    from_tensors(card, &tensors).map_err(|error| format(error.to_string()))
}

fn from_tensors(card: FeatureCard, tensors: &SafeTensors<'_>) -> Result<Features, Error> {
    let unknown: Vec<_> = tensors.names().into_iter().filter(|name| ![VALUES, LABELS].contains(name)).collect();
    let missing: Vec<_> = [VALUES, LABELS].into_iter().filter(|name| tensors.tensor(name).is_err()).collect();
    let (Ok(values), Ok(labels), []) = (tensors.tensor(VALUES), tensors.tensor(LABELS), &unknown[..]) else {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        return Err(Error::Keys { missing: owned(missing), unknown: owned(unknown) });
    };
    let (samples, width) = match (values.dtype(), values.shape()) {
        (Dtype::F32, &[samples, width]) => (samples, width),
        (dtype, shape) => {
            return Err(unlike("tensor features", "F32 [samples, values]", format!("{dtype:?} {shape:?}")));
        }
    };
    if (labels.dtype(), labels.shape()) != (Dtype::I64, &[samples]) {
        let got = format!("{:?} {:?}", labels.dtype(), labels.shape());
        return Err(unlike("tensor labels", format!("I64 [{samples}]"), got));
    }
    Features::check_size(samples, width)?;
    let numbers = values.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let label = |bytes: &[u8; 8]| {
        let label = i64::from_le_bytes(*bytes);
        usize::try_from(label).map_err(|_| unlike("a label", "a whole number from 0", label))
    };
    let labels = labels.data().as_chunks().0.iter().map(label).collect::<Result<_, _>>()?;
    Features::new(numbers, width, labels, card.classes, card.source)
}

/// A table while it is read.
struct Table<'a> {
    path: &'a Path,
    line: usize,
    width: Option<usize>,
    values: Vec<f32>,
    labels: Vec<usize>,
}

fn read_csv(mut text: impl BufRead, path: &Path) -> Result<Features, Error> {
    let mut table = Table { path, line: 0, width: None, values: Vec::new(), labels: Vec::new() };
    let mut line = Vec::new();
    loop {
        let longest = table.width.unwrap_or(MAX_WIDTH).saturating_add(2) * MAX_NUMBER;
        line.clear();
        let read = text.by_ref().take(longest as u64).read_until(b'\n', &mut line);
        if read.map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })? == 0 {
            break;
        }
        table.line += 1;
        if line.len() == longest {
            return Err(table.wrong(1, format!("a line of less than {longest} bytes"), "a longer one"));
        }
        let Ok(text) = std::str::from_utf8(&line) else { return Err(table.wrong(1, "text", "bytes that are none")) };
        table.push(text.trim_end_matches(['\n', '\r']))?;
    }
    let (Some(width), Some(last)) = (table.width, table.labels.iter().max()) else {
        return Err(Error::Format { path: path.to_owned(), reason: "it holds no sample".to_owned() });
    };
    let classes = (0..=*last).map(|label| label.to_string()).collect();
    Features::new(table.values, width, table.labels, classes, None)
}

impl Table<'_> {
    fn push(&mut self, line: &str) -> Result<(), Error> {
        if self.labels.len() == MAX_SAMPLES {
            return Err(self.wrong(1, format!("at most {MAX_SAMPLES} samples"), "more"));
        }
        let mut fields = line.split(',');
        let label = self.label(fields.next().unwrap_or_default())?;
        for (column, field) in (2..).zip(fields) {
            if column - 1 > self.width.unwrap_or(MAX_WIDTH) {
                break; // told below, by their number
            }
            self.values.push(self.number(column, field)?);
        }
        let got = line.split(',').count() - 1;
        let expected = self.width.map_or(1..=MAX_WIDTH, |width| width..=width);
        if !expected.contains(&got) {
            let column = expected.end().min(&got) + 2;
            let expected = match self.width {
                Some(width) => format!("{width} numbers behind the label, as in the lines before"),
                None => format!("1 to {MAX_WIDTH} numbers behind the label"),
            };
            return Err(self.wrong(column, expected, got));
        }
        if self.values.len() > MAX_VALUES {
            return Err(self.wrong(1, format!("at most {MAX_VALUES} numbers in all lines"), self.values.len()));
        }
        self.width = Some(got);
        self.labels.push(label);
        Ok(())
    }

    fn label(&self, field: &str) -> Result<usize, Error> {
        let most = MAX_CLASSES as f64 - 1.0;
        let whole = |label: &f64| label.fract() == 0.0 && (0.0..=most).contains(label);
        let label = field.trim().parse().ok().filter(whole);
        let label = label.map(|label| label as usize);
        label.ok_or_else(|| self.wrong(1, format!("a label, which is a whole number from 0 to {most}"), quoted(field)))
    }

    fn number(&self, column: usize, field: &str) -> Result<f32, Error> {
        let number = field.trim().parse().ok().filter(|number: &f32| number.is_finite());
        number.ok_or_else(|| self.wrong(column, "a finite number", quoted(field)))
    }

    fn wrong(&self, column: usize, expected: impl Into<Box<str>>, got: impl Display) -> Error {
        let (path, expected, got) = (self.path.to_owned(), expected.into(), got.to_string().into());
        Error::Csv { path, line: self.line, column, expected, got }
    }
}

/// The beginning of a field, without control characters.
fn quoted(field: &str) -> String {
    format!("{:?}", field.chars().take(MAX_NUMBER).collect::<String>())
}
