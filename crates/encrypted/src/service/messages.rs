use super::{Description, Error, Result, fields::Fields};
use crate::{BatchId, Stage};

/// Bytes of the longest message of a client: 18 ciphertexts of the named sets fit.
pub const MAX_REQUEST: usize = 1 << 22;
/// Bytes of the longest answer.
pub const MAX_ANSWER: usize = 1 << 20;
/// Bytes of a piece of scores before its contents: name and place.
const PIECE_HEAD: usize = 1 + 4;
/// Bytes of scores in a piece.
pub(super) const MAX_PIECE: usize = MAX_ANSWER - PIECE_HEAD;

/// A message of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for the [`Description`].
    Describe,
    /// Evaluation keys, see [`EvaluationKeys::to_bytes`](crate::EvaluationKeys::to_bytes).
    Keys(&'a [u8]),
    /// Announces a batch of so many images.
    Begin {
        /// Its name.
        batch: BatchId,
        /// Images in it.
        images: u32,
    },
    /// Ciphertexts, see [`EncryptedImages::chunks`](crate::EncryptedImages::chunks).
    Chunk(&'a [u8]),
    /// Begins the evaluation.
    Evaluate,
    /// Asks how far it is.
    Poll,
    /// Asks for scores from this byte on.
    Fetch {
        /// Place of the first byte.
        offset: u32,
    },
    /// Gives the batch up.
    Cancel,
}

impl<'a> Request<'a> {
    /// What it is called in errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Describe => "the request for a description",
            Self::Keys(_) => "evaluation keys",
            Self::Begin { .. } => "the beginning of a batch",
            Self::Chunk(_) => "a chunk of images",
            Self::Evaluate => "the order to evaluate",
            Self::Poll => "the question for progress",
            Self::Fetch { .. } => "the request for scores",
            Self::Cancel => "the end of a batch",
        }
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Describe => vec![1],
            Self::Keys(bytes) => [&[2], *bytes].concat(),
            Self::Begin { batch, images } => [&[3], &batch.0[..], &images.to_le_bytes()].concat(),
            Self::Chunk(bytes) => [&[4], *bytes].concat(),
            Self::Evaluate => vec![5],
            Self::Poll => vec![6],
            Self::Fetch { offset } => [&[7], &offset.to_le_bytes()[..]].concat(),
            Self::Cancel => vec![8],
        }
    }

    /// Reads it. Nothing is allocated; keys and chunks are not looked into.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMessage`], [`Error::Length`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let (name, mut fields) = Fields::opened(bytes, MAX_REQUEST, "a message of the client")?;
        let message = match name {
            1 => Self::Describe,
            2 => return Ok(Self::Keys(fields.bytes)),
            3 => Self::Begin {
                batch: BatchId(fields.array("the beginning of a batch")?),
                images: fields.number("the beginning of a batch")?,
            },
            4 => return Ok(Self::Chunk(fields.bytes)),
            5 => Self::Evaluate,
            6 => Self::Poll,
            7 => Self::Fetch { offset: fields.number("the request for scores")? },
            8 => Self::Cancel,
            got => return Err(Error::UnknownMessage { side: "the client", got }),
        };
        fields.end(message.name())?;
        Ok(message)
    }
}

/// An answer of the provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// What it has.
    Description(Description),
    /// Keys are taken, or a batch is given up.
    Accepted,
    /// Ciphertexts that are there.
    Received {
        /// So many are.
        got: u32,
        /// So many will be.
        of: u32,
    },
    /// The evaluation waits for others.
    Waiting {
        /// So many come before.
        ahead: u32,
    },
    /// The evaluation runs.
    Running {
        /// What was done last.
        stage: Stage,
        /// Pieces of work done.
        done: u32,
        /// Pieces of work in all.
        of: u32,
    },
    /// There are scores.
    Ready {
        /// Their bytes.
        bytes: u32,
    },
    /// A piece of the scores.
    Piece {
        /// Place of its first byte.
        offset: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
}

