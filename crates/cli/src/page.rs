//! The demo's page: one HTML file with everything in it.

use data_encoding::BASE64;
use serde::Serialize;
use std::fmt::Write;

/// What the demo found.
#[derive(Debug, Default, Serialize)]
pub struct DemoReport {
    /// Where the images come from.
    pub data: String,
    /// One row a network.
    pub rows: Vec<Row>,
    /// Where the network was cut, and the verdict.
    pub cut: String,
    /// The leakage check, as a text table.
    pub check: String,
    /// Single requests over QUIC.
    pub requests: Vec<RequestRow>,
    /// Seconds for all of it.
    pub seconds: f64,
}

/// One network of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// "base", "N = 0", ...
    pub name: String,
    /// Average accuracy (Eq. 11), after unmasking.
    pub average_accuracy: f64,
    /// Share of masked labels that equal the true one.
    pub masked_matches: f64,
    /// Training steps.
    pub steps: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// (step, accuracy on training batches) for the curve.
    pub curve: Vec<(usize, f64)>,
}

/// One image that went through client and server.
#[derive(Debug, Serialize)]
pub struct RequestRow {
    /// The image.
    #[serde(skip)]
    pub png: Vec<u8>,
    /// Its true label.
    pub truth: String,
    /// What the server saw.
    pub masked: String,
    /// What the client read from it.
    pub unmasked: String,
    /// Bytes sent and received.
    pub bytes: u64,
    /// Round trip in milliseconds, the back half included.
    pub milliseconds: f64,
}

impl DemoReport {
    /// The page.
    pub fn html(&self) -> String {
        let mut page = String::from(HEAD);
        let _ = write!(page, "<p>{}. {:.0} s in all.</p>", escape(&self.data), self.seconds);
        self.table(&mut page);
        self.curves(&mut page);
        let _ = write!(page, "<h2>The cut</h2><p>{}</p><pre>{}</pre>", escape(&self.cut), escape(&self.check));
        self.samples(&mut page);
        page.push_str("</main></body></html>\n");
        page
    }

    fn table(&self, page: &mut String) {
        page.push_str("<h2>Accuracy</h2><table><tr><th>network<th>average accuracy<th>masked label is true<th>steps<th>seconds</tr>");
        for Row { name, average_accuracy, masked_matches, steps, seconds, .. } in &self.rows {
            let _ = write!(
                page,
                "<tr><td>{}<td>{:.2} %<td>{:.1} %<td>{steps}<td>{seconds:.1}</tr>",
                escape(name),
                100.0 * average_accuracy,
                100.0 * masked_matches
            );
        }
        page.push_str("</table><p>N layers of the base network are kept; the signal joins after them. Average accuracy is taken after unmasking, over random signals.</p>");
    }

    fn curves(&self, page: &mut String) {
        let last = self.rows.iter().filter_map(|row| row.curve.last()).map(|point| point.0).max().unwrap_or(1) as f64;
        page.push_str("<h2>Training</h2><svg viewBox='0 0 640 260' role='img' aria-label='accuracy on training batches against steps'>");
        for percent in [50, 75, 100] {
            let y = height(f64::from(percent) / 100.0);
            let _ = write!(
                page,
                "<line x1='40' x2='520' y1='{y}' y2='{y}' class='grid'/><text x='4' y='{y}'>{percent} %</text>"
            );
        }
        for (index, row) in self.rows.iter().enumerate() {
            let points = row
                .curve
                .iter()
                .map(|&(step, share)| format!("{:.1},{:.1}", 40.0 + 480.0 * step as f64 / last, height(share)));
            let (points, colour, y) =
                (points.collect::<Vec<_>>().join(" "), COLOURS[index % COLOURS.len()], 30 + 20 * index);
            let _ = write!(
                page,
                "<polyline points='{points}' stroke='{colour}'/><text x='540' y='{y}' fill='{colour}'>{}</text>",
                escape(&row.name)
            );
        }
        let _ = write!(page, "<text x='250' y='256'>steps (to {last})</text></svg>");
    }

    fn samples(&self, page: &mut String) {
        page.push_str(
            "<h2>Over the wire</h2><table><tr><th>image<th>true<th>server sees<th>client reads<th>bytes<th>ms</tr>",
        );
        for RequestRow { png, truth, masked, unmasked, bytes, milliseconds } in &self.requests {
            let (image, class) = (BASE64.encode(png), if truth == unmasked { "" } else { " class='wrong'" });
            let _ = write!(
                page,
                "<tr{class}><td><img src='data:image/png;base64,{image}' alt=''><td>{}<td>{}<td>{}<td>{bytes}<td>{milliseconds:.1}</tr>",
                escape(truth),
                escape(masked),
                escape(unmasked)
            );
        }
        page.push_str("</table>");
    }
}

const COLOURS: [&str; 6] = ["#444", "#c2410c", "#0f766e", "#1d4ed8", "#7e22ce", "#a16207"];

/// Vertical place of an accuracy; 40 % is the foot of the chart.
fn height(share: f64) -> f64 {
    230.0 - 210.0 * ((share - 0.4) / 0.6).clamp(0.0, 1.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

const HEAD: &str = "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Cleave demo</title>
<meta name='viewport' content='width=device-width'><style>
body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;margin:0}main{max-width:60rem;margin:auto;padding:1rem}
table{border-collapse:collapse}th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #ddd}
img{width:64px;height:64px;image-rendering:pixelated;display:block}svg{max-width:100%}svg text{font-size:12px}
polyline{fill:none;stroke-width:2}.grid{stroke:#ddd}.wrong td{background:#fde8e8}pre{overflow:auto;background:#f6f6f6;padding:.8rem}
</style></head><body><main><h1>Cleave: a network cut in two</h1>
<p>The client ran the front half on each image and sent what came out together with a secret signal. The server
finished the network and saw a masked label. This page shows what happened; it is no proof that the server could
not learn more. Attackers do not count equations: read the threat model before you release anything.</p>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_folders_cannot_inject_markup() {
        let request = RequestRow {
            png: vec![1],
            truth: "<script>".into(),
            masked: "a&b".into(),
            unmasked: "<script>".into(),
            bytes: 1,
            milliseconds: 1.0,
        };
        let page = DemoReport { requests: vec![request], ..DemoReport::default() }.html();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;") && page.contains("a&amp;b"));
    }
}
