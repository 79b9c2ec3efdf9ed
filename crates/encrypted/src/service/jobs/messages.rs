use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ParamsHash,
    service::{
        Error, MAX_ANSWER, MAX_REQUEST, Result,
        fields::{Fields, field, length},
    },
    training::{Cubic, Shape},
};

/// Most rounds and iterations of a job.
const MAX_STEPS: u32 = 10_000;
/// Bytes of the longest terms.
const MAX_TERMS: usize = 1 << 12;
/// Version of these messages.
const FORMAT: u32 = 1;

/// Names a job. Whoever shows it, and the certificate that it was begun with, comes back to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobId(pub [u8; 32]);

impl fmt::Debug for JobId {
    /// The first four bytes: the whole is a ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "JobId({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// The public numbers of a job: all that a provider is told. They are fixed when it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The parameters, by their hash.
    pub params: ParamsHash,
    /// Samples, features with the leading 1, classes.
    pub shape: Shape,
    /// What stands for the sigmoid.
    pub cubic: Cubic,
    /// Iterations in all.
    pub iterations: u32,
    /// Iterations of a round, after which the client encrypts the weights anew.
    pub each: u32,
}

impl Plan {
    const NAME: &'static str = "the beginning of a job";

    /// Rounds.
    pub fn rounds(&self) -> u32 {
        self.iterations.div_ceil(self.each.max(1))
    }

    /// Iterations of the round that begins after `done` of them.
    pub fn next(&self, done: u32) -> u32 {
        self.iterations.saturating_sub(done).min(self.each)
    }

    fn to_bytes(self) -> Vec<u8> {
        let Shape { samples, features, classes } = self.shape;
        let counts = [samples, features, classes].map(super::super::counted);
        let mut out = self.params.0.to_vec();
        counts.iter().chain(&[self.iterations, self.each]).for_each(|count| out.extend(count.to_le_bytes()));
        [self.cubic.linear, self.cubic.cubic].iter().for_each(|factor| out.extend(factor.to_bits().to_le_bytes()));
        out
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let params = ParamsHash(fields.array(Self::NAME)?);
        let mut count = |field, max: u32| {
            let got = fields.number(Self::NAME)?;
            match (1..=max).contains(&got) {
                true => Ok(got),
                false => Err(Error::Field { field, got: got.to_string(), expected: format!("1 to {max}") }),
            }
        };
        let [samples, features, classes] =
            [count("samples", u32::MAX)?, count("features", u32::MAX)?, count("classes", u32::MAX)?]
                .map(|count| count as usize);
        let (iterations, each) = (count("iterations", MAX_STEPS)?, count("iterations of a round", MAX_STEPS)?);
        let mut factor = || {
            let got = f64::from_bits(u64::from_le_bytes(fields.array(Self::NAME)?));
            match got.is_finite() && got.abs() <= 1000.0 {
                true => Ok(got),
                false => {
                    let expected = "a number up to 1000".into();
                    Err(Error::Field { field: "factor of the cubic", got: got.to_string(), expected })
                }
            }
        };
        let cubic = Cubic { linear: factor()?, cubic: factor()? };
        Ok(Self { params, shape: Shape { samples, features, classes }, cubic, iterations, each })
    }
}

