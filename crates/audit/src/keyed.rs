//! What a pair under a key gives away to a provider without the key.

mod blocks;
mod guess;
mod matching;

use crate::baseline::to_pngs;
use crate::observer::{Observer, step};
use crate::parts::Pictured;
use crate::pixels::{Lot, to_host};
use crate::probe::CHUNK;
use crate::target::Target;
use crate::{Error, Inversion, InversionKind, Judge, KeyFindings, KeyGuess, Share};
use blocks::Blocks;
use burn::tensor::{Tensor, TensorData};
use cleave_keyed::{Keying, Lock, Scramble};
use cleave_nets::argmax;
use cleave_partition::Attack;
use cleave_secrets::Secret;
use guess::{Guess, Nature, as_one};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Settings of the attacks on a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySettings {
    /// Wrong keys that are tried (iijima2023, Fig. 5).
    pub wrong_keys: usize,
    /// Private images that each wrong key is tried on.
    pub wrong_key_images: usize,
    /// Multiplications that the statistics of keyed images may take; fewer images are used beyond that.
    pub products: usize,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { wrong_keys: 100, wrong_key_images: 500, products: 1 << 35 }
    }
}

/// Images of both sides, and how reconstructions are judged.
pub(crate) struct Sides<'a> {
    pub(crate) judge: &'a Judge,
    /// The attacker's own.
    pub(crate) own: &'a Lot,
    /// What the provider gets to see, under the key.
    pub(crate) stream: &'a Lot,
    /// The private images that reconstructions are compared with.
    pub(crate) private: &'a Lot,
    pub(crate) mean: Tensor<4>,
    pub(crate) pictures: usize,
    pub(crate) seed: u64,
}

/// What was found of a key.
#[derive(Serialize, Deserialize)]
pub(crate) struct UnderKey {
    pub(crate) findings: KeyFindings,
    pub(crate) inversions: Vec<Inversion>,
}

impl Pictured for UnderKey {
    fn pictures(&mut self) -> Vec<&mut Vec<Vec<u8>>> {
        let inversions = self.inversions.iter_mut().map(|inversion| &mut inversion.pictures);
        std::iter::once(&mut self.findings.pictures).chain(inversions).collect()
    }
}

/// Attacks a key with the images that it was used on.
pub(crate) fn attack(
    target: &Target,
    scramble: &Scramble,
    sides: &Sides,
    tries: impl Fn(Attack) -> bool,
    settings: &KeySettings,
    observer: &mut dyn Observer,
) -> Result<UnderKey, Error> {
    let plain = Plain { target, scramble, sides };
    let (lock, truth) = (scramble.lock(), scramble.tables_in_the_clear());
    let keyed = scramble.apply(&to_host(sides.private.prepared.clone())?)?;
    let (original, shown) = (target.scale.pixels(sides.private.prepared.clone()), plain.pixels(keyed.clone()));
    let scores = sides.judge.scores(original, shown.clone(), &sides.mean, &sides.private.labels, sides.seed)?;
    let mut findings = KeyFindings {
        lock: lock.clone(),
        key_space: lock.key_space(),
        ssim: scores.ssim.mean,
        without_key: plain.accuracy(sides.stream, None)?,
        wrong_keys: Vec::new(),
        wrong_key_images: settings.wrong_key_images.clamp(1, sides.stream.len()),
        known: Vec::new(),
        keyed: Vec::new(),
        pictures: to_pngs(shown, sides.pictures)?,
    };
    let mut inversions = Vec::new();
    // With a key for each patch the attacker first brings all of them to that of the first, by the weights it holds.
    let differences = match lock.keying {
        Keying::Shared => None,
        Keying::PerPatch => Some(Guess::of_differences(lock, &stem(target)?)),
    };
    let seen = |plain: &Lot| -> Result<Vec<f32>, Error> {
        let keyed = scramble.apply(&to_host(plain.prepared.clone())?)?;
        Ok(match &differences {
            Some(differences) => differences.undo(lock, &keyed),
            None => keyed,
        })
    };
    let whole = |found: Guess| match &differences {
        Some(differences) => differences.followed_by(&found),
        None => found,
    };
    let (one, values) = (as_one(lock), lock.image.values());
    let own = to_host(sides.own.prepared.clone())?;
    if tries(Attack::KnownImages) {
        let pairs = [own.clone(), seen(sides.own)?];
        let guess = |images: usize| {
            let [plain, keyed] = pairs.each_ref().map(|all| Blocks::of(&one, &all[..images * values]));
            whole(Guess::from_known(&plain, &keyed))
        };
        let counts = counts(sides.own.len().min(KNOWN.max(2 * lock.block().div_ceil(lock.blocks()))));
        let run = plain.guesses(InversionKind::KnownImages, counts, guess, &keyed, &truth, observer)?;
        inversions.push(run.inversion);
        findings.known = run.guesses;
    }
    if tries(Attack::KeyedImages) {
        let (nature, stream) = (Nature::of(&one, &Blocks::of(&one, &own)), seen(sides.stream)?);
        let most = (settings.products / (3 * lock.block() * values)).max(1);
        let guess = |images: usize| {
            whole(Guess::from_keyed(&one, &Blocks::of(&one, &stream[..images * values]), &nature, sides.seed))
        };
        let counts = counts(sides.stream.len().min(most));
        let run = plain.guesses(InversionKind::KeyedImages, counts, guess, &keyed, &truth, observer)?;
        inversions.push(run.inversion);
        findings.keyed = run.guesses;
    }
    if tries(Attack::WrongKeys) {
        findings.wrong_keys = plain.wrong_keys(settings, observer)?;
    }
    Ok(UnderKey { findings, inversions })
}

