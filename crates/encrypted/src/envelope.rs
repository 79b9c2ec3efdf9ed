use cleave_secrets::KeyId;
use fhe_math::zq::Modulus;
use hmac::{Hmac, Mac, digest::KeyInit};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Error, Fault, Params, ParamsHash, Result};

const MAGIC: [u8; 8] = *b"CLEAVENC";
const VERSION: u16 = 1;
pub(crate) const TAG: usize = 32;
/// Bytes before the body: magic, version, kind, a zero, parameters, key, length of the body.
pub(crate) const HEAD: usize = 8 + 2 + 1 + 1 + 32 + 16 + 8;

/// What an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    EvaluationKeys = 1,
    Images = 2,
    Scores = 3,
    CkksKey = 16,
    CkksCiphertext = 17,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::EvaluationKeys => "evaluation keys",
            Self::Images => "encrypted images",
            Self::Scores => "encrypted scores",
            Self::CkksKey => "CKKS key",
            Self::CkksCiphertext => "CKKS ciphertext",
        }
    }

    pub(crate) fn error(self, fault: Fault) -> Error {
        Error::Bytes { what: self.what(), fault }
    }
}

/// What stands at the end: a checksum that finds damage, or a tag that only a holder of the key makes.
pub(crate) enum Seal<'a> {
    Checksum,
    Tag(&'a [u8; 32]),
}

impl Seal<'_> {
    fn compute(&self, bytes: &[u8]) -> [u8; TAG] {
        match self {
            Self::Checksum => Sha256::digest(bytes).into(),
            Self::Tag(key) => mac(key).chain_update(bytes).finalize().into_bytes().into(),
        }
    }

    /// Compares in constant time.
    fn check(&self, bytes: &[u8], found: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Checksum if Sha256::digest(bytes).as_slice() == found => Ok(()),
            Self::Checksum => Err(Fault::Checksum),
            Self::Tag(key) => mac(key).chain_update(bytes).verify_slice(found).map_err(|_| Fault::Tag),
        }
    }
}

/// HMAC pads a key that is shorter than a block with zeros; a padded one cannot be refused.
fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut padded = Zeroizing::new([0; 64]);
    padded[..32].copy_from_slice(key);
    <Hmac<Sha256> as KeyInit>::new(padded.as_ref().into())
}

/// Writes an envelope: head, body, seal.
pub(crate) fn wrap(kind: Kind, params: &Params, key: KeyId, body: &[u8], seal: &Seal<'_>) -> Vec<u8> {
    wrap_for(kind, params.hash(), key, body, seal)
}

/// The same for parameters of any scheme.
pub(crate) fn wrap_for(kind: Kind, params: ParamsHash, key: KeyId, body: &[u8], seal: &Seal<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body.len() + TAG);
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([kind as u8, 0]);
    out.extend(params.as_bytes());
    out.extend(key.as_bytes());
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(body);
    let tag = seal.compute(&out);
    out.extend(tag);
    out
}

/// The body of an envelope of this kind and these parameters, and whose key it names. Nothing is
/// allocated, and the seal is checked last, so that a mismatch is told from damage where it can be.
pub(crate) fn unwrap<'a>(kind: Kind, params: &Params, bytes: &'a [u8], seal: &Seal<'_>) -> Result<(Name, &'a [u8])> {
    unwrap_for(kind, params.hash(), bytes, seal)
}

