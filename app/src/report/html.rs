//! Small pieces of HTML: words made safe, tables, pictures inside the page.

use std::fmt::Write as _;

/// The style of the page: calm on the screen, and fit for A4.
pub(crate) const STYLE: &str = "\
@page{size:A4;margin:15mm}\
*{box-sizing:border-box}\
html{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,Ubuntu,sans-serif;color:#1d2127;background:#fff}\
body{margin:0 auto;max-width:54rem;padding:2rem 1.5rem}\
h1{font-size:1.6rem;font-weight:600;margin:0}\
h2{font-size:1.05rem;font-weight:600;margin:1.8rem 0 .5rem;border-bottom:1px solid #d5d9df;padding-bottom:.2rem}\
p{margin:.35rem 0}\
.faint{color:#5d6672}\
.notice{border:1px solid #c28a1a;border-left-width:5px;background:#fdf6e6;padding:.45rem .8rem;margin:1rem 0;font-weight:600}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;padding:.28rem .7rem .28rem 0;border-bottom:1px solid #e8ebef;vertical-align:top;overflow-wrap:anywhere}\
th{font-weight:600;color:#444c57}\
td.number,th.number{text-align:right}\
table.facts th{width:13rem;font-weight:400;color:#5d6672}\
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em;print-color-adjust:exact;-webkit-print-color-adjust:exact}\
figure{margin:.5rem 0;break-inside:avoid}\
figure img{width:100%;height:auto;border-radius:4px}\
figcaption{color:#5d6672;font-size:.87rem}\
section{break-inside:avoid-page}\
footer{margin-top:2.2rem;border-top:1px solid #d5d9df;padding-top:.6rem;color:#5d6672;font-size:.87rem}\
@media print{html{font-size:10.5pt}body{padding:0;max-width:none}}";

/// Words as a page can hold them, in text and in attributes. What no XML can hold, and marks
/// that turn the direction of other words around, are left out.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' | '\r' => safe.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {}
            control if control.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}

/// A cell of a table.
pub(super) enum Cell {
    /// Words.
    Words(String),
    /// Words behind a patch of color.
    Colored([u8; 3], String),
    /// A number, or a dash where there is none.
    Number(Option<f64>, usize),
    /// A whole number.
    Count(u64),
}

/// A table with a heading for each column, those of numbers to the right.
pub(super) fn table(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut html = "<table><thead><tr>".to_owned();
    let is_number = |column: usize| {
        rows.first()
            .is_some_and(|row| matches!(row.get(column), Some(Cell::Number(..) | Cell::Count(_))))
    };
    for (column, heading) in headings.iter().enumerate() {
        let class = if is_number(column) { " class=\"number\"" } else { "" };
        let _ = write!(html, "<th{class}>{}</th>", escaped(heading));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = match cell {
                Cell::Words(words) => write!(html, "<td>{}</td>", escaped(words)),
                Cell::Colored([r, g, b], words) => write!(
                    html,
                    "<td><span class=\"swatch\" style=\"background:#{r:02x}{g:02x}{b:02x}\"></span>{}</td>",
                    escaped(words)
                ),
                Cell::Number(Some(number), digits) => {
                    write!(html, "<td class=\"number\">{number:.digits$}</td>")
                }
                Cell::Number(None, _) => write!(html, "<td class=\"number\">–</td>"),
                Cell::Count(count) => write!(html, "<td class=\"number\">{count}</td>"),
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    html
}

/// A table of names and what they stand for.
pub(crate) fn facts(rows: &[(String, String)]) -> String {
    let mut html = "<table class=\"facts\"><tbody>".to_owned();
    for (name, value) in rows {
        let _ = write!(html, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    html.push_str("</tbody></table>");
    html
}

/// Bytes as text, RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn words_cannot_leave_their_place() {
        assert_eq!(
            escaped("<a href='x'>&\"\u{202e}\u{0}\u{8}\n"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot; "
        );
    }
}