/// Known images that are tried at most, or twice as many as a linear system would take.
const KNOWN: usize = 8;

/// Weights of the first layer of a locked network.
fn stem(target: &Target) -> Result<Vec<f32>, Error> {
    let missing = || cleave_nets::Error::Keys { missing: vec!["0.weight".to_owned()], unknown: vec![] };
    Ok(target.back.tensors()?.remove("0.weight").ok_or_else(missing)?.values)
}

/// 1, 2, 5, 10, 20, 50 and so on, up to `most`, which ends the list.
fn counts(most: usize) -> Vec<usize> {
    let steps = (0..).flat_map(|power| [1, 2, 5].map(|first| first * 10_usize.saturating_pow(power)));
    steps.take_while(|&count| count < most).chain([most]).collect()
}

/// Guesses by the number of images, and what the last of them makes of private images.
struct Guesses {
    guesses: Vec<KeyGuess>,
    inversion: Inversion,
}

/// The pair as whoever measures it has it: with the key.
struct Plain<'a> {
    target: &'a Target,
    scramble: &'a Scramble,
    sides: &'a Sides<'a>,
}

impl Plain<'_> {
    fn tensor(&self, images: Vec<f32>) -> Tensor<4> {
        let [channels, height, width] = self.scramble.lock().image.dims();
        let count = images.len() / (channels * height * width);
        let data = TensorData::new(images, [count, channels, height, width]);
        Tensor::from_data(data, self.target.back.device())
    }

    /// Images from −1 to 1 as pixels of 0 to 1.
    fn pixels(&self, images: Vec<f32>) -> Tensor<4> {
        self.target.scale.pixels(self.tensor(images))
    }

    /// Right answers of the locked network to images under a key, or under none.
    fn accuracy(&self, images: &Lot, key: Option<&Scramble>) -> Result<Share, Error> {
        let mut right = 0;
        for chunk in images.chunks(CHUNK) {
            let mut values = to_host(chunk.prepared)?;
            if let Some(key) = key {
                values = key.apply(&values)?;
            }
            let answers = self.target.answers(self.tensor(values))?;
            let rows = answers.chunks(self.target.classes()).zip(&chunk.labels);
            right += rows.filter(|(row, label)| argmax(row) == **label).count();
        }
        Ok(Share::of(right, images.len()))
    }

    fn wrong_keys(&self, settings: &KeySettings, observer: &mut dyn Observer) -> Result<Vec<f64>, Error> {
        observer.began("wrong keys", settings.wrong_keys);
        let mut rng = ChaCha8Rng::seed_from_u64(self.sides.seed);
        let images = self.sides.stream.part(0, settings.wrong_key_images.clamp(1, self.sides.stream.len()));
        let one = |_| {
            step(observer)?;
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            let secret = Secret::from_bytes(&bytes);
            let lock = Lock { key: secret.id(), ..self.scramble.lock().clone() };
            let key = Scramble::new(&secret, &lock)?;
            Ok(self.accuracy(&images, Some(&key))?.share)
        };
        let found = (0..settings.wrong_keys).map(one).collect::<Result<Vec<f64>, Error>>()?;
        let best = found.iter().copied().fold(0.0, f64::max);
        observer.found(&format!("the best of {} wrong keys: {:.1} % right", found.len(), 100.0 * best));
        Ok(found)
    }

    /// Guesses the key from more and more images.
    fn guesses(
        &self,
        kind: InversionKind,
        counts: Vec<usize>,
        guess: impl Fn(usize) -> Guess,
        keyed: &[f32],
        truth: &[Vec<(usize, bool)>],
        observer: &mut dyn Observer,
    ) -> Result<Guesses, Error> {
        let (began, lock, steps) = (Instant::now(), self.scramble.lock(), counts.len());
        observer.began(&format!("key from {}", words(kind)), steps);
        let Sides { judge, private, mean, seed, .. } = self.sides;
        let original = self.target.scale.pixels(private.prepared.clone());
        let (mut guesses, mut last) = (Vec::new(), None);
        for &images in &counts {
            step(observer)?;
            let found = guess(images);
            let pixels = self.pixels(found.undo(lock, keyed));
            let scores = judge.scores(original.clone(), pixels.clone(), mean, &private.labels, *seed)?;
            let (right, ssim, psnr) = (found.right(truth), scores.ssim.mean, scores.psnr.mean);
            guesses.push(KeyGuess { images, right, ssim, psnr });
            observer.found(&format!("{images} {}: {:.1} % of the key, SSIM {ssim:.3}", words(kind), 100.0 * right));
            last = Some((images, scores, pixels));
        }
        let Some((images, scores, pixels)) = last else {
            return Err(Error::TooFewImages { side: "the attacker", images: 0, least: 1 });
        };
        let inversion = Inversion {
            kind,
            scores,
            settings: format!("the key guessed from {images} {}", words(kind)),
            attacker_images: if kind == InversionKind::KnownImages { images } else { self.sides.own.len() },
            steps,
            seconds: began.elapsed().as_secs_f64(),
            seed: *seed,
            pictures: to_pngs(pixels, self.sides.pictures)?,
        };
        Ok(Guesses { guesses, inversion })
    }
}

const fn words(kind: InversionKind) -> &'static str {
    match kind {
        InversionKind::KnownImages => "images known in both forms",
        _ => "keyed images alone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_and_more_images_are_taken() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(10), [1, 2, 5, 10]);
        assert_eq!(counts(70), [1, 2, 5, 10, 20, 50, 70]);
    }
}
