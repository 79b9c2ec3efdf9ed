//! Pieces of markup, and the way of foreign text into it.

/// Foreign text for markup, between tags and inside quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Foreign text without characters that have an effect of their own: controls, and those that turn the direction of
/// writing. Line breaks stay.
pub(super) fn clean(text: &str) -> String {
    let acts = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// A part of the page with a heading that can be linked to. `lead` and `body` are markup.
pub(super) fn section(id: &str, title: &str, lead: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"lead\">{lead}</p>\n{body}</section>\n")
}

/// A box that scrolls sideways by itself where its content is too wide, by keyboard too.
pub(super) fn scroll(label: &str, content: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n{content}</div>\n", escape(label))
}

/// Content that opens on demand. `summary` and `content` are markup.
pub(super) fn details(summary: &str, content: &str) -> String {
    format!("<details>\n<summary>{summary}</summary>\n{content}</details>\n")
}

/// Says in words that there is nothing to show.
pub(super) fn nothing(sentence: &str) -> String {
    format!("<p class=\"none\">{sentence}</p>\n")
}

/// A column of a table; both are markup.
#[derive(Clone, Copy)]
pub(super) enum Column<'a> {
    /// Words, to the left.
    Text(&'a str),
    /// Numbers, to the right.
    Number(&'a str),
}

/// A table in its own scrolling box. `rows` are of [`row`].
pub(super) fn table(label: &str, columns: &[Column], rows: &[String]) -> String {
    let head = columns.iter().map(|column| match column {
        Column::Text(name) => format!("<th scope=\"col\">{name}</th>"),
        Column::Number(name) => format!("<th scope=\"col\" class=\"n\">{name}</th>"),
    });
    table_with_head(label, &format!("<tr>{}</tr>\n", head.collect::<String>()), rows)
}

/// The same with rows of one's own for the head.
pub(super) fn table_with_head(label: &str, head: &str, rows: &[String]) -> String {
    scroll(label, &format!("<table>\n<thead>\n{head}</thead>\n<tbody>\n{}</tbody>\n</table>\n", rows.concat()))
}

/// A row of cells; `class` may be empty.
pub(super) fn row(class: &str, cells: &[String]) -> String {
    format!("<tr class=\"{class}\">{}</tr>\n", cells.concat())
}

/// The heading of `rows` rows.
pub(super) fn head(markup: &str, rows: usize) -> String {
    format!("<th scope=\"row\" rowspan=\"{rows}\">{markup}</th>")
}

/// A cell of words.
pub(super) fn words(markup: &str) -> String {
    format!("<td>{markup}</td>")
}

/// A cell of a number.
pub(super) fn number(markup: &str) -> String {
    format!("<td class=\"n\">{markup}</td>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(escape("<a href='//x'>&\""), "&lt;a href=&#39;//x&#39;&gt;&amp;&quot;");
        assert_eq!(escape("a\u{202e}b\0c\nd"), "a\u{fffd}b\u{fffd}c\nd");
    }
}
