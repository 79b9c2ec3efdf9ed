//! Floats to payload bytes and back.

use half::{f16, slice::HalfFloatSliceExt};

use crate::{MAX_BATCH, WireError};

/// Bytes before the codes of an 8-bit item: its scale and its offset, each an f32.
const AFFINE_BYTES: usize = 8;
/// Values converted to half precision at a time; small enough to stay in the first-level cache.
const BLOCK: usize = 512;

/// What the payload of a request is made of.
///
/// | code | name | bytes of an item of n numbers | error of a value |
/// |---|---|---|---|
/// | 0 | `F32` | 4n | none |
/// | 1 | `F16` | 2n | at most 2⁻¹¹ of it, or 2⁻²⁵ near zero |
/// | 2 | `U8` | 8 + n | at most half a step, the item's range / 510 |
///
/// | 128 | `Bytes` | at most n, with n of the hello | none |
///
/// An 8-bit item starts with its scale and offset (f32 each); code `q` means `offset + scale * q`.
/// Codes from 128 on are payloads that are not numbers: no [`Layout`] has them, and a request or reply
/// with them holds one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
#[allow(missing_docs)] // the table above says it once
pub enum Element {
    F32 = 0,
    F16 = 1,
    U8 = 2,
    Bytes = 128,
}

impl Element {
    /// Every element type, in the order of the codes.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::U8, Self::Bytes];
    /// Those that are numbers, which a [`Layout`] can have.
    pub const NUMBERS: [Self; 3] = [Self::F32, Self::F16, Self::U8];

    /// The number that travels.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The element of a code; `None` for a code this version does not know.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.code() == code)
    }

    /// Bytes of an item, or the most of a message.
    pub(crate) fn item_bytes(self, item_len: usize) -> Option<usize> {
        match self {
            Self::F32 => item_len.checked_mul(4),
            Self::F16 => item_len.checked_mul(2),
            Self::U8 => item_len.checked_add(AFFINE_BYTES),
            Self::Bytes => Some(item_len),
        }
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::Bytes => "bytes",
        })
    }
}

/// Size and element type of a payload. A `Layout` that exists has a legal batch and an exact size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    item_len: usize,
    batch: usize,
    element: Element,
    item_bytes: usize,
}

impl Layout {
    /// A payload of `batch` items of `item_len` numbers each.
    ///
    /// # Errors
    ///
    /// [`WireError::NotNumbers`], [`WireError::Field`] if `batch` is not 1 to [`MAX_BATCH`] or `item_len` is 0,
    /// [`WireError::Unaddressable`] if the size in bytes overflows.
    pub fn new(item_len: usize, batch: usize, element: Element) -> Result<Self, WireError> {
        if !Element::NUMBERS.contains(&element) {
            return Err(WireError::NotNumbers { element });
        }
        if !(1..=usize::from(MAX_BATCH)).contains(&batch) {
            let got = batch as u64;
            return Err(WireError::Field { field: "batch", got, expected: "1 to 64" });
        }
        if item_len == 0 {
            return Err(WireError::Field { field: "item length", got: 0, expected: "at least 1" });
        }
        // The floats are the larger side, so their size bounds both.
        let fits = item_len.checked_mul(4).and_then(|n| n.checked_add(AFFINE_BYTES));
        let fits = fits.and_then(|n| n.checked_mul(batch)).filter(|&n| n <= isize::MAX as usize);
        match (fits, element.item_bytes(item_len)) {
            (Some(_), Some(item_bytes)) => Ok(Self { item_len, batch, element, item_bytes }),
            _ => Err(WireError::Unaddressable { item_len, batch }),
        }
    }

    /// Bytes of the payload, exactly.
    pub fn byte_len(&self) -> usize {
        self.item_bytes * self.batch
    }

    /// Numbers in the tensor: batch × item length.
    pub fn value_len(&self) -> usize {
        self.item_len * self.batch
    }

    /// Writes `values`, of shape `[batch, item_len]` flattened, as payload bytes.
    ///
    /// # Errors
    ///
    /// [`WireError::TensorSize`], [`WireError::NotFinite`]; [`WireError::BeyondF16`] for f16,
    /// [`WireError::AffineRange`] for u8 if the range of an item leaves f32.
    pub fn encode(&self, values: &[f32]) -> Result<Vec<u8>, WireError> {
        self.check_size("values", self.value_len(), values.len())?;
        check_finite(values)?;
        let mut bytes = vec![0; self.byte_len()];
        match self.element {
            Element::F32 => write_f32(values, &mut bytes),
            Element::F16 => write_f16(values, &mut bytes)?,
            Element::U8 => self.write_u8(values, &mut bytes)?,
            Element::Bytes => return Err(WireError::NotNumbers { element: self.element }),
        }
        Ok(bytes)
    }

