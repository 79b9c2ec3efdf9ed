//! Messages, and how long the provider takes.

use super::field::{Field, Party, distance};
use super::record::{Message, MessageKind, Protocol, RoundTiming};
use crate::Error;
use crate::observer::{Observer, step};

/// Runs the protocol once with each data set: keys, data, and a round.
pub(super) fn protocol(field: &Field, observer: &mut dyn Observer) -> Result<Protocol, Error> {
    let mut lengths: [Vec<Vec<usize>>; 4] = Default::default();
    let (mut linked, mut error) = (true, 0.0);
    for data in field.all_data() {
        step(observer)?;
        let party = Party::new(field)?;
        let (encrypted, sent) = party.send(data)?;
        let round = party.round(&encrypted, &party.start(data), field.cubic)?;
        let key = party.key().id();
        let all = encrypted.ciphertexts().chain(round.asked.ahead()).chain(round.answer.ahead());
        linked &= all.map(|x| x.key()).all(|id| id == key);
        let answered = round.answered.iter().map(Vec::len).collect();
        for (list, lengths) in lengths.iter_mut().zip([party.keys.clone(), sent, round.sent, answered]) {
            list.push(lengths);
        }
        // That of the last data set, the client's.
        let mut clear = party.start(data);
        for _ in 0..field.iterations() {
            clear.advance(data, field.method(field.cubic))?;
        }
        error = distance(&party.client.decrypt_model(&round.answer)?, &clear);
    }
    let kinds = [MessageKind::Keys, MessageKind::Data, MessageKind::Weights, MessageKind::Answer];
    let message = |(kind, lists): (MessageKind, Vec<Vec<usize>>)| Message {
        kind,
        pieces: lists.last().map_or(0, Vec::len),
        bytes: [0, 1, 2].map(|at| lists.get(at).map_or(0, |list| list.iter().sum())),
        alike: lists.windows(2).all(|pair| pair[0] == pair[1]),
    };
    let messages = kinds.into_iter().zip(lengths).map(message).collect();
    observer.found(&format!("largest error of a weight {error:.1e}"));
    Ok(Protocol { iterations: field.iterations(), messages, linked, error })
}

/// Times rounds on data that differ as much as can be, in turn; each time another one comes first.
pub(super) fn times(field: &Field, observer: &mut dyn Observer) -> Result<Vec<RoundTiming>, Error> {
    let party = Party::new(field)?;
    let sets = [(true, &field.plain), (false, &field.varied)];
    let mut found = sets.map(|(plain, _)| RoundTiming { plain, seconds: Vec::new() });
    // What the first run does besides, such as asking for memory, is nobody's time.
    let mut turn = |at: usize| {
        step(observer)?;
        let data = sets[at].1;
        Ok::<_, Error>(party.round(&party.encrypt(data)?, &party.start(data), field.cubic)?.seconds)
    };
    turn(0)?;
    for round in 0..field.settings.repeats {
        for at in [round % 2, (round + 1) % 2] {
            found[at].seconds.push(turn(at)?);
        }
    }
    Ok(found.into())
}
