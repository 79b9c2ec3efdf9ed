//! Providers that answer with something of their own making, with right tags: they have the key of tags.

use super::field::{Field, Party, Round, distance};
use super::record::{HostileAnswer, HostileKind, WrongKind, WrongTraining};
use crate::Error;
use crate::ciphertexts::operator;
use crate::observer::{Observer, step};
use cleave_encrypted::training::{Cubic, EncryptedModel, Model};
use cleave_secrets::Domain;
use fhe_math::zq::Modulus;
use hmac::{Hmac, Mac};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::Sha256;

/// Bytes of a ciphertext before its body, and of its tag.
const HEAD: usize = 68;
const TAG: usize = 32;
/// Places in the body: the scale, and the residues.
const SCALE: usize = HEAD + 40;
const ROWS: usize = HEAD + 56;
/// Weights are cut off here.
const MOST: f64 = 65_536.0;
/// Numbers of a cubic that sends everything beyond the modulus.
const WILD: Cubic = Cubic { linear: 1e6, cubic: 1e6 };

pub(super) fn all(
    field: &Field,
    observer: &mut dyn Observer,
) -> Result<(Vec<HostileAnswer>, Vec<WrongTraining>), Error> {
    let mut found: Vec<HostileAnswer> = HostileKind::ALL
        .map(|kind| HostileAnswer { kind, tried: 0, refused: 0, failed: 0, went_on: 0, largest: 0.0 })
        .into();
    let mut rng = ChaCha8Rng::seed_from_u64(field.settings.seed);
    for time in 0..field.settings.hostile {
        let party = Party::new(field)?;
        let data = field.all_data()[time % 3];
        let encrypted = party.encrypt(data)?;
        let honest = party.round(&encrypted, &party.start(data), field.cubic)?;
        for found in &mut found {
            step(observer)?;
            let wild = match found.kind {
                HostileKind::WildCubic => Some(party.round(&encrypted, &party.start(data), WILD)?),
                _ => None,
            };
            let round = wild.as_ref().unwrap_or(&honest);
            let answered = match found.kind {
                HostileKind::WildCubic => round.answered.clone(),
                kind => forged(field, &party, &honest, kind, &mut rng)?,
            };
            tried(&party, round, &answered, found)?;
        }
    }
    let wrong = [WrongKind::Honest, WrongKind::Idle, WrongKind::OtherCubic].map(|kind| {
        step(observer)?;
        train_wrongly(field, kind)
    });
    Ok((found, wrong.into_iter().collect::<Result<_, _>>()?))
}

/// What the client does with an answer.
fn tried(party: &Party, round: &Round, answered: &[Vec<u8>], found: &mut HostileAnswer) -> Result<(), Error> {
    found.tried += 1;
    let Ok(answer) = party.receive(&round.asked, answered) else {
        found.refused += 1;
        return Ok(());
    };
    let next = party.client.decrypt_model(&answer).and_then(|model| {
        let largest = largest(&model);
        found.largest = found.largest.max(largest);
        let lengths = party.client.encrypt_model(&model)?;
        let tags = party.client.tags();
        let lengths =
            lengths.pieces(&tags).map(|piece| piece.map(|bytes| bytes.len())).collect::<Result<Vec<_>, _>>()?;
        Ok((largest, lengths))
    });
    match next {
        Ok((largest, lengths)) if largest <= MOST && lengths == round.sent => found.went_on += 1,
        _ => found.failed += 1,
    }
    Ok(())
}

/// The largest weight; infinite where one is no number.
fn largest(model: &Model) -> f64 {
    let all = model.ahead().iter().chain(model.weights());
    all.fold(0.0, |most, w| if w.is_finite() { w.abs().max(most) } else { f64::INFINITY })
}

/// An honest answer's pieces, with other contents and right tags.
fn forged(
    field: &Field,
    party: &Party,
    honest: &Round,
    kind: HostileKind,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Vec<u8>>, Error> {
    let q = modulus(field)?;
    let n = field.params.degree();
    let mut row = || match kind {
        HostileKind::Largest => vec![(*q).saturating_sub(1); n],
        HostileKind::Zero => vec![0; n],
        _ => (0..n).map(|_| rng.random_range(0..*q)).collect(),
    };
    let scale = match kind {
        HostileKind::SmallScale => Some(65_536.0),
        HostileKind::LargeScale => Some((*q / 4) as f64),
        HostileKind::NoScale => Some(1.0),
        _ => None,
    };
    Ok(honest.answered.iter().map(|piece| sealed(party, piece, scale, &q, [row(), row()])).collect())
}

/// q_0.
fn modulus(field: &Field) -> Result<Modulus, Error> {
    Ok(operator(field.params.primes().next().unwrap_or_default(), field.params.degree())?.0)
}

/// A piece at the last level with other residues, and perhaps another scale, under a tag of the provider's.
fn sealed(party: &Party, piece: &[u8], scale: Option<f64>, q: &Modulus, rows: [Vec<u64>; 2]) -> Vec<u8> {
    let mut bytes = piece.get(..ROWS).unwrap_or_default().to_vec();
    if let (Some(scale), Some(place)) = (scale, bytes.get_mut(SCALE..SCALE + 8)) {
        place.copy_from_slice(&scale.to_bits().to_le_bytes());
    }
    rows.iter().for_each(|row| bytes.extend(q.serialize_vec(row)));
    let mut key = [0; TAG];
    party.secret.stream(Domain::new("encrypted/ckks tag", &[])).fill(&mut key); // stands in the evaluation keys
    if let Ok(mac) = Hmac::<Sha256>::new_from_slice(&key) {
        bytes.extend(mac.chain_update(&bytes).finalize().into_bytes());
    }
    bytes
}

/// Trains otherwise than asked, and looks whether the client's functions notice.
fn train_wrongly(field: &Field, kind: WrongKind) -> Result<WrongTraining, Error> {
    let (party, data) = (Party::new(field)?, &field.target.data);
    let cubic = match kind {
        WrongKind::OtherCubic => Cubic { linear: -field.cubic.linear, cubic: -field.cubic.cubic },
        _ => field.cubic,
    };
    let round = party.round(&party.encrypt(data)?, &party.start(data), cubic)?;
    let received: Result<EncryptedModel, Error> = match kind {
        WrongKind::Idle => {
            let q = modulus(field)?;
            let n = field.params.degree();
            let scale = field.params.scale();
            let own = round.asked.ahead().iter().chain(round.asked.other());
            let forged = round.answered.iter().zip(own).map(|(piece, own)| {
                let rows = own.halves().map(|half| half[..n].to_vec());
                sealed(&party, piece, Some(scale), &q, rows)
            });
            party.receive(&round.asked, &forged.collect::<Vec<_>>())
        }
        _ => Ok(round.answer),
    };
    let mut clear = party.start(data);
    for _ in 0..field.iterations() {
        clear.advance(data, field.method(field.cubic))?;
    }
    let decrypted = received.and_then(|answer| Ok(party.client.decrypt_model(&answer)?));
    Ok(match decrypted {
        Ok(model) => WrongTraining { kind, refused: false, distance: distance(&model, &clear) },
        Err(_) => WrongTraining { kind, refused: true, distance: 0.0 },
    })
}
