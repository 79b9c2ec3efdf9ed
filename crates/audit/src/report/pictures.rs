//! Private images beside what attackers made of them.

use super::figures::fixed;
use super::html::{details, escape, nothing, scroll, section as part};
use super::threats::inversion_name;
use super::view::{Shelf, View};
use crate::{Baseline, Inversion, KeyFindings};
use data_encoding::BASE64;
use std::fmt::Write;

/// Name of the baseline that holds the private images themselves.
const ORIGINAL: &str = "original";
/// Narrower images, in pixels, are shown with hard edges.
const SMALL: usize = 48;

/// Columns of the grid under one heading.
struct Group<'a> {
    /// Markup.
    title: String,
    columns: Vec<Column<'a>>,
}

struct Column<'a> {
    /// Clean text: `white-box`.
    name: String,
    /// Follows the image's number in the alternative text: `by white-box at cut 3`.
    how: String,
    /// Mean SSIM over all images that were inverted.
    ssim: f64,
    pictures: &'a [Vec<u8>],
}

/// A grid for each way the front half was treated; the first is open.
pub(super) fn section(view: &View) -> String {
    let rows = view.pictured();
    let lead = "A row for each private image. Below each column’s name stands the mean SSIM over all images that were \
        inverted: 1 for the same image, near 0 for nothing in common.";
    if rows == 0 {
        let body = nothing("No pictures came with this audit. A record keeps the figures only.");
        return part("pictures", "What the attacker gets to see", lead, &body);
    }
    let mut body = String::new();
    for (index, shelf) in view.shelves().iter().enumerate() {
        let (title, grid) = (escape(&shelf.title), grid(view, Some(shelf), rows));
        body += &if index == 0 { format!("<h3>{title}</h3>\n{grid}") } else { details(&title, &grid) };
    }
    if view.entries.is_empty() {
        body = grid(view, None, rows);
    }
    part("pictures", "What the attacker gets to see", lead, &body)
}

fn grid(view: &View, shelf: Option<&Shelf>, rows: usize) -> String {
    let groups = groups(view, shelf);
    let (mut titles, mut names) = (String::new(), String::new());
    for group in &groups {
        let _ = write!(titles, "<th scope=\"colgroup\" colspan=\"{}\">{}</th>", group.columns.len(), group.title);
        for column in &group.columns {
            let (name, ssim) = (escape(&column.name), fixed(column.ssim, 2));
            let _ = write!(names, "<th scope=\"col\">{name}<small>SSIM {ssim}</small></th>");
        }
    }
    let originals = originals(view);
    let [_, height, width] = view.audit.subject.input;
    let body: String = (0..rows)
        .map(|row| {
            let own = image(originals.get(row), &format!("Private image {}", row + 1), (width, height));
            let cells = groups.iter().flat_map(|group| {
                let columns = group.columns.iter().enumerate();
                columns.map(|(index, column)| column.cell(row, index == 0, (width, height)))
            });
            format!("<tr><th scope=\"row\">{own}</th>{}</tr>\n", cells.collect::<String>())
        })
        .collect();
    let head = format!("<tr><th rowspan=\"2\" scope=\"col\">original</th>{titles}</tr>\n<tr>{names}</tr>\n");
    let class = if width < SMALL { "grid small" } else { "grid" };
    let table = format!("<table class=\"{class}\">\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n");
    scroll("Private images and reconstructions", &table)
}

/// What needs no smashed data first, then cut by cut.
fn groups<'a>(view: &View<'a>, shelf: Option<&Shelf<'_, 'a>>) -> Vec<Group<'a>> {
    let baselines: &'a [Baseline] = &view.audit.baselines;
    let baselines_of = |cut: Option<&str>| {
        let fitting = baselines.iter().filter(move |b| b.name != ORIGINAL && b.cut.as_deref() == cut);
        fitting.filter(|baseline| !baseline.pictures.is_empty()).map(Column::of_baseline).collect::<Vec<_>>()
    };
    let entries = shelf.iter().flat_map(|shelf| &shelf.entries);
    let groups = entries.clone().filter_map(|entry| {
        let attacks = entry.found.inversions.iter().filter(|attack| !attack.pictures.is_empty());
        let keyed = entry.found.key.iter().filter(|key| !key.pictures.is_empty()).map(Column::of_key);
        let mut columns: Vec<_> = keyed.chain(attacks.map(|attack| Column::of_attack(attack, &entry.name))).collect();
        let shelf = shelf.filter(|_| !columns.is_empty())?;
        if !shelf.one_cut {
            columns.extend(baselines_of(Some(&entry.found.cut)));
        }
        Some(Group { title: shelf.heading(entry), columns })
    });
    let mut columns = baselines_of(None);
    if let Some(entry) = entries.clone().next().filter(|_| shelf.is_some_and(|shelf| shelf.one_cut)) {
        columns.extend(baselines_of(Some(&entry.found.cut)));
    }
    let without = (!columns.is_empty()).then(|| Group { title: "without smashed data".to_owned(), columns });
    without.into_iter().chain(groups).collect()
}

fn originals<'a>(view: &View<'a>) -> &'a [Vec<u8>] {
    let own = view.audit.baselines.iter().find(|baseline| baseline.name == ORIGINAL);
    own.map_or(&[], |baseline| &baseline.pictures)
}

impl<'a> Column<'a> {
    fn of_attack(attack: &'a Inversion, entry: &str) -> Self {
        let name = inversion_name(attack.kind).to_owned();
        let how = format!("reconstructed by the {name} attack at {entry}");
        Self { name, how, ssim: attack.scores.ssim.mean, pictures: &attack.pictures }
    }

    fn of_key(key: &'a KeyFindings) -> Self {
        let how = "under the key, as the provider sees it".to_owned();
        Self { name: "under the key".to_owned(), how, ssim: key.ssim, pictures: &key.pictures }
    }

    fn of_baseline(baseline: &'a Baseline) -> Self {
        let name = super::html::clean(&baseline.name);
        let how = format!("replaced by the baseline {name}");
        Self { name, how, ssim: baseline.scores.ssim.mean, pictures: &baseline.pictures }
    }

    fn cell(&self, row: usize, first: bool, size: (usize, usize)) -> String {
        let words = format!("Private image {} {}, mean SSIM {}", row + 1, self.how, fixed(self.ssim, 2));
        let class = if first { " class=\"first\"" } else { "" };
        format!("<td{class}>{}</td>", image(self.pictures.get(row), &words, size))
    }
}

/// An image with words that stand for it; a dash where there is none.
pub(super) fn image(png: Option<&Vec<u8>>, words: &str, (width, height): (usize, usize)) -> String {
    let Some(png) = png else {
        return "<span class=\"muted\">–</span>".to_owned();
    };
    let (words, data) = (escape(words), BASE64.encode(png));
    format!("<img width=\"{width}\" height=\"{height}\" alt=\"{words}\" src=\"data:image/png;base64,{data}\">")
}
