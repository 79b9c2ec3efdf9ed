//! The report: what its markup may hold, and how a real browser shows it.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

mod browser;
mod confused;
mod encrypted;
mod fixture;
mod training;

use cleave_audit::{CutFindings, CutVerdict, Error, Stand, page};
use std::sync::LazyLock;

use fixture::{Case, HOSTILE, bare, empty, hostile, locked, refused, rich, wild};

/// A made-up audit, its name and its page.
struct Drawn {
    name: &'static str,
    case: Case,
    page: String,
}

impl Drawn {
    fn new(name: &'static str, case: Case) -> Self {
        let page = page(&case.audit, &case.verdicts).unwrap();
        Self { name, case, page }
    }
}

/// All made-up audits; drawn once, because their pictures take a while.
static CASES: LazyLock<Vec<Drawn>> = LazyLock::new(|| {
    vec![
        Drawn::new("rich", rich()),
        Drawn::new("refused", refused()),
        Drawn::new("locked", locked()),
        Drawn::new("empty", empty()),
        Drawn::new("bare", bare()),
        Drawn::new("wild", wild()),
        Drawn::new("hostile", hostile()),
    ]
});

fn drawn(name: &str) -> &'static Drawn {
    CASES.iter().find(|drawn| drawn.name == name).unwrap()
}

fn page_of(name: &str) -> &'static str {
    &drawn(name).page
}

/// Everything between `<` and `>` that opens an element.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<').skip(1).filter(|tag| !tag.starts_with('/')).map(|tag| tag.split('>').next().unwrap())
}

/// The page without the data of its images, in which any word may stand.
fn without_pictures(page: &str) -> String {
    let data = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    page.split("base64,").map(|part| part.trim_start_matches(data)).collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

#[test]
fn every_image_is_inside_the_page_and_has_words() {
    for Drawn { name, page, case } in CASES.iter() {
        let images: Vec<_> = tags(page).filter(|tag| tag.starts_with("img ")).collect();
        for image in &images {
            assert!(
                attribute(image, "alt").is_some_and(|words| words.starts_with("Private image ")),
                "{name}: {image:.200}"
            );
            assert!(
                attribute(image, "src").is_some_and(|data| data.starts_with("data:image/png;base64,iVBOR")),
                "{name}: {image:.200}"
            );
        }
        let pictures =
            case.audit.cuts.iter().flat_map(|cut| &cut.inversions).map(|attack| attack.pictures.len()).sum::<usize>();
        assert!(images.len() >= pictures, "{name}: {} images for {pictures} pictures", images.len());
    }
}

#[test]
fn nothing_points_out_of_the_page() {
    for Drawn { name, page, .. } in CASES.iter() {
        for tag in tags(page) {
            let target = attribute(tag, "src").or(attribute(tag, "href"));
            assert!(
                target.is_none_or(|to| to.starts_with("data:image/png;base64,") || to.starts_with('#')),
                "{name}: {tag:.120}"
            );
            assert!(
                !["script", "link", "iframe", "object", "base"].contains(&tag.split([' ', '>']).next().unwrap()),
                "{name}: {tag:.120}"
            );
        }
        for word in ["url(", "@import", "srcset", "xmlns", "javascript:"] {
            assert!(!page.contains(word), "{name}: {word}");
        }
        if *name != "hostile" {
            assert!(!page.contains("http:") && !page.contains("https:"), "{name}");
        }
    }
}

#[test]
fn links_inside_the_page_lead_somewhere() {
    for Drawn { name, page, .. } in CASES.iter() {
        let links: Vec<_> = tags(page).filter_map(|tag| attribute(tag, "href")).collect();
        assert!(links.len() >= 6, "{name}: {links:?}");
        for link in links {
            assert!(page.contains(&format!(" id=\"{}\"", link.trim_start_matches('#'))), "{name}: {link}");
        }
    }
}

#[test]
fn hostile_names_stay_text() {
    let page = page_of("hostile");
    for piece in [HOSTILE, "<script", "<b onx", "onerror=\"", "--><", "\u{202e}", "\u{7}", "'&amp;"] {
        assert!(!page.contains(piece), "{piece:?}");
    }
    let shown = page.matches("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&lt;script&gt;&#39;&amp;amp;").count();
    assert!(shown > 50, "shown {shown} times");
    let known = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "p",
        "b",
        "div",
        "h1",
        "h2",
        "h3",
        "strong",
        "aside",
        "dl",
        "dt",
        "dd",
        "span",
        "article",
        "ul",
        "li",
        "nav",
        "a",
        "section",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "small",
        "img",
        "figure",
        "figcaption",
        "svg",
        "text",
        "polyline",
        "polygon",
        "circle",
        "line",
        "details",
        "summary",
        "pre",
        "code",
        "footer",
        "!doctype",
    ];
    for tag in tags(page) {
        let name = tag.split([' ', '\n']).next().unwrap();
        assert!(known.contains(&name), "<{name}>");
    }
}

#[test]
fn no_page_claims_security() {
    for Drawn { name, page, .. } in CASES.iter() {
        // The words of the browser's own rule are no claim.
        let page = without_pictures(page).to_lowercase();
        let page = page.replace("content-security-policy", "").replace("'unsafe-inline'", "");
        for word in ["secure", "safe", "security", "guaranteed", "cannot be inverted"] {
            assert!(!page.contains(word), "{name}: {word:?}");
        }
    }
}

