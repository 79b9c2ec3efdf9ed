use rayon::prelude::*;

use super::{
    Ciphertext, EvaluationKeys,
    cipher::{check_place, same_scale},
    keys::{conjugation, rotation},
    ring,
};
use crate::{Error, Result};

/// Pairs whose products are summed up before they are reduced: 2·16·2¹²² fit into 128 bits.
const LAZY: usize = 16;

impl EvaluationKeys {
    /// The product, slot by slot, at the level of both. Scales are multiplied too: rescale next.
    ///
    /// # Errors
    ///
    /// As [`EvaluationKeys::dot`].
    pub fn multiply(&self, left: &Ciphertext, right: &Ciphertext) -> Result<Ciphertext> {
        self.dot(&[(left, right)])
    }

    /// The sum of products, slot by slot, relinearised once: Σ (b + a·s)(b' + a'·s) = d₀ + d₁·s + d₂·s²
    /// (Cheon, Kim, Kim and Song 2017, section 3.4), then d₂·s² is switched to s.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] without pairs, [`Error::Level`], [`Error::Scale`], [`Error::OtherKey`],
    /// [`Error::OtherParams`] where they do not go together, [`Error::MissingKey`].
    pub fn dot(&self, pairs: &[(&Ciphertext, &Ciphertext)]) -> Result<Ciphertext> {
        let Some((first, second)) = pairs.first() else {
            return Err(Error::Count { what: "pairs to multiply", got: 0, expected: "1 or more".into() });
        };
        self.check(first)?;
        let scale = first.scale * second.scale;
        check_place(self.params(), "product", first.level(), scale)?;
        for (left, right) in pairs {
            first.check_level(left)?;
            first.check_level(right)?;
            same_scale("product", scale, left.scale * right.scale)?;
        }
        let n = self.params().degree();
        let rows = (0..=first.level()).into_par_iter().map(|index| {
            let q = &self.params().moduli()[index];
            let place = index * n..(index + 1) * n;
            let mut out = [vec![0; n], vec![0; n], vec![0; n]];
            for pairs in pairs.chunks(LAZY) {
                let mut sums = [vec![0_u128; n], vec![0_u128; n], vec![0_u128; n]];
                for (left, right) in pairs {
                    let [b, a] = left.parts.each_ref().map(|part| &part[place.clone()]);
                    let [d, c] = right.parts.each_ref().map(|part| &part[place.clone()]);
                    accumulate(&mut sums[0], b, d);
                    accumulate(&mut sums[1], b, c);
                    accumulate(&mut sums[1], a, d);
                    accumulate(&mut sums[2], a, c);
                }
                for (out, sums) in out.iter_mut().zip(sums) {
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = q.add(*out, q.reduce_u128(sum));
                    }
                }
            }
            out
        });
        let rows: Vec<_> = rows.collect();
        let joined = |part: usize| rows.iter().flat_map(|row| row[part].iter().copied()).collect::<Vec<_>>();
        let [constant, linear] = self.relinearise(&joined(2))?;
        let parts = [first.zip_rows(&joined(0), &constant, true), first.zip_rows(&joined(1), &linear, true)];
        Ok(Ciphertext { scale, ..first.with_parts(parts) })
    }

    /// Slot j becomes what slot j + `steps` was, around the end.
    ///
    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn rotate(&self, ciphertext: &Ciphertext, steps: i64) -> Result<Ciphertext> {
        self.check(ciphertext)?;
        match rotation(self.params(), steps) {
            1 => Ok(ciphertext.clone()),
            element => self.automorphisms(ciphertext, &[element]),
        }
    }

    /// Every slot becomes its conjugate.
    ///
    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn conjugate(&self, ciphertext: &Ciphertext) -> Result<Ciphertext> {
        self.check(ciphertext)?;
        self.automorphisms(ciphertext, &[conjugation(self.params())])
    }

    /// The ciphertext plus its rotations by each of `steps`, for less than one at a time.
    ///
    /// # Errors
    ///
    /// [`Error::MissingKey`], also for a step that is none, [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn add_rotations(&self, ciphertext: &Ciphertext, steps: &[i64]) -> Result<Ciphertext> {
        self.check(ciphertext)?;
        let elements: Vec<_> = steps.iter().map(|&step| rotation(self.params(), step)).collect();
        ciphertext.add(&self.automorphisms(ciphertext, &elements)?)
    }

    /// (c₀(X^e), c₁(X^e)) is under s(X^e); its second half is switched to s. The sum over all e.
    fn automorphisms(&self, ciphertext: &Ciphertext, elements: &[u64]) -> Result<Ciphertext> {
        let [b, a] = &ciphertext.parts;
        let [mut constant, linear] = self.switch(elements, a)?;
        for &element in elements {
            constant = ciphertext.zip_rows(&constant, &ring::permuted(self.params(), b, element), true);
        }
        Ok(ciphertext.with_parts([constant, linear]))
    }

    fn check(&self, ciphertext: &Ciphertext) -> Result<()> {
        self.params().check_same(ciphertext.params.hash(), "ciphertext")?;
        self.check_key("ciphertext", ciphertext.key)
    }
}

fn accumulate(sums: &mut [u128], x: &[u64], y: &[u64]) {
    for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
        *sum += u128::from(x) * u128::from(y);
    }
}
