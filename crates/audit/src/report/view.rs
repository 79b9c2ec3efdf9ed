//! The audit as the sections read it: entries with names, grouped by what was done to the front half.

use super::figures::{chosen, count, counted};
use super::html::{clean, escape};
use crate::{Audit, CutFindings, CutVerdict, Inversion, InversionKind, Judgement, Privacy, Probe, ProbeTarget, Stand};
use cleave_nets::{Defence, Distribution};

/// An audit with its verdicts.
pub(super) struct View<'a> {
    pub(super) audit: &'a Audit,
    /// One for each of [`Audit::cuts`].
    pub(super) entries: Vec<Entry<'a>>,
    /// Whether several models are compared, so that names must say which.
    pub(super) models: bool,
}

/// A cut with its defences, and what was decided about it.
pub(super) struct Entry<'a> {
    pub(super) found: &'a CutFindings,
    pub(super) verdict: &'a CutVerdict,
    /// `cut 3`, `cut 3, bottleneck of 8 channels`: clean, not escaped.
    pub(super) name: String,
    /// Its defences in words, and the model where several are compared; `no defence` without any.
    pub(super) treatment: String,
    /// The same without scales that were calibrated cut by cut, so that it is one for all cuts treated alike.
    variant: String,
}

/// Entries that are shown side by side.
pub(super) struct Shelf<'v, 'a> {
    /// Clean text.
    pub(super) title: String,
    pub(super) entries: Vec<&'v Entry<'a>>,
    /// Whether all are at one cut, so that their treatments tell them apart; otherwise their cuts do.
    pub(super) one_cut: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(audit: &'a Audit, verdicts: &'a [CutVerdict]) -> Self {
        let models = audit.cuts.windows(2).any(|pair| pair[0].model != pair[1].model);
        let entries = audit.cuts.iter().zip(verdicts);
        Self { audit, models, entries: entries.map(|(found, verdict)| Entry::new(found, verdict, models)).collect() }
    }

    /// The passing entry with the highest task accuracy.
    pub(super) fn recommended(&self) -> Option<&Entry<'a>> {
        let passing = self.entries.iter().filter(|entry| entry.verdict.passes);
        passing.max_by(|a, b| a.task().total_cmp(&b.task()))
    }

    /// The entry that the first screen shows: the recommended one, or else that with the fewest judgements broken, and
    /// among those the least similar reconstructions.
    pub(super) fn telling(&self) -> Option<&Entry<'a>> {
        let order =
            |a: &&Entry, b: &&Entry| a.broken().cmp(&b.broken()).then(a.similarity().total_cmp(&b.similarity()));
        self.recommended().or_else(|| self.entries.iter().min_by(order))
    }

    /// Entries whose front halves were treated alike, in the order in which they first appear.
    pub(super) fn variants(&self) -> Vec<(&str, Vec<&Entry<'a>>)> {
        grouped(&self.entries, |entry| &entry.variant)
    }

    /// Entries at the same cut, where there are several.
    pub(super) fn contests(&self) -> Vec<(&str, Vec<&Entry<'a>>)> {
        let mut cuts = grouped(&self.entries, |entry| &entry.found.cut);
        cuts.retain(|(_, entries)| entries.len() > 1);
        cuts
    }

    /// All entries in groups: those of the first variant, and the others by variant or by cut, whichever makes fewer.
    pub(super) fn shelves(&self) -> Vec<Shelf<'_, 'a>> {
        let (mut shelves, contests) =
            (self.variants().into_iter().map(Shelf::of_variant).collect::<Vec<_>>(), self.contests());
        if shelves.len() <= contests.len() + 1 {
            return shelves;
        }
        let contested = |entry: &&Entry| contests.iter().any(|(cut, _)| *cut == entry.found.cut);
        shelves.iter_mut().skip(1).for_each(|shelf| shelf.entries.retain(|entry| !contested(entry)));
        shelves.retain(|shelf| !shelf.entries.is_empty());
        shelves.splice(1..1, contests.iter().map(Shelf::of_cut));
        shelves
    }

    /// How many images a set of private images is drawn with.
    pub(super) fn pictured(&self) -> usize {
        let attacks = self.entries.iter().flat_map(|entry| &entry.found.inversions).map(|attack| attack.pictures.len());
        attacks.chain(self.audit.baselines.iter().map(|baseline| baseline.pictures.len())).max().unwrap_or(0)
    }
}

fn grouped<'v, 'a>(
    entries: &'v [Entry<'a>],
    key: impl Fn(&'v Entry<'a>) -> &'v str,
) -> Vec<(&'v str, Vec<&'v Entry<'a>>)> {
    let mut groups: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        let key = key(entry);
        match groups.iter_mut().find(|(name, _)| *name == key) {
            Some((_, group)) => group.push(entry),
            None => groups.push((key, vec![entry])),
        }
    }
    groups
}

impl<'v, 'a> Shelf<'v, 'a> {
    fn of_variant((variant, entries): (&str, Vec<&'v Entry<'a>>)) -> Self {
        let title = format!("{variant}, {}", counted(entries.len(), "cut", "cuts"));
        Self { title, entries, one_cut: false }
    }