#[test]
fn the_answer_names_the_passing_cut_with_the_best_accuracy() {
    let Drawn { case, page, .. } = drawn("rich");
    let passing = case.audit.cuts.iter().zip(&case.verdicts).filter(|(_, verdict)| verdict.passes);
    let best = passing.max_by(|a, b| a.0.task_accuracy.share.total_cmp(&b.0.task_accuracy.share)).unwrap().0;
    let answer = page.split("class=\"answer\">").nth(1).unwrap().split("</p>").next().unwrap();
    assert!(answer.starts_with(&format!("<strong class=\"yes\">Yes</strong>, at cut {}", best.cut)), "{answer}");
    assert_eq!(page.matches("<tr class=\"pick\">").count(), 1);
    let page = page_of("refused");
    assert!(
        page.contains("<strong class=\"no\">No</strong> cut that was tried passes") && !page.contains("class=\"pick\"")
    );
    assert!(page_of("empty").contains("No cut was tried.</p>"));
}

#[test]
fn where_nothing_passes_the_least_similar_is_judged() {
    let Drawn { case, page, .. } = drawn("refused");
    let broken = |verdict: &CutVerdict| verdict.judgements.iter().filter(|j| j.stand == Stand::Broken).count();
    assert!(case.verdicts.iter().all(|verdict| broken(verdict) == 2 && !verdict.passes));
    let best = |cut: &CutFindings| cut.inversions.iter().map(|attack| attack.scores.ssim.mean).fold(0.0, f64::max);
    let least = case.audit.cuts.iter().min_by(|a, b| best(a).total_cmp(&best(b))).unwrap();
    assert_eq!((least.cut.as_str(), least.defences.len()), ("4", 1));
    assert!(page.contains("<h2>Judgements on cut 4, Gaussian noise of scale 0.31 for a dFIL of 0.1 "));
}

#[test]
fn empty_parts_say_so_in_words() {
    let page = page_of("bare");
    for sentence in [
        "No attack was run against it, so the answer rests on nothing that was measured",
        "No pictures came with this audit",
        "Nothing was tried at more than one cut",
        "No cut was tried with several defences",
        "No inversion was run",
        "No probe was trained",
        "No baseline was computed",
        "The leakage check cannot count a layer",
        "The Jacobian was not measured",
        "there is no bound",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
    assert!(!page.contains("NaN") && !page_of("empty").contains("NaN"));
}

#[test]
fn pictures_are_grouped_so_that_there_are_few_groups() {
    let titles = |page: &str| {
        let section = page.split("id=\"pictures\"").nth(1).unwrap().split("</section>").next().unwrap();
        let opened = section.split("<summary>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
        opened.collect::<Vec<_>>()
    };
    assert_eq!(titles(page_of("rich")), ["cut 3, 10 candidates", "cut 4, 3 candidates"]);
    let other = "model retrained with a long name for a network of its own, no defence, 24 cuts";
    assert_eq!(titles(page_of("wild")), [other]);
}

#[test]
fn figures_that_are_none_are_shown_as_none() {
    let page = without_pictures(page_of("wild"));
    for none in ["NaN", ">inf", " inf ", "-inf", "inf<", "inf%"] {
        assert!(!page.contains(none), "{none:?} is printed");
    }
    assert!(page.contains("∞") && page.contains("<td class=\"n\">–</td>"));
    assert!(page.contains(&u64::MAX.to_string()));
}

#[test]
fn charts_say_in_words_what_they_show() {
    let page = page_of("rich");
    let charts: Vec<_> = tags(page).filter(|tag| tag.starts_with("svg class=\"chart\"")).collect();
    assert!(charts.len() > 15, "{} charts", charts.len());
    for chart in charts {
        let words = attribute(chart, "aria-label").unwrap();
        assert!(chart.contains("role=\"img\"") && words.len() > 60, "{chart}");
    }
    assert!(page.contains("white-box: 0.90 at cut 1:linear, 0.77 at cut 1"), "the first chart tells its figures");
}

#[test]
fn a_record_without_pictures_is_drawn() {
    let mut case = drawn("rich").case.clone();
    case.audit = serde_json::from_str(&serde_json::to_string(&case.audit).unwrap()).unwrap();
    let page = page(&case.audit, &case.verdicts).unwrap();
    assert!(page.contains("No pictures came with this audit") && !page.contains("<img"));
}

#[test]
fn a_verdict_is_missing() {
    let mut case = drawn("rich").case.clone();
    case.verdicts.pop();
    let error = page(&case.audit, &case.verdicts).unwrap_err();
    assert!(matches!(error, Error::Verdicts { cuts: 17, got: 16 }), "{error:?}");
}

/// A page asks for nothing over a network, shows foreign text as text, and makes no promise. Its links lead somewhere on
/// it; only with `pictures` it has data of images.
fn claims_nothing(name: &str, page: &str, pictures: bool) {
    for tag in tags(page) {
        let target = attribute(tag, "src").or(attribute(tag, "href"));
        let own = |to: &str| to.starts_with('#') || pictures && to.starts_with("data:image/png;base64,");
        assert!(target.is_none_or(own), "{name}: {tag}");
    }
    for link in tags(page).filter_map(|tag| attribute(tag, "href")) {
        assert!(page.contains(&format!(" id=\"{}\"", link.trim_start_matches('#'))), "{name}: {link}");
    }
    for piece in [HOSTILE, "<script", "<b onx", "onerror=\"", "\u{202e}"] {
        assert!(!page.contains(piece), "{name}: {piece}");
    }
    let words = without_pictures(page).to_lowercase().replace("content-security-policy", "");
    let words = words.replace("'unsafe-inline'", "");
    for word in ["secure", "safe", "security", "guaranteed"] {
        assert!(!words.contains(word), "{name}: {word}");
    }
}

/// In Chromium, light and dark.
fn fits_at_all_widths(name: &str, page: &str) {
    browser::keep(name, page);
    for dark in [false, true] {
        assert_eq!(browser::faults(&browser::measured(page, dark)), [""; 0], "{name}, dark: {dark}");
    }
}
