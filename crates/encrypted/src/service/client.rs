use cleave_secrets::Secret;

use super::{Answer, Description, Error, MAX_REQUEST, Request, Result, counted};
use crate::{EncryptedImages, EncryptedScores, Scores, SecretKey, Stage};

/// The client's side of a session: what it sends, and what it makes of the answers.
///
/// The secret key stays here; no message holds it.
pub struct ClientSession {
    description: Description,
    secret: SecretKey,
}

impl ClientSession {
    /// The first message.
    pub fn describe() -> Vec<u8> {
        Request::Describe.to_bytes()
    }

    /// Reads the answer to it, and expands `secret` for the parameters that it names, which are taken from this
    /// crate's own table.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a description that cannot be, [`Error::Scheme`] for an unknown parameter set.
    pub fn new(answer: &[u8], secret: &Secret) -> Result<Self> {
        let description = match Answer::from_bytes(answer)? {
            Answer::Description(description) => description,
            other => return Err(other_answer(&other, "a description")),
        };
        let secret = SecretKey::new(&description.params()?, secret);
        Ok(Self { description, secret })
    }

    /// What the provider says of its networks.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The message with fresh evaluation keys, once a connection.
    ///
    /// # Errors
    ///
    /// [`Error::Scheme`] without randomness.
    pub fn keys(&self) -> Result<Vec<u8>> {
        Ok(Request::Keys(&self.secret.evaluation_keys()?.to_bytes()).to_bytes())
    }

    /// Reads the answer to the keys.
    ///
    /// # Errors
    ///
    /// [`Error::OtherAnswer`].
    pub fn accepted(answer: &[u8]) -> Result<()> {
        match Answer::from_bytes(answer)? {
            Answer::Accepted => Ok(()),
            other => Err(other_answer(&other, "an acceptance")),
        }
    }

    /// Encrypts a batch: images of [`Description::pixels`] pixels each, from 0 to `max_pixel`, 8192 at most.
    ///
    /// # Errors
    ///
    /// [`Error::Scheme`] for a pixel out of bounds or a wrong number of them.
    pub fn begin(&self, pixels: &[u8]) -> Result<ClientBatch<'_>> {
        if let Some(index) = pixels.iter().position(|&pixel| pixel > self.description.max_pixel) {
            let max = self.description.max_pixel.into();
            return Err(crate::Error::OutOfRange { index, min: 0, max }.into());
        }
        let pixels: Vec<_> = pixels.iter().map(|&pixel| i64::from(pixel)).collect();
        let asked = self.secret.encrypt(&pixels, self.description.pixels())?;
        Ok(ClientBatch { session: self, asked, at: At::Begin, scores: Vec::new() })
    }
}

/// One batch on its way: send what [`next`](ClientBatch::next) gives, hand the answer to
/// [`take`](ClientBatch::take), until that gives scores.
pub struct ClientBatch<'a> {
    session: &'a ClientSession,
    asked: EncryptedImages,
    at: At,
    scores: Vec<u8>,
}

#[derive(Clone, Copy)]
enum At {
    Begin,
    /// So many ciphertexts have been sent, so many are in the chunk that is due.
    Sending {
        sent: usize,
        due: usize,
    },
    Evaluate,
    Poll,
    /// So many bytes will come.
    Fetching {
        of: usize,
    },
    Over,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Ciphertexts sent.
    Sending {
        /// So many.
        sent: usize,
        /// Of so many.
        of: usize,
    },
    /// Others come first; wait a moment before the next message.
    Waiting {
        /// Evaluations before this one.
        ahead: usize,
    },
    /// It is evaluated; wait a moment before the next message.
    Evaluating {
        /// The layer.
        stage: Stage,
        /// Share of the pieces of work that are done, from 0 to 1. They take unlike long.
        share: f64,
    },
    /// Bytes of scores received.
    Fetching {
        /// So many.
        got: usize,
        /// Of so many.
        of: usize,
    },
    /// It is over.
    Done(Scores),
}

