//! Text and numbers inside HTML.

use serde_json::Value;

/// Text as HTML shows it, in elements and in quoted attributes. Control characters, which HTML cannot contain, become
/// U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name as an element of its own, so that one that is written from right to left does not turn its neighbours.
pub fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(text))
}

/// JSON inside a `script` element. Without `<` it can neither end the element nor begin a comment.
pub fn json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// 93.21 as "93.21 %".
pub fn percent(number: f64) -> String {
    format!("{number:.2}&nbsp;%")
}

/// 0.934 as "93.4 %".
pub fn share(probability: f32) -> String {
    format!("{:.1}&nbsp;%", 100.0 * probability)
}

/// A column of a table: its heading, and whether it holds numbers.
pub type Column<'a> = (&'a str, bool);

/// A table whose rows are lists of cells, already HTML; the first cell of each row is its heading. `class` names its looks.
pub fn table(caption: &str, class: &str, columns: &[Column], rows: impl Iterator<Item = Vec<String>>) -> String {
    let kind = |is_number: bool| if is_number { " class=\"number\"" } else { "" };
    let head = |&(title, is_number): &Column| format!("<th scope=\"col\"{}>{title}</th>", kind(is_number));
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let mut html = format!("<table{class}><caption>{caption}</caption><thead><tr>");
    html.extend(columns.iter().map(head));
    html += "</tr></thead>\n<tbody>";
    for row in rows {
        html += "<tr>";
        for (place, (cell, (_, is_number))) in row.iter().zip(columns).enumerate() {
            let (element, scope) = if place == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
            html += &format!("<{element}{scope}{}>{cell}</{element}>", kind(*is_number));
        }
        html += "</tr>\n";
    }
    html + "</tbody></table>\n"
}

/// Something that may be wider or longer than the page: it scrolls by itself, by keyboard too.
pub fn scrolling(label: &str, class: &str, content: &str) -> String {
    let space = if class.is_empty() { "" } else { " " };
    format!(
        "<div class=\"scroll{space}{class}\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">{content}</div>\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_a_name_can_become_markup() {
        let hostile = "</td><script>alert('x')</script>\" onload=\"y\u{0}&amp;\u{202E}\u{1F600}";
        let escaped = escape(hostile);
        assert!(!escaped.contains(['<', '>', '"', '\'', '\u{0}']), "{escaped}");
        // Each ampersand begins one of the five entities.
        for rest in escaped.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| rest.starts_with(entity)), "{rest}");
        }
        assert!(escaped.ends_with("&amp;amp;\u{202E}\u{1F600}"));
    }

    #[test]
    fn json_in_a_script_stays_json_and_cannot_end_the_script() {
        let value = json!({ "</script>": "<!-- <script> \u{2028}" });
        let text = json(&value);
        assert!(!text.contains('<'));
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}