/// A message of the client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request<'a> {
    /// Asks for the [`Terms`].
    Describe,
    /// Begins a job, or comes back to the one of this name.
    Begin {
        /// Its name.
        job: JobId,
        /// What is to be done.
        plan: Plan,
    },
    /// Forgets the keys received so far: others follow.
    Keys,
    /// A piece of them, see [`EvaluationKeys::pieces`](crate::ckks::EvaluationKeys::pieces).
    Key(&'a [u8]),
    /// Forgets the data received so far: those of this upload follow.
    Data {
        /// Its name.
        batch: [u8; 32],
    },
    /// A piece of them, see [`EncryptedData::pieces`](crate::training::EncryptedData::pieces).
    Datum(&'a [u8]),
    /// Begins a round, whatever became of the one before: weights follow.
    Weights {
        /// Name of the upload.
        batch: [u8; 32],
        /// Iterations that were made before them.
        iterations: u32,
    },
    /// A piece of them, see [`EncryptedModel::pieces`](crate::training::EncryptedModel::pieces).
    Weight(&'a [u8]),
    /// Begins the training of the round.
    Train,
    /// Asks how far the job is.
    Poll,
    /// Asks for a piece of the answer.
    Fetch {
        /// Its number.
        index: u32,
    },
    /// Gives the job up.
    Cancel,
}

impl<'a> Request<'a> {
    /// What it is called in errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Describe => "the request for terms",
            Self::Begin { .. } => Plan::NAME,
            Self::Keys => "the beginning of the keys",
            Self::Key(_) => "a piece of the keys",
            Self::Data { .. } => "the beginning of the data",
            Self::Datum(_) => "a piece of the data",
            Self::Weights { .. } => "the beginning of a round",
            Self::Weight(_) => "a piece of the weights",
            Self::Train => "the order to train",
            Self::Poll => "the question for progress",
            Self::Fetch { .. } => "the request for weights",
            Self::Cancel => "the end of a job",
        }
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Describe => vec![1],
            Self::Begin { job, plan } => [&[2], &job.0[..], &plan.to_bytes()].concat(),
            Self::Keys => vec![3],
            Self::Key(bytes) => [&[4], *bytes].concat(),
            Self::Data { batch } => [&[5], &batch[..]].concat(),
            Self::Datum(bytes) => [&[6], *bytes].concat(),
            Self::Weights { batch, iterations } => [&[7], &batch[..], &iterations.to_le_bytes()].concat(),
            Self::Weight(bytes) => [&[8], *bytes].concat(),
            Self::Train => vec![9],
            Self::Poll => vec![10],
            Self::Fetch { index } => [&[11], &index.to_le_bytes()[..]].concat(),
            Self::Cancel => vec![12],
        }
    }

    /// Reads it. Nothing is allocated; pieces are not looked into.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMessage`], [`Error::Length`], [`Error::Field`] for a plan that cannot be.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let (name, mut fields) = Fields::opened(bytes, MAX_REQUEST, "a message of the client")?;
        let message = match name {
            1 => Self::Describe,
            2 => Self::Begin { job: JobId(fields.array(Plan::NAME)?), plan: Plan::read(&mut fields)? },
            3 => Self::Keys,
            4 => return Ok(Self::Key(fields.bytes)),
            5 => Self::Data { batch: fields.array("the beginning of the data")? },
            6 => return Ok(Self::Datum(fields.bytes)),
            7 => Self::Weights {
                batch: fields.array("the beginning of a round")?,
                iterations: fields.number("the beginning of a round")?,
            },
            8 => return Ok(Self::Weight(fields.bytes)),
            9 => Self::Train,
            10 => Self::Poll,
            11 => Self::Fetch { index: fields.number("the request for weights")? },
            12 => Self::Cancel,
            got => return Err(Error::UnknownMessage { side: "the client", got }),
        };
        fields.end(message.name())?;
        Ok(message)
    }
}

/// What a provider of trainings says of itself, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    format: u32,
    /// Names of the parameter sets.
    pub sets: Vec<String>,
    /// Seconds that a job is kept after its client's last message, or after its training.
    pub hold_seconds: u32,
    /// Bytes of memory for all jobs.
    pub memory: u64,
}

impl Terms {
    pub(super) fn new(sets: Vec<String>, hold_seconds: u32, memory: u64) -> Self {
        Self { format: FORMAT, sets, hold_seconds, memory }
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self);
        json.map_err(|error| field("terms", error, "plain text"))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_TERMS {
            return Err(length("the terms", bytes.len(), format!("at most {MAX_TERMS}")));
        }
        let expected = format!("JSON of format {FORMAT}");
        let terms: Self = serde_json::from_slice(bytes).map_err(|error| field("terms", error, &expected))?;
        match terms.format {
            FORMAT => Ok(terms),
            other => Err(field("terms", format!("format {other}"), &expected)),
        }
    }
}

/// Pieces that are there, and pieces in all.
pub type Count = (u32, u32);