    /// Reads a payload into values of shape `[batch, item_len]`, flattened. All are finite.
    ///
    /// # Errors
    ///
    /// [`WireError::TensorSize`], [`WireError::NotFinite`], [`WireError::AffineRange`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>, WireError> {
        self.check_size("bytes", self.byte_len(), bytes.len())?;
        let mut values = vec![0.0; self.value_len()];
        match self.element {
            Element::F32 => read_f32(bytes, &mut values),
            Element::F16 => read_f16(bytes, &mut values),
            Element::U8 => self.read_u8(bytes, &mut values)?,
            Element::Bytes => return Err(WireError::NotNumbers { element: self.element }),
        }
        check_finite(&values)?;
        Ok(values)
    }

    fn check_size(&self, unit: &'static str, expected: usize, got: usize) -> Result<(), WireError> {
        if expected == got {
            return Ok(());
        }
        Err(WireError::TensorSize { unit, expected, got, batch: self.batch })
    }
}

impl Layout {
    fn write_u8(&self, values: &[f32], bytes: &mut [u8]) -> Result<(), WireError> {
        let items = values.chunks_exact(self.item_len).zip(bytes.chunks_exact_mut(self.item_bytes));
        for (item, (values, bytes)) in items.enumerate() {
            let affine = Affine::covering(values);
            affine.check(item)?;
            let (front, codes) = bytes.split_at_mut(AFFINE_BYTES);
            write_f32(&[affine.scale, affine.offset], front);
            affine.write(values, codes);
        }
        Ok(())
    }

    fn read_u8(&self, bytes: &[u8], values: &mut [f32]) -> Result<(), WireError> {
        let items = bytes.chunks_exact(self.item_bytes).zip(values.chunks_exact_mut(self.item_len));
        for (item, (bytes, values)) in items.enumerate() {
            let (front, codes) = bytes.split_at(AFFINE_BYTES);
            let mut pair = [0.0; 2];
            read_f32(front, &mut pair);
            let affine = Affine { scale: pair[0], offset: pair[1] };
            affine.check(item)?;
            let table: [f32; 256] = std::array::from_fn(|code| affine.value(code as u8));
            for (value, &code) in values.iter_mut().zip(codes) {
                *value = table[usize::from(code)];
            }
        }
        Ok(())
    }
}

/// Code `q` stands for `offset + scale * q`.
#[derive(Clone, Copy)]
struct Affine {
    scale: f32,
    offset: f32,
}

impl Affine {
    /// The steps from the least of `values` to the greatest.
    fn covering(values: &[f32]) -> Self {
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // In f64, because the range of two f32 may not fit an f32.
        let scale = (f64::from(greatest) - f64::from(least)) / 255.0;
        Self { scale: scale as f32, offset: least }
    }

    fn check(self, item: usize) -> Result<(), WireError> {
        let Self { scale, offset } = self;
        let bounded = scale.is_finite() && offset.is_finite() && self.value(u8::MAX).is_finite();
        if bounded && scale >= 0.0 {
            return Ok(());
        }
        Err(WireError::AffineRange { item, scale, offset })
    }

    fn value(self, code: u8) -> f32 {
        (f64::from(self.offset) + f64::from(self.scale) * f64::from(code)) as f32
    }

    fn write(self, values: &[f32], codes: &mut [u8]) {
        let (offset, scale) = (f64::from(self.offset), f64::from(self.scale));
        // A range too small for 255 steps of f32 has scale 0; every value then is the offset.
        let steps = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for (code, &value) in codes.iter_mut().zip(values) {
            *code = ((f64::from(value) - offset) * steps + 0.5) as u8; // saturates at 255
        }
    }
}

fn write_f32(values: &[f32], bytes: &mut [u8]) {
    for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}

fn read_f32(bytes: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
}

fn write_f16(values: &[f32], bytes: &mut [u8]) -> Result<(), WireError> {
    let mut block = [f16::ZERO; BLOCK];
    let blocks = values.chunks(BLOCK).zip(bytes.chunks_mut(2 * BLOCK));
    for (at, (values, bytes)) in blocks.enumerate() {
        let halves = &mut block[..values.len()];
        halves.convert_from_f32_slice(values);
        if let Some(i) = halves.iter().position(|half| !half.is_finite()) {
            return Err(WireError::BeyondF16 { index: at * BLOCK + i, value: values[i] });
        }
        for (bytes, half) in bytes.as_chunks_mut().0.iter_mut().zip(halves) {
            *bytes = half.to_le_bytes();
        }
    }
    Ok(())
}

fn read_f16(bytes: &[u8], values: &mut [f32]) {
    let mut block = [f16::ZERO; BLOCK];
    for (bytes, values) in bytes.chunks(2 * BLOCK).zip(values.chunks_mut(BLOCK)) {
        let halves = &mut block[..values.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(values);
    }
}

/// One pass without a branch, so that it runs at memory speed; the position is looked up on failure.
fn check_finite(values: &[f32]) -> Result<(), WireError> {
    if values.iter().fold(true, |all, value| all & value.is_finite()) {
        return Ok(());
    }
    let index = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
    Err(WireError::NotFinite { index })
}