impl ClientBatch<'_> {
    /// The next message; `None` when it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Scheme`], where this crate itself is at fault.
    #[allow(clippy::should_implement_trait, reason = "it fails, and waits for an answer in between")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let request = match self.at {
            At::Begin => Request::Begin { batch: self.asked.batch(), images: counted(self.asked.images()) },
            At::Sending { sent, .. } => return self.chunk(sent),
            At::Evaluate => Request::Evaluate,
            At::Poll => Request::Poll,
            At::Fetching { .. } => Request::Fetch { offset: counted(self.scores.len()) },
            At::Over => return Ok(None),
        };
        Ok(Some(request.to_bytes()))
    }

    fn chunk(&mut self, sent: usize) -> Result<Option<Vec<u8>>> {
        match self.asked.chunk_after(&self.session.secret, sent, MAX_REQUEST - 1)? {
            Some((due, bytes)) => {
                self.at = At::Sending { sent, due };
                Ok(Some(Request::Chunk(&bytes).to_bytes()))
            }
            None => {
                self.at = At::Evaluate;
                self.next()
            }
        }
    }

    /// Takes the answer to the message that was sent last.
    ///
    /// # Errors
    ///
    /// [`Error::OtherAnswer`] and [`Error::Field`] for a provider that keeps no order or counts otherwise;
    /// [`Error::Scheme`] for scores of another batch or key, damaged ones, and a noise budget that is used up.
    pub fn take(&mut self, answer: &[u8]) -> Result<Step> {
        let answer = Answer::from_bytes(answer)?;
        match (self.at, answer) {
            (At::Begin, Answer::Received { got, of }) => self.received(0, got, of),
            (At::Sending { sent, due }, Answer::Received { got, of }) => self.received(sent + due, got, of),
            (At::Evaluate | At::Poll, Answer::Waiting { ahead }) => {
                self.at = At::Poll;
                Ok(Step::Waiting { ahead: ahead as usize })
            }
            (At::Evaluate | At::Poll, Answer::Running { stage, done, of }) => {
                self.at = At::Poll;
                Ok(Step::Evaluating { stage, share: (f64::from(done) / f64::from(of.max(1))).min(1.0) })
            }
            (At::Evaluate | At::Poll, Answer::Ready { bytes }) => self.ready(bytes),
            (At::Fetching { of }, Answer::Piece { offset, bytes }) => self.piece(of, offset, bytes),
            (at, other) => Err(other_answer(&other, at.expects())),
        }
    }

    fn received(&mut self, sent: usize, got: u32, of: u32) -> Result<Step> {
        let all = self.session.secret.params().lanes().len() * self.asked.items();
        if (got, of) != (counted(sent), counted(all)) {
            return Err(wrong("ciphertexts received", format!("{got} of {of}"), format!("{sent} of {all}")));
        }
        self.at = At::Sending { sent, due: 0 };
        Ok(Step::Sending { sent, of: all })
    }

    fn ready(&mut self, bytes: u32) -> Result<Step> {
        let of = EncryptedScores::bytes_len(self.session.secret.params(), self.session.description.classes.len());
        if bytes as usize != of {
            return Err(wrong("bytes of scores", bytes.to_string(), of.to_string()));
        }
        self.at = At::Fetching { of };
        Ok(Step::Fetching { got: 0, of })
    }

    fn piece(&mut self, of: usize, offset: u32, bytes: &[u8]) -> Result<Step> {
        let got = self.scores.len();
        if offset as usize != got || !(1..=of - got).contains(&bytes.len()) {
            let piece = format!("{} bytes from {offset} on", bytes.len());
            return Err(wrong("piece of scores", piece, format!("1 to {} bytes from {got} on", of - got)));
        }
        self.scores.extend(bytes);
        if self.scores.len() < of {
            return Ok(Step::Fetching { got: self.scores.len(), of });
        }
        self.at = At::Over;
        self.decrypt().map(Step::Done)
    }

    fn decrypt(&self) -> Result<Scores> {
        let ClientSession { description, secret } = self.session;
        let scores = EncryptedScores::from_bytes(&self.scores, secret, &self.asked)?;
        if scores.networks() != description.networks {
            let expected = description.networks.to_string();
            return Err(wrong("networks in the scores", scores.networks().to_string(), expected));
        }
        Ok(secret.decrypt(&scores)?)
    }
}

impl At {
    const fn expects(self) -> &'static str {
        match self {
            Self::Begin | Self::Sending { .. } => "a count of ciphertexts",
            Self::Evaluate | Self::Poll => "a progress",
            Self::Fetching { .. } => "a piece of scores",
            Self::Over => "nothing more",
        }
    }
}

fn other_answer(got: &Answer<'_>, expected: &'static str) -> Error {
    Error::OtherAnswer { got: got.name(), expected }
}

fn wrong(field: &'static str, got: String, expected: String) -> Error {
    Error::Field { field, got, expected }
}
