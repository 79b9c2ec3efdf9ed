//! How a last layer is trained.

use super::JobFault;
use crate::Failure;
use clap::Args;
use cleave_encrypted::training::{Activation, Cubic, Method, Model, Preconditioner, TrainingData};
use serde::{Serialize, Serializer};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// Settings of the training.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Method")]
pub struct MethodOptions {
    /// What stands for the inverse Hessian, computed here and folded into what is encrypted: "paper", the quadratic gradient of
    /// Chiang 2023, or "ridge:LAMBDA", the whole matrix (X'X/4 + LAMBDA)^-1
    #[arg(long, default_value = "ridge:10", value_name = "paper|ridge:LAMBDA")]
    preconditioner: PreconditionerOption,
    /// What stands for the sigmoid: "paper", or "fit:RANGE", the best cubic for scores from -RANGE to RANGE. The provider sees it: a range that
    /// was chosen by the data says something about them
    #[arg(long, default_value = "fit:8", value_name = "paper|fit:RANGE")]
    cubic: CubicOption,
    /// Every weight before the first iteration; the losses in the paper follow from 0.0128
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT", allow_negative_numbers = true, value_parser = weight)]
    start: f64,
}

#[derive(Clone, Copy, Debug)]
struct PreconditionerOption(Preconditioner);

#[derive(Clone, Copy, Debug)]
struct CubicOption(Option<f64>);

/// A positive number behind a name and a colon.
fn number_behind(text: &str, name: &str) -> Option<f64> {
    let number: f64 = text.strip_prefix(name)?.strip_prefix(':')?.parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number)
}

impl FromStr for PreconditionerOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, number_behind(text, "ridge")) {
            ("paper", _) => Ok(Self(Preconditioner::Diagonal)),
            (_, Some(lambda)) => Ok(Self(Preconditioner::Ridge(lambda))),
            _ => Err("write paper, or ridge:LAMBDA with a number above 0, as in ridge:10"),
        }
    }
}

impl FromStr for CubicOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, number_behind(text, "fit")) {
            ("paper", _) => Ok(Self(None)),
            (_, Some(range)) if range <= 1000.0 => Ok(Self(Some(range))),
            _ => Err("write paper, or fit:RANGE with a number above 0 and at most 1000, as in fit:8"),
        }
    }
}

fn weight(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(weight) if weight.abs() <= 1000.0 => Ok(weight),
        _ => Err("write a number from -1000 to 1000"),
    }
}

impl MethodOptions {
    /// What is to be done with these data.
    pub fn fit(&self, data: &TrainingData) -> Result<Fit, Failure> {
        let cubic = self.cubic.0.map_or(Ok(Cubic::PAPER), Cubic::fitted)?;
        let (preconditioner, range, start) = (self.preconditioner.0, self.cubic.0, self.start);
        let fit = Fit { preconditioner, cubic, range, start };
        // Features beyond what a first iteration stands are found before anything is encrypted.
        let mut first = Model::start(data, start);
        first.advance(data, fit.method())?;
        match first.range(data)? {
            score if score <= MOST_SCORE => Ok(fit),
            score => Err(JobFault::ScoresTooLarge { score, most: MOST_SCORE }.into()),
        }
    }
}

/// Largest score of a training sample after the first iteration: beyond it a cubic runs away, and ciphertexts wrap around.
const MOST_SCORE: f64 = 1000.0;

/// How a last layer is trained.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fit {
    #[serde(serialize_with = "as_text")]
    pub preconditioner: Preconditioner,
    #[serde(serialize_with = "factors")]
    pub cubic: Cubic,
    /// What the cubic was fitted on; `None` for the paper's.
    pub range: Option<f64>,
    /// Every weight before the first iteration.
    pub start: f64,
}

impl Fit {
    /// In the clear, as on ciphertexts.
    pub const fn method(&self) -> Method {
        Method { activation: Activation::Cubic(self.cubic), preconditioner: self.preconditioner }
    }
}

fn text(preconditioner: Preconditioner) -> String {
    match preconditioner {
        Preconditioner::Ridge(lambda) => format!("ridge:{lambda}"),
        _ => "paper".to_owned(),
    }
}

fn as_text<S: Serializer>(preconditioner: &Preconditioner, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&text(*preconditioner))
}

fn factors<S: Serializer>(cubic: &Cubic, out: S) -> Result<S::Ok, S::Error> {
    [cubic.linear, cubic.cubic].serialize(out)
}

impl Display for Fit {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let cubic = self.range.map_or_else(|| "paper".to_owned(), |range| format!("fit:{range}"));
        write!(f, "preconditioner {}, cubic {cubic}, start {}", text(self.preconditioner), self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_names_and_numbers() {
        let ridge = |text: &str| text.parse::<PreconditionerOption>().map(|option| option.0);
        assert_eq!(ridge("ridge:0.5"), Ok(Preconditioner::Ridge(0.5)));
        assert_eq!(ridge("paper"), Ok(Preconditioner::Diagonal));
        assert_eq!("fit:16".parse::<CubicOption>().unwrap().0, Some(16.0));
        for wrong in ["", "ridge", "ridge:", "ridge:0", "ridge:-1", "ridge:nan", "ridge:inf", "fit:8", "Paper"] {
            assert!(ridge(wrong).is_err(), "{wrong}");
        }
        for wrong in ["fit", "fit:0", "fit:1001", "fit:x", "ridge:1"] {
            assert!(wrong.parse::<CubicOption>().is_err(), "{wrong}");
        }
        assert!(["nan", "inf", "1001", "x"].iter().all(|wrong| weight(wrong).is_err()));
    }
}