    fn of_cut((cut, entries): &(&str, Vec<&'v Entry<'a>>)) -> Self {
        let title = format!("cut {}, {}", clean(cut), counted(entries.len(), "candidate", "candidates"));
        Self { title, entries: entries.clone(), one_cut: true }
    }

    /// What tells an entry from the others here, as markup.
    pub(super) fn heading(&self, entry: &Entry) -> String {
        let (cut, layer) = (escape(&entry.found.cut), escape(&entry.found.layer));
        if self.one_cut { escape(&entry.treatment) } else { format!("cut {cut} <span class=\"muted\">{layer}</span>") }
    }
}

impl<'a> Entry<'a> {
    fn new(found: &'a CutFindings, verdict: &'a CutVerdict, models: bool) -> Self {
        let model = models.then(|| format!("model {}", clean(&found.model)));
        let words = |scales: bool| {
            let plain = found.defences.is_empty().then(|| "no defence".to_owned());
            let defences = found.defences.iter().map(|defence| in_words(defence, scales));
            model.clone().into_iter().chain(plain).chain(defences).collect::<Vec<_>>().join(", ")
        };
        let (treatment, variant, cut) = (words(true), words(false), clean(&found.cut));
        let plain = found.defences.is_empty() && !models;
        let name = if plain { format!("cut {cut}") } else { format!("cut {cut}, {treatment}") };
        Self { found, verdict, name, treatment, variant }
    }

    /// Whether an attack can be made on it: a pair that is locked has a key to find, and no front half to invert.
    pub(super) const fn is_open_to(&self, kind: InversionKind) -> bool {
        matches!(kind, InversionKind::KnownImages | InversionKind::KeyedImages) == self.found.key.is_some()
    }

    /// The defences alone, in words.
    pub(super) fn defences(&self) -> String {
        let words: Vec<_> = self.found.defences.iter().map(|defence| in_words(defence, true)).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// Whether an inversion of this kind was run.
    pub(super) fn tried(&self, kind: InversionKind) -> bool {
        self.found.inversions.iter().any(|attack| attack.kind == kind)
    }

    /// Of the inversions that pass a test, the one that comes nearest to the images, by mean SSIM.
    pub(super) fn inversion(&self, of: impl Fn(&Inversion) -> bool) -> Option<&'a Inversion> {
        let measured = self.found.inversions.iter().filter(|attack| of(attack) && !attack.scores.ssim.mean.is_nan());
        measured.max_by(|a, b| a.scores.ssim.mean.total_cmp(&b.scores.ssim.mean))
    }

    /// The inversion of any kind that comes nearest.
    pub(super) fn best_inversion(&self) -> Option<&'a Inversion> {
        self.inversion(|_| true)
    }

    /// The most accurate of the probes that pass a test.
    pub(super) fn probe(&self, of: impl Fn(&Probe) -> bool) -> Option<&'a Probe> {
        let measured = self.found.probes.iter().filter(|probe| of(probe) && probe.accuracy.of > 0);
        measured.max_by(|a, b| a.accuracy.share.total_cmp(&b.accuracy.share))
    }

    /// The most accurate probe of the signal.
    pub(super) fn signal_probe(&self) -> Option<&'a Probe> {
        self.probe(|probe| probe.target == ProbeTarget::Signal)
    }

    /// The most accurate probe of the label, by whatever way.
    pub(super) fn label_probe(&self) -> Option<&'a Probe> {
        self.probe(|probe| probe.target != ProbeTarget::Signal)
    }

    /// What was decided on one kind of privacy.
    pub(super) fn judgement(&self, privacy: Privacy) -> Option<&'a Judgement> {
        self.verdict.judgements.iter().find(|judgement| judgement.privacy == privacy)
    }

    /// Task accuracy for comparisons; the least where it was not measured.
    pub(super) fn task(&self) -> f64 {
        let accuracy = self.found.task_accuracy;
        if accuracy.of == 0 || accuracy.share.is_nan() { f64::NEG_INFINITY } else { accuracy.share }
    }

    /// Mean SSIM of the best inversion; the highest where none was measured.
    fn similarity(&self) -> f64 {
        self.best_inversion().map_or(f64::INFINITY, |attack| attack.scores.ssim.mean)
    }

    fn broken(&self) -> usize {
        self.verdict.judgements.iter().filter(|judgement| judgement.stand == Stand::Broken).count()
    }

    /// `16 × 14 × 14`.
    pub(super) fn shape(&self) -> String {
        self.found.shape.map(count).join(" × ")
    }
}

/// A defence in words; without its scale where that was calibrated to a figure of its own at each cut.
fn in_words(defence: &Defence, scales: bool) -> String {
    let Defence::Noise { distribution, scale, dfil } = defence else {
        return clean(&defence.to_string());
    };
    let name = match distribution {
        Distribution::Gaussian => "Gaussian",
        Distribution::Laplace => "Laplace",
    };
    let scale = chosen(f64::from(*scale));
    match dfil {
        Some(dfil) if scales => format!("{name} noise of scale {scale} for a dFIL of {}", chosen(*dfil)),
        Some(dfil) => format!("{name} noise for a dFIL of {}", chosen(*dfil)),
        None => format!("{name} noise of scale {scale}"),
    }
}
