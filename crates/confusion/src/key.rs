//! The positions, as a secret.

use crate::{Error, Groups, Plan};
use cleave_secrets::{Contents, Domain, KeyId, SECRET_LEN, Secret};
use zeroize::Zeroizing;

/// What key files of confusion neurons are made for.
pub const PURPOSE: &str = "confusion neurons";

/// The first byte of a key, raised when what follows it is laid out anew.
const VERSION: u8 = 1;

/// Units that one group may have: far more than a layer has, and few enough for a crafted key to do no harm.
const MAX_UNITS: u32 = 1 << 24;

/// Which units of each group are confusion neurons. It is what the paper calls the secret key.
///
/// It has no `Debug`, and is wiped when it is dropped. Its name is that of a random secret that is kept with the
/// positions: the positions alone have a name that could be guessed from.
pub struct ConfusionKey {
    secret: Secret,
    /// For each group and each unit of the widened network whether it is to be left out.
    masks: Zeroizing<Vec<Vec<bool>>>,
}

impl ConfusionKey {
    /// Draws positions for a plan, each choice with the same probability.
    ///
    /// # Errors
    /// [`Error::OtherNetwork`] when the plan is for other groups; [`Error::NoNeurons`]; [`Error::NotConfusable`] for too
    /// many channels.
    pub fn draw(secret: Secret, groups: &Groups, plan: &Plan) -> Result<Self, Error> {
        plan.check(groups)?;
        if plan.units().iter().all(|&units| units == 0) {
            return Err(Error::NoNeurons);
        }
        let mut masks = Zeroizing::new(Vec::new());
        for (index, (group, &added)) in groups.list().iter().zip(plan.units()).enumerate() {
            let units = u32::try_from(group.units + added).ok().filter(|&units| units <= MAX_UNITS);
            let reason = || format!("a layer would have {} channels, more than 2^24", group.units + added);
            let units = units.ok_or_else(|| Error::NotConfusable { reason: reason() })?;
            let mut stream = secret.stream(Domain::new("confusion/positions", &[index as u64]));
            let order = Zeroizing::new(stream.permutation(units));
            masks.push(order.iter().map(|&place| (place as usize) < added).collect());
        }
        Ok(Self { secret, masks })
    }

    /// The public name of this key.
    pub fn id(&self) -> KeyId {
        self.secret.id()
    }

    /// For each group and each of its units whether it is a confusion neuron.
    pub fn masks_in_the_clear(&self) -> &[Vec<bool>] {
        &self.masks
    }

    /// How many units of each group are confusion neurons.
    pub fn plan(&self) -> Plan {
        Plan(self.masks.iter().map(|mask| mask.iter().filter(|&&confusion| confusion).count()).collect())
    }

    /// log₂ of the number of ways to choose as many positions: what is left to try for whoever knows how many there are.
    pub fn bits(&self) -> f64 {
        let choose = |mask: &Vec<bool>| {
            let chosen = mask.iter().filter(|&&confusion| confusion).count();
            (0..chosen).map(|i| ((mask.len() - i) as f64 / (i + 1) as f64).log2()).sum::<f64>()
        };
        self.masks.iter().map(choose).sum()
    }

    /// Fails unless it is the key called `expected`.
    ///
    /// # Errors
    /// [`Error::OtherKey`].
    pub fn check_id(&self, expected: KeyId) -> Result<(), Error> {
        match self.id() {
            got if got == expected => Ok(()),
            got => Err(Error::OtherKey { expected, got }),
        }
    }

    /// What a key file carries: a version, the secret, then for each group its number of units and one bit a unit, in
    /// integers of 64 bits. All integers are little-endian.
    pub fn to_contents(&self) -> Contents {
        let words: usize = self.masks.iter().map(|mask| mask.len().div_ceil(64)).sum();
        let mut bytes = Vec::with_capacity(1 + SECRET_LEN + 4 + 4 * self.masks.len() + 8 * words);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.secret.expose());
        bytes.extend((self.masks.len() as u32).to_le_bytes());
        for mask in self.masks.iter() {
            bytes.extend((mask.len() as u32).to_le_bytes());
            for word in mask.chunks(64) {
                let word = word.iter().enumerate().fold(0_u64, |bits, (at, &set)| bits | u64::from(set) << at);
                bytes.extend(word.to_le_bytes());
            }
        }
        Contents::new(bytes).named(self.id())
    }

    /// Reads what [`ConfusionKey::to_contents`] made.
    ///
    /// # Errors
    /// [`Error::Key`] says what is wrong; [`Error::Secrets`] where the name is of another secret.
    pub fn from_contents(contents: &Contents) -> Result<Self, Error> {
        let mut bytes = Bytes(contents.payload());
        let version = bytes.array::<1>()?[0];
        if version != VERSION {
            return Err(Error::Key {
                reason: format!("its layout is number {version}, and this build reads {VERSION}"),
            });
        }
        let secret = Secret::from_bytes(&Zeroizing::new(bytes.array::<SECRET_LEN>()?));
        if let Some(expected) = contents.key().filter(|&expected| expected != secret.id()) {
            return Err(cleave_secrets::Error::OtherSecret { expected, got: secret.id() }.into());
        }
        let count = bytes.number()?;
        let mut masks = Zeroizing::new(Vec::new());
        for _ in 0..count {
            masks.push(bytes.mask()?); // a count that is too large ends at the end of the bytes
        }
        match bytes.0.len() {
            0 => Ok(Self { secret, masks }),
            left => Err(Error::Key { reason: format!("{left} bytes follow its positions") }),
        }
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (first, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| Error::Key { reason: "it is cut short".into() })?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn mask(&mut self) -> Result<Vec<bool>, Error> {
        let units = self.number()?;
        if units > MAX_UNITS || units.div_ceil(64) as usize > self.0.len() / 8 {
            return Err(Error::Key { reason: format!("it counts {units} channels, more than it has positions for") });
        }
        let mut mask = Vec::with_capacity(units as usize);
        while mask.len() < units as usize {
            let word = u64::from_le_bytes(self.array()?);
            let bits = (units as usize - mask.len()).min(64);
            mask.extend((0..bits).map(|at| word >> at & 1 == 1));
            if bits < 64 && word >> bits != 0 {
                return Err(Error::Key { reason: "it has positions behind the last channel".into() });
            }
        }
        if mask.iter().all(|&confusion| confusion) {
            return Err(Error::Key { reason: "it leaves nothing of a layer".into() });
        }
        Ok(mask)
    }
}
