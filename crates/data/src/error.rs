use std::io;
use std::path::PathBuf;

/// Everything that can go wrong between a path and a batch.
///
/// Each variant carries the numbers and names it talks about, so that a caller can react to the
/// case and a person can read what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Prepared images of another size or fit.
    #[error(
        "images were prepared as {got:?} (channels, height, width) and are needed as {expected:?}, or are fitted in another way; use models of the same --size"
    )]
    OtherPreparation {
        /// The shape that is needed.
        expected: [usize; 3],
        /// The shape there is.
        got: [usize; 3],
    },
    /// The operating system refused to read or write a path.
    #[error("cannot read or write {}: {source}; check that it exists and that you may access it", path.display())]
    Io {
        /// The path as it was given or found.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No known layout fits what lies at the path.
    #[error(
        "{} is neither an image folder, nor MNIST idx files, nor CIFAR-10 binary files, nor a tar of images; \
         give one of these, or name the layout", path.display()
    )]
    UnknownLayout {
        /// The path that was opened.
        path: PathBuf,
    },
    /// Nothing usable is left after skipping hidden files, other formats and other classes.
    #[error(
        "{} holds no images to use ({skipped} files were skipped); \
         expected CLASS/NAME.jpg, SPLIT/CLASS/NAME.jpg or CLASS.NUMBER.jpg, as JPEG, PNG or WebP", path.display()
    )]
    NoImages {
        /// The path that was opened.
        path: PathBuf,
        /// How many files were passed over.
        skipped: usize,
    },
    /// The split asked for is not there.
    #[error("no split {wanted:?} here, only {available:?}; choose one of these or leave the split out")]
    NoSplit {
        /// The split asked for.
        wanted: String,
        /// The splits found.
        available: Vec<String>,
    },
    /// A class asked for is not there.
    #[error("no class {wanted:?} here, only {available:?}; choose among these")]
    NoClass {
        /// The class asked for.
        wanted: String,
        /// The classes found, sorted.
        available: Vec<String>,
    },
    /// A class was asked for twice.
    #[error("class {class:?} is listed twice; name each class once, since the order gives the labels")]
    RepeatedClass {
        /// The class listed twice.
        class: String,
    },
    /// A file is not of the format its name promises.
    #[error("{}: starts with {got:#010x}, expected {expected:#010x}; is it the right file?", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The first four bytes expected, big-endian.
        expected: u32,
        /// The first four bytes found, big-endian.
        got: u32,
    },
    /// A file is shorter or longer than its own header or record size says.
    #[error("{}: holds {got} bytes, expected {expected}; fetch the file again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes expected.
        expected: u64,
        /// Bytes found; counting stops one byte past `expected`.
        got: u64,
    },
    /// A file's header says that it holds nothing.
    #[error("{}: holds no records by its own header; fetch the file again", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// Images and labels do not pair up.
    #[error("{}: {labels} labels for {images} images; the two files must come from the same set", path.display())]
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A stored label is not one of the classes.
    #[error("{}: record {record} has label {label}, expected less than {classes}; the file is damaged", path.display())]
    LabelRange {
        /// The file.
        path: PathBuf,
        /// The record, counted from 0.
        record: usize,
        /// The label found.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// An archive ends before a file that it lists.
    #[error("{}: {name} should end at byte {expected}, but the archive ends at {got}; fetch the archive again", path.display())]
    ArchiveCut {
        /// The archive.
        path: PathBuf,
        /// The file inside it.
        name: String,
        /// Where that file should end.
        expected: u64,
        /// The archive's length.
        got: u64,
    },
    /// Something is larger than the limit set for it.
    #[error("{}: needs {needed} bytes of memory, the limit is {limit}; unpack a gzipped tar first, or raise `OpenOptions::memory` for it", path.display())]
    TooLarge {
        /// The file or archive.
        path: PathBuf,
        /// Bytes needed so far.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An encoded image is larger than any sensible image file.
    #[error("{name}: takes {needed} bytes, the limit for one image file is {limit}; store it smaller")]
    FileTooLarge {
        /// The image's name in its dataset.
        name: String,
        /// Bytes it takes.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An image could not be decoded.
    #[error("{name}: not a readable image: {source}; replace or remove the file")]
    Decode {
        /// The image's name in its dataset.
        name: String,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// An image is in a format that is not read here.
    #[error("{name}: not a JPEG, PNG or WebP image; convert it first")]
    Format {
        /// The image's name in its dataset.
        name: String,
    },
    /// A decoder gave up in an unforeseen way.
    #[error("{name}: the image decoder failed without a reason; replace or remove the file")]
    DecoderPanicked {
        /// The image's name in its dataset.
        name: String,
    },
    /// Pixels do not fit the size claimed for them.
    #[error(
        "{width} x {height} pixels in {channels} channels need {expected} bytes, got {got}; channels must be 1 or 3"
    )]
    PixelCount {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Channels a pixel.
        channels: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The resizer refused an image whose sizes were checked: a mistake of this crate.
    #[error("cannot resize {from:?} to {to:?} (height, width); please report this with the image")]
    Resize {
        /// Height and width of the image, in pixels.
        from: [usize; 2],
        /// Height and width asked for, in pixels.
        to: [usize; 2],
    },
    /// A preparation has an impossible size.
    #[error("preparation: height {height} and width {width} must lie in 1..={limit}; change the sizes")]
    PreparedSize {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// The largest side allowed.
        limit: usize,
    },
    /// A preparation has an unsupported number of channels.
    #[error("preparation: {channels} channels, expected 1 (grey) or 3 (RGB)")]
    Channels {
        /// The number of channels.
        channels: usize,
    },
    /// A centre crop is larger than what it is cut from.
    #[error(
        "preparation: a crop of {height} x {width} does not fit a short side of {resize_short_side}; enlarge the short side"
    )]
    CropTooLarge {
        /// Height of the crop in pixels.
        height: usize,
        /// Width of the crop in pixels.
        width: usize,
        /// The short side that images are resized to before the crop.
        resize_short_side: usize,
    },
    /// Mean or deviation do not have one value a channel.
    #[error("preparation: {means} means and {stds} deviations for {channels} channels; give one of each a channel")]
    StatisticsCount {
        /// Means given.
        means: usize,
        /// Deviations given.
        stds: usize,
        /// Channels.
        channels: usize,
    },
    /// A mean is not finite, or a deviation is not positive.
    #[error(
        "preparation: channel {channel} has mean {mean} and deviation {std}; the mean must be finite, the deviation above 0"
    )]
    Statistics {
        /// The channel, counted from 0.
        channel: usize,
        /// Its mean.
        mean: f32,
        /// Its deviation.
        std: f32,
    },
    /// An augmentation has an impossible setting.
    #[error("augmentation: {setting} is {value}, expected 0 to {most}; change the setting")]
    Augmentation {
        /// The name of the setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The largest value allowed.
        most: f64,
    },
    /// Portions and classes do not pair up.
    #[error("{portions} portions for {classes} classes; give one a class")]
    PortionCount {
        /// Portions given.
        portions: usize,
        /// Classes of the set.
        classes: usize,
    },
    /// A portion that is none.
    #[error("the portion of class {class:?} is from {start} to {end}; give shares from 0 to 1, the smaller first")]
    Portion {
        /// The class.
        class: String,
        /// Where it starts.
        start: f64,
        /// Where it ends.
        end: f64,
    },
    /// A split into several models that there is not.
    #[error("model {model} and shares from {low} to {high}; models are 0 to 2, and shares 0 to 1, the smaller first")]
    Skew {
        /// The model.
        model: usize,
        /// The smallest share of a digit.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// A batch of no images was asked for.
    #[error("the batch size is 0; ask for at least 1 image a batch")]
    EmptyBatch,
    /// A sample was asked for that is not there.
    #[error("sample {index} of {len}; indices run from 0 to one less than the length")]
    Index {
        /// The index asked for.
        index: usize,
        /// The number of samples.
        len: usize,
    },
    /// A worker thread could not be started.
    #[error("cannot start a thread that decodes images: {source}; ask for fewer workers")]
    Thread {
        /// What the operating system said.
        source: io::Error,
    },
    /// A digit was asked for of which the bank holds no glyph.
    #[error("no glyph {index} of digit {digit}: the bank holds {available}; load more glyphs")]
    NoGlyph {
        /// The digit, 0 to 9.
        digit: usize,
        /// The glyph asked for.
        index: usize,
        /// The number of glyphs of this digit.
        available: usize,
    },
    /// Glyph bytes do not have the shape claimed.
    #[error(
        "glyph bytes: {digits} digits x {per_digit} glyphs x 28 x 28 need {expected} bytes, got {got}; the file is damaged"
    )]
    GlyphBytes {
        /// The number of digits.
        digits: usize,
        /// Glyphs a digit.
        per_digit: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Something is not a digit, or appears twice in a list of digits.
    #[error("{digit} in a list of digits; each must be one of 0 to 9 and appear once")]
    Digit {
        /// The value found.
        digit: usize,
    },
    /// Images of another size where 28 x 28 grey ones are needed.
    #[error("{}: images of {height} x {width}, expected 28 x 28; glyphs come from MNIST-like sets", path.display())]
    GlyphSize {
        /// The folder.
        path: PathBuf,
        /// Height found.
        height: usize,
        /// Width found.
        width: usize,
    },
    /// The shape generator was asked for an impossible set.
    #[error(
        "shapes: {classes} classes at {size} pixels; expected 2 to {most} classes and {least_size} to {most_size} pixels"
    )]
    Shapes {
        /// Classes asked for.
        classes: usize,
        /// Side in pixels asked for.
        size: usize,
        /// The most classes there are.
        most: usize,
        /// The smallest side.
        least_size: usize,
        /// The largest side.
        most_size: usize,
    },
}

impl DataError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
