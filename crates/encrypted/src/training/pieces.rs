use super::{
    encrypted::{EncryptedData, EncryptedModel},
    layout::{Layout, Shape},
};
use crate::{
    Error, Result,
    ckks::{Ciphertext, Tags},
};

/// What a ciphertext is, in the upper bits of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Role {
    Sample = 1,
    Direction = 2,
    Label = 3,
    Ahead = 4,
    Weight = 5,
    AnsweredAhead = 6,
    AnsweredOther = 7,
}

fn place(role: Role, iterations: usize, index: usize) -> u64 {
    (role as u64) << 56 | (iterations as u64 & 0xff_ffff) << 32 | index as u64
}

impl EncryptedData {
    /// Names this encryption of the data: random and public.
    pub fn batch(&self) -> [u8; 32] {
        self.batch
    }

    /// Writes each ciphertext in bytes of its own, in the order in which a [`Collector`] wants them.
    pub fn pieces<'a>(&'a self, tags: &'a Tags) -> impl Iterator<Item = Result<Vec<u8>>> + 'a {
        (0..).map_while(move |index| self.piece(tags, index))
    }

    /// Piece `index` of them.
    pub fn piece<'a>(&'a self, tags: &Tags, index: usize) -> Option<Result<Vec<u8>>> {
        let (blocks, groups) = (self.layout.blocks(), self.layout.groups());
        let all = blocks * groups;
        let of = |list: &'a [Vec<Ciphertext>], index: usize| list.get(index / groups)?.get(index % groups);
        let (role, index, x) = match index {
            index if index < all => (Role::Sample, index, of(&self.samples, index)?),
            index if index < 2 * all => (Role::Direction, index - all, of(&self.directions, index - all)?),
            index => (Role::Label, index - 2 * all, self.labels.get(index - 2 * all)?),
        };
        Some(x.to_bytes(tags, &self.batch, place(role, 0, index)))
    }
}

impl EncryptedModel {
    /// Names this encryption of weights, and the answer to it: random and public.
    pub fn batch(&self) -> [u8; 32] {
        self.batch
    }

    /// Writes each ciphertext in bytes of its own, in the order in which a [`Collector`] wants them. What was
    /// computed is cut to its last level, at which it can only be decrypted.
    pub fn pieces<'a>(&'a self, tags: &'a Tags) -> impl Iterator<Item = Result<Vec<u8>>> + 'a {
        (0..).map_while(move |index| self.piece(tags, index))
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.ahead.len() + self.other.len()
    }

    /// Piece `index` of them.
    pub fn piece(&self, tags: &Tags, index: usize) -> Option<Result<Vec<u8>>> {
        let [ahead, other] = match self.fresh {
            true => [Role::Ahead, Role::Weight],
            false => [Role::AnsweredAhead, Role::AnsweredOther],
        };
        let (role, index, x) = match index.checked_sub(self.ahead.len()) {
            None => (ahead, index, self.ahead.get(index)?),
            Some(index) => (other, index, self.other.get(index)?),
        };
        let place = place(role, self.iterations, index);
        Some(match self.fresh {
            true => x.to_bytes(tags, &self.batch, place),
            false => x.drop_to(0).and_then(|x| x.to_bytes(tags, &self.batch, place)),
        })
    }
}

/// Puts data or weights together from their pieces, in order. It knows how many and how large they are, whatever the
/// pieces say.
#[derive(Debug)]
pub struct Collector {
    tags: Tags,
    layout: Layout,
    batch: [u8; 32],
    iterations: usize,
    /// Roles in order, with their counts and the level of each.
    expected: Vec<(Role, usize, usize)>,
    got: Vec<Ciphertext>,
}

impl Collector {
    /// Waits for the data `batch`, on the provider's side.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for a shape that does not fit into the slots, [`Error::Level`] for parameters without an
    /// iteration.
    pub fn data(tags: Tags, shape: Shape, batch: [u8; 32]) -> Result<Self> {
        let layout = Layout::checked(tags.params(), shape)?;
        let (top, blocks) = (layout.params.levels(), layout.blocks());
        let all = blocks * layout.groups();
        let expected = vec![(Role::Sample, all, top), (Role::Direction, all, top - 3), (Role::Label, blocks, top - 2)];
        Ok(Self { tags, layout, batch, iterations: 0, expected, got: Vec::new() })
    }

    /// Waits for the weights `batch` after `iterations` iterations, on the provider's side.
    ///
    /// # Errors
    ///
    /// As [`Collector::data`].
    pub fn model(tags: Tags, shape: Shape, batch: [u8; 32], iterations: usize) -> Result<Self> {
        let layout = Layout::checked(tags.params(), shape)?;
        let (top, groups) = (layout.params.levels(), layout.groups());
        let expected = vec![(Role::Ahead, groups, top), (Role::Weight, groups, top - 3)];
        Ok(Self { tags, layout, batch, iterations, expected, got: Vec::new() })
    }

