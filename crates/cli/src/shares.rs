//! Uneven shares of the classes in the training images.

use crate::Failure;
use clap::Args;
use cleave_data::{DataError, Dataset, Skew};
use serde_json::{Value, json};
use std::ops::Range;

/// Which images of each class a model is trained on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shares of classes")]
pub struct ShareOptions {
    /// Train on shares of some classes' images, as in 0=1.0,1=0.1; of the other classes on all
    #[arg(long, value_name = "CLASS=SHARE", value_delimiter = ',', value_parser = label_share)]
    label_share: Vec<(String, f64)>,
    /// Share the digits out among three models, and train on what one of them gets: regular:0
    ///
    /// As in Xiong et al., Figs. 5 to 7. Most images of a digit go to the model of its group: regular {0,1,2} {3,4,5}
    /// {6,7,8,9}, likewise {0,6,8} {2,3,5,7} {1,4,9}, or random
    #[arg(long, value_name = "SPLIT:MODEL", value_parser = split_by, conflicts_with = "label_share")]
    split_by: Option<(Skew, usize)>,
    /// With --split-by: share of a digit's images for the model of its group, drawn for each digit from this range; the
    /// others get half of the rest each
    #[arg(long, value_name = "LOW-HIGH", value_parser = range, default_value = "0.8-0.9", requires = "split_by")]
    group_share: (f64, f64),
    /// Seed of --split-by and --label-share; the same for all models that share the images
    #[arg(long, default_value_t = 0)]
    share_seed: u64,
}

fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

fn label_share(text: &str) -> Result<(String, f64), String> {
    let parts = text.rsplit_once('=').and_then(|(class, part)| Some((class.to_owned(), share(part)?)));
    parts.ok_or_else(|| "take a class and a share from 0 to 1, as in 0=0.5".to_owned())
}

fn split_by(text: &str) -> Result<(Skew, usize), String> {
    let model = |text: &str| ["0", "1", "2"].iter().position(|model| *model == text);
    let parts = text.split_once(':').and_then(|(split, number)| Some((split.parse().ok()?, model(number)?)));
    parts.ok_or_else(|| "take regular, likewise or random, and a model from 0 to 2, as in regular:0".to_owned())
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let parts = text.split_once('-').and_then(|(low, high)| Some((share(low)?, share(high)?)));
    let rising = parts.filter(|(low, high)| low <= high);
    rising.ok_or_else(|| "take two shares from 0 to 1, the smaller first, as in 0.8-0.9".to_owned())
}

impl ShareOptions {
    /// The training images that are left.
    pub fn choose(&self, train: Dataset) -> Result<Dataset, Failure> {
        let portions = match self.split_by {
            Some((skew, model)) => {
                let (low, high) = self.group_share;
                digits(&train, &skew.portions(model, low..high, self.share_seed)?)?
            }
            None if self.label_share.is_empty() => return Ok(train),
            None => self.named(&train)?,
        };
        Ok(train.portions(&portions, self.share_seed)?)
    }

    fn named(&self, train: &Dataset) -> Result<Vec<Range<f64>>, Failure> {
        let mut portions = vec![0.0..1.0; train.classes().len()];
        for (name, share) in &self.label_share {
            let class = train.classes().iter().position(|class| class == name);
            let available = || DataError::NoClass { wanted: name.clone(), available: train.classes().to_vec() };
            portions[class.ok_or_else(available)?] = 0.0..*share;
        }
        Ok(portions)
    }

    /// What a model's card says of it.
    pub fn record(&self) -> Option<Value> {
        match self.split_by {
            Some((skew, model)) => {
                let groups = skew.groups(self.share_seed);
                let (share, seed) = (self.group_share, self.share_seed);
                Some(json!({ "split": skew, "model": model, "groups": groups, "group_share": share, "seed": seed }))
            }
            None if self.label_share.is_empty() => None,
            None => Some(json!({ "label_share": self.label_share, "seed": self.share_seed })),
        }
    }
}

/// The portions of ten digits in the order of the classes.
fn digits(train: &Dataset, portions: &[Range<f64>]) -> Result<Vec<Range<f64>>, Failure> {
    let portion = |class: &String| portions.get(class.parse::<usize>().ok()?).cloned();
    let found: Option<Vec<_>> = train.classes().iter().map(portion).collect();
    found.ok_or(Failure::Options { reason: "--split-by shares out the digits 0 to 9, and there are other classes" })
}