/// The same for parameters of any scheme.
pub(crate) fn unwrap_for<'a>(
    kind: Kind,
    params: ParamsHash,
    bytes: &'a [u8],
    seal: &Seal<'_>,
) -> Result<(Name, &'a [u8])> {
    let fail = |fault| Err(kind.error(fault));
    let mut reader = Reader::new(kind, bytes);
    if reader.array()? != MAGIC {
        return fail(Fault::Magic);
    }
    match u16::from_le_bytes(reader.array()?) {
        VERSION => {}
        got => return fail(Fault::Version { got, known: VERSION }),
    }
    match reader.array()? {
        [got, 0] if got == kind as u8 => {}
        [got, 0] => return fail(Fault::Kind { expected: kind as u8, got }),
        [_, got] => return fail(Fault::Field { field: "reserved", got: got.into() }),
    }
    match ParamsHash(reader.array()?) {
        got if got == params => {}
        got => return Err(Error::OtherParams { what: kind.what(), expected: params, got }),
    }
    let name = Name(reader.array()?);
    let length = u64::from_le_bytes(reader.array()?);
    let expected = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(HEAD + TAG);
    match bytes.len() {
        got if got < expected => return fail(Fault::Truncated { expected, got }),
        got if got > expected => return fail(Fault::Trailing { extra: got - expected }),
        _ => {}
    }
    let (sealed, tag) = bytes.split_at(bytes.len() - TAG);
    seal.check(sealed, tag).map_err(|fault| kind.error(fault))?;
    Ok((name, &sealed[HEAD..]))
}

/// The name of a key as it stands in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name([u8; 16]);

impl Name {
    /// Refuses another key than `expected`.
    pub(crate) fn check(self, kind: Kind, expected: KeyId) -> Result<()> {
        match self.0 == *expected.as_bytes() {
            true => Ok(()),
            false => Err(Error::OtherKey { what: kind.what(), expected, got: self.id()? }),
        }
    }

    pub(crate) fn id(self) -> Result<KeyId> {
        Ok(data_encoding::HEXLOWER.encode(&self.0).parse()?)
    }
}

/// Takes fields from bytes, with an error where they end.
pub(crate) struct Reader<'a> {
    kind: Kind,
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(kind: Kind, bytes: &'a [u8]) -> Self {
        Self { kind, bytes, place: 0 }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.place.saturating_add(len);
        let fault = Fault::Truncated { expected: end, got: self.bytes.len() };
        let taken = self.bytes.get(self.place..end).ok_or(self.kind.error(fault))?;
        self.place = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// A number of four bytes that must be in `allowed`.
    pub(crate) fn number(&mut self, field: &'static str, allowed: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let got = u32::from_le_bytes(self.array()?);
        match usize::try_from(got) {
            Ok(value) if allowed.contains(&value) => Ok(value),
            _ => Err(self.kind.error(Fault::Field { field, got: got.into() })),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<()> {
        match self.bytes.len() - self.place {
            0 => Ok(()),
            extra => Err(self.kind.error(Fault::Trailing { extra })),
        }
    }

    /// One polynomial at `level`, every residue of which is below its modulus.
    pub(crate) fn polynomial(&mut self, params: &Params, level: usize) -> Result<Vec<u64>> {
        self.rows(params.q(level), params.degree())
    }

    /// A row of residues a modulus, each below it.
    pub(crate) fn rows<'m>(
        &mut self,
        moduli: impl IntoIterator<Item = &'m Modulus>,
        degree: usize,
    ) -> Result<Vec<u64>> {
        let mut out = Vec::new();
        for modulus in moduli {
            let packed = self.take(modulus.serialization_length(degree))?;
            let row = modulus.deserialize_vec(packed);
            if let Some(at) = row.iter().position(|&x| x >= **modulus) {
                return Err(self.kind.error(Fault::Residue { index: out.len() + at }));
            }
            out.extend(row);
        }
        Ok(out)
    }
}

/// Appends one polynomial, packed to the bits of each modulus.
pub(crate) fn put_polynomial(out: &mut Vec<u8>, params: &Params, level: usize, residues: &[u64]) {
    put_rows(out, params.q(level), params.degree(), residues);
}

/// Appends a row of residues a modulus.
pub(crate) fn put_rows<'m>(
    out: &mut Vec<u8>,
    moduli: impl IntoIterator<Item = &'m Modulus>,
    degree: usize,
    residues: &[u64],
) {
    for (modulus, row) in moduli.into_iter().zip(residues.chunks_exact(degree)) {
        out.extend(modulus.serialize_vec(row));
    }
}

/// Bytes of one packed polynomial.
pub(crate) fn packed_len(params: &Params, level: usize) -> usize {
    params.q(level).iter().map(|q| q.serialization_length(params.degree())).sum()
}