    /// Waits for what `count` iterations made of `asked`, on the client's side.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for a `count` of 0 or one beyond the levels, [`Error::OtherParams`].
    pub fn answer(tags: Tags, asked: &EncryptedModel, count: usize) -> Result<Self> {
        asked.layout.params.check_same(tags.params().hash(), "tags")?;
        Self::answer_to(tags, asked.layout.shape, asked.batch, asked.iterations, count)
    }

    /// The same where only the name `batch` of the weights asked about is left, with the iterations made before them.
    ///
    /// # Errors
    ///
    /// [`Error::Count`], also for a shape that does not fit into the slots, [`Error::Level`] for parameters without an
    /// iteration.
    pub fn answer_to(tags: Tags, shape: Shape, batch: [u8; 32], iterations: usize, count: usize) -> Result<Self> {
        let layout = Layout::checked(tags.params(), shape)?;
        let most = super::iterations(&layout.params);
        if !(1..=most).contains(&count) {
            return Err(Error::Count { what: "iterations", got: count, expected: format!("1 to {most}") });
        }
        let groups = layout.groups();
        let expected = vec![(Role::AnsweredAhead, groups, 0), (Role::AnsweredOther, groups, 0)];
        Ok(Self { tags, layout, batch, iterations: iterations + count, expected, got: Vec::new() })
    }

    /// Most bytes of a piece: what a receiver allows for.
    pub fn piece_bytes(&self) -> usize {
        let len = |&(role, _, level): &(Role, usize, usize)| {
            Ciphertext::bytes_len(
                &self.layout.params,
                level,
                role != Role::AnsweredAhead && role != Role::AnsweredOther,
            )
        };
        self.expected.iter().map(len).max().unwrap_or(0)
    }

    /// Bytes of memory that all of it takes.
    pub fn memory_bytes(&self) -> usize {
        let rows = |&(_, count, level): &(Role, usize, usize)| 2 * count * (level + 1);
        self.expected.iter().map(rows).sum::<usize>() * self.layout.params.degree() * 8
    }

    /// Pieces received, and pieces expected.
    pub fn progress(&self) -> (usize, usize) {
        (self.got.len(), self.expected.iter().map(|(_, count, _)| count).sum())
    }

    /// Takes the next piece. After an error the collector is as it was before.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherPlace`] for a piece that is not
    /// next, [`Error::Level`], [`Error::Scale`].
    pub fn accept(&mut self, bytes: &[u8]) -> Result<()> {
        let mut index = self.got.len();
        let next = self.expected.iter().find(|(_, count, _)| {
            let here = index < *count;
            index -= if here { 0 } else { *count };
            here
        });
        let &(role, _, level) = next.ok_or(Error::OtherPlace)?;
        let place = place(role, self.iterations, index);
        let ciphertext = Ciphertext::from_bytes(bytes, &self.tags, &self.batch, place)?;
        if ciphertext.level() != level {
            return Err(Error::Level { what: "ciphertext", expected: level, got: ciphertext.level() });
        }
        let answered = [Role::AnsweredAhead, Role::AnsweredOther].contains(&role);
        if !answered && ciphertext.scale() != self.layout.params.scale() {
            let (expected, got) = (self.layout.params.scale(), ciphertext.scale());
            return Err(Error::Scale { what: "ciphertext", expected, got });
        }
        self.got.push(ciphertext);
        Ok(())
    }

    /// The data, once all are there.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`], [`Error::OtherPlace`] if it waited for weights.
    pub fn into_data(self) -> Result<EncryptedData> {
        self.complete(Role::Sample)?;
        let groups = self.layout.groups();
        let mut got = self.got.into_iter();
        let mut blocks = || (0..self.layout.blocks()).map(|_| got.by_ref().take(groups).collect()).collect();
        let (samples, directions) = (blocks(), blocks());
        Ok(EncryptedData { batch: self.batch, samples, directions, labels: got.collect(), layout: self.layout })
    }

    /// The weights, once all are there.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`], [`Error::OtherPlace`] if it waited for data.
    pub fn into_model(self) -> Result<EncryptedModel> {
        let fresh = self.expected.iter().any(|(role, ..)| *role == Role::Ahead);
        self.complete(if fresh { Role::Ahead } else { Role::AnsweredAhead })?;
        let mut got = self.got.into_iter();
        let ahead = got.by_ref().take(self.layout.groups()).collect();
        let (batch, iterations, other) = (self.batch, self.iterations, got.collect());
        Ok(EncryptedModel { batch, iterations, fresh, ahead, other, layout: self.layout })
    }

    fn complete(&self, first: Role) -> Result<()> {
        let (got, expected) = self.progress();
        match got == expected {
            _ if self.expected.first().is_none_or(|(role, ..)| *role != first) => Err(Error::OtherPlace),
            true => Ok(()),
            false => Err(Error::Incomplete { got, expected }),
        }
    }
}
