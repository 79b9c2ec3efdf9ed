//! One HTML page about an audit, for the provider who has to decide.
//!
//! Everything is in the file: style, charts as SVG, images as `data:` addresses. It needs no script, and its own
//! content policy forbids a browser to fetch or run anything.

mod answer;
mod axis;
mod chart;
mod closing;
mod confusion;
mod curves;
mod defences;
mod encrypted;
mod figures;
mod html;
mod jacobian;
mod key;
mod pictures;
mod sights;
mod tables;
mod threats;
mod training;
mod view;

use crate::{Audit, CutVerdict, Error};
pub use confusion::confusion_page;
pub use encrypted::encrypted_page;
pub use training::training_page;
use view::View;

/// Draws an audit as one HTML page, UTF-8, that answers "may I release this?".
///
/// `verdicts` has one entry for each of [`Audit::cuts`], in the same order. Pictures are drawn where the audit still
/// has them; a record read back from JSON has none, and the page then says so. Names from files and folders are
/// treated as hostile: they are escaped, and characters that turn the direction of writing are replaced.
///
/// # Errors
///
/// [`Error::Verdicts`] where the numbers of verdicts and cuts differ, [`Error::Drawing`] where a chart
/// cannot be drawn.
pub fn page(audit: &Audit, verdicts: &[CutVerdict]) -> Result<String, Error> {
    let (cuts, got) = (audit.cuts.len(), verdicts.len());
    if cuts != got {
        return Err(Error::Verdicts { cuts, got });
    }
    let view = View::new(audit, verdicts);
    let body = [
        answer::section(&view),
        threats::section(&view),
        pictures::section(&view),
        key::section(&view)?,
        curves::section(&view)?,
        defences::section(&view)?,
        tables::section(&view),
        jacobian::section(&view)?,
        tables::candidates(&view),
        closing::sections(&view),
    ];
    Ok(document(&format!("May I release this? {}", audit.subject.model), &body.concat()))
}

/// A page around its content. `title` is text, `body` markup.
fn document(title: &str, body: &str) -> String {
    let (title, style) = (html::escape(title), include_str!("report/style.css"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// What a browser may do for this page: show its own images and style, and nothing else.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