impl<'a> Answer<'a> {
    /// What it is called in errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Description(_) => "a description",
            Self::Accepted => "an acceptance",
            Self::Received { .. } => "a count of ciphertexts",
            Self::Waiting { .. } => "a place in a queue",
            Self::Running { .. } => "a progress",
            Self::Ready { .. } => "the size of the scores",
            Self::Piece { .. } => "a piece of scores",
        }
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] for a description that is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let numbers = |name: u8, numbers: &[u32]| {
            std::iter::once(name).chain(numbers.iter().flat_map(|number| number.to_le_bytes())).collect()
        };
        Ok(match self {
            Self::Description(description) => [vec![1], description.to_bytes()?].concat(),
            Self::Accepted => vec![2],
            Self::Received { got, of } => numbers(3, &[*got, *of]),
            Self::Waiting { ahead } => numbers(4, &[*ahead]),
            Self::Running { stage, done, of } => numbers(5, &[*stage as u32, *done, *of]),
            Self::Ready { bytes } => numbers(6, &[*bytes]),
            Self::Piece { offset, bytes } => [&[7], &offset.to_le_bytes()[..], bytes].concat(),
        })
    }

    /// Reads it. Nothing but a description is allocated, which is bounded.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMessage`], [`Error::Length`], [`Error::Field`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let (name, mut fields) = Fields::opened(bytes, MAX_ANSWER, "an answer of the provider")?;
        let answer = match name {
            1 => return Ok(Self::Description(Description::from_bytes(fields.bytes)?)),
            2 => Self::Accepted,
            3 => Self::Received { got: fields.number(COUNT)?, of: fields.number(COUNT)? },
            4 => Self::Waiting { ahead: fields.number("a place in a queue")? },
            5 => Self::Running {
                stage: stage(fields.number(PROGRESS)?)?,
                done: fields.number(PROGRESS)?,
                of: fields.number(PROGRESS)?,
            },
            6 => Self::Ready { bytes: fields.number("the size of the scores")? },
            7 => return Ok(Self::Piece { offset: fields.number("a piece of scores")?, bytes: fields.bytes }),
            got => return Err(Error::UnknownMessage { side: "the provider", got }),
        };
        fields.end(answer.name())?;
        Ok(answer)
    }
}

const COUNT: &str = "a count of ciphertexts";
const PROGRESS: &str = "a progress";

fn stage(got: u32) -> Result<Stage> {
    let found = Stage::ALL.into_iter().find(|stage| *stage as u32 == got);
    found.ok_or_else(|| Error::Field { field: "stage", got: got.to_string(), expected: "0 to 4".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request<'static>> {
        vec![
            Request::Describe,
            Request::Keys(&[1, 2]),
            Request::Begin { batch: BatchId([7; 32]), images: 8192 },
            Request::Chunk(&[]),
            Request::Evaluate,
            Request::Poll,
            Request::Fetch { offset: u32::MAX },
            Request::Cancel,
        ]
    }

    fn answers() -> Vec<Answer<'static>> {
        vec![
            Answer::Accepted,
            Answer::Received { got: 1, of: 2 },
            Answer::Waiting { ahead: 3 },
            Answer::Running { stage: Stage::Output, done: 4, of: 5 },
            Answer::Ready { bytes: 6 },
            Answer::Piece { offset: 7, bytes: &[8] },
        ]
    }

    #[test]
    fn messages_come_back_and_no_other_length_does() {
        for request in requests() {
            let bytes = request.to_bytes();
            assert_eq!(Request::from_bytes(&bytes).unwrap(), request);
            if !matches!(request, Request::Keys(_) | Request::Chunk(_)) {
                assert!(matches!(Request::from_bytes(&[&bytes[..], &[0]].concat()), Err(Error::Length { .. })));
                (0..bytes.len()).for_each(|end| assert!(Request::from_bytes(&bytes[..end]).is_err(), "{request:?}"));
            }
        }
        for answer in answers() {
            let bytes = answer.to_bytes().unwrap();
            assert_eq!(Answer::from_bytes(&bytes).unwrap(), answer);
            if !matches!(answer, Answer::Piece { .. }) {
                assert!(matches!(Answer::from_bytes(&[&bytes[..], &[0]].concat()), Err(Error::Length { .. })));
                (0..bytes.len()).for_each(|end| assert!(Answer::from_bytes(&bytes[..end]).is_err(), "{answer:?}"));
            }
        }
    }

    #[test]
    fn names_stages_and_lengths_out_of_bounds_are_refused() {
        for name in [0, 9, 255] {
            assert!(matches!(Request::from_bytes(&[name]), Err(Error::UnknownMessage { got, .. }) if got == name));
            assert!(matches!(Answer::from_bytes(&[name]), Err(Error::UnknownMessage { got, .. }) if got == name));
        }
        let mut running = answers()[3].to_bytes().unwrap();
        running[1] = 5;
        assert!(matches!(Answer::from_bytes(&running), Err(Error::Field { field: "stage", .. })));
        assert!(matches!(Request::from_bytes(&vec![4; MAX_REQUEST + 1]), Err(Error::Length { .. })));
        assert!(matches!(Answer::from_bytes(&vec![7; MAX_ANSWER + 1]), Err(Error::Length { .. })));
    }
}