/// What a job is at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// Pieces are missing, or the order to train.
    Collecting,
    /// Others are trained first.
    Waiting {
        /// So many.
        ahead: u32,
    },
    /// It is trained.
    Training {
        /// Share of the work of this round that is done, in parts of 65536.
        share: u32,
        /// Milliseconds since the round began.
        elapsed: u32,
    },
    /// There are weights.
    Trained {
        /// In so many pieces.
        pieces: u32,
    },
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status {
    /// Iterations of the rounds that are over.
    pub iterations: u32,
    /// Pieces of the keys.
    pub keys: Count,
    /// Pieces of the data.
    pub data: Count,
    /// Pieces of the weights of this round.
    pub weights: Count,
    /// Name of the data's upload; zeros before there is one.
    pub data_batch: [u8; 32],
    /// Name of the upload of weights, as above.
    pub weights_batch: [u8; 32],
    /// What it is at.
    pub phase: Phase,
}

impl Status {
    const NAME: &'static str = "the state of a job";

    fn to_bytes(self) -> Vec<u8> {
        let Self { iterations, keys, data, weights, data_batch, weights_batch, phase } = self;
        let (name, first, second) = match phase {
            Phase::Collecting => (0, 0, 0),
            Phase::Waiting { ahead } => (1, ahead, 0),
            Phase::Training { share, elapsed } => (2, share, elapsed),
            Phase::Trained { pieces } => (3, pieces, 0),
        };
        let numbers = [iterations, keys.0, keys.1, data.0, data.1, weights.0, weights.1, name, first, second];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&data_batch[..], &weights_batch, &numbers].concat()
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let (data_batch, weights_batch) = (fields.array(Self::NAME)?, fields.array(Self::NAME)?);
        let mut number = || fields.number(Self::NAME);
        let iterations = number()?;
        let mut count = || {
            let (got, of) = (number()?, number()?);
            match got <= of {
                true => Ok((got, of)),
                false => Err(Error::Field { field: "pieces", got: got.to_string(), expected: format!("at most {of}") }),
            }
        };
        let (keys, data, weights) = (count()?, count()?, count()?);
        let (name, first, second) = (number()?, number()?, number()?);
        let phase = match name {
            0 => Phase::Collecting,
            1 => Phase::Waiting { ahead: first },
            2 => Phase::Training { share: first.min(1 << 16), elapsed: second },
            3 => Phase::Trained { pieces: first },
            got => return Err(Error::Field { field: "phase", got: got.to_string(), expected: "0 to 3".into() }),
        };
        Ok(Self { iterations, keys, data, weights, data_batch, weights_batch, phase })
    }
}

/// An answer of the provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// What it offers.
    Terms(Terms),
    /// How far the job is.
    Status(Status),
    /// A piece of the weights.
    Piece {
        /// Its number.
        index: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The job is given up.
    Forgotten,
}

impl<'a> Answer<'a> {
    /// What it is called in errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terms(_) => "terms",
            Self::Status(_) => Status::NAME,
            Self::Piece { .. } => "a piece of the weights",
            Self::Forgotten => "the end of a job",
        }
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for terms that are no text.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Terms(terms) => [vec![1], terms.to_bytes()?].concat(),
            Self::Status(status) => [vec![2], status.to_bytes()].concat(),
            Self::Piece { index, bytes } => [&[3], &index.to_le_bytes()[..], bytes].concat(),
            Self::Forgotten => vec![4],
        })
    }

    /// Reads it. Nothing but terms is allocated, which are bounded.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMessage`], [`Error::Length`], [`Error::Field`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let (name, mut fields) = Fields::opened(bytes, MAX_ANSWER, "an answer of the provider")?;
        let answer = match name {
            1 => return Ok(Self::Terms(Terms::from_bytes(fields.bytes)?)),
            2 => Self::Status(Status::read(&mut fields)?),
            3 => return Ok(Self::Piece { index: fields.number("a piece of the weights")?, bytes: fields.bytes }),
            4 => Self::Forgotten,
            got => return Err(Error::UnknownMessage { side: "the provider", got }),
        };
        fields.end(answer.name())?;
        Ok(answer)
    }
}
