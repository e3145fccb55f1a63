//! As much Markdown as cards of models have: headings, paragraphs, lists, tables, code.

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A heading, its depth from 1.
    Heading(usize, String),
    /// Words that flow.
    Paragraph(Vec<Span>),
    /// A point of a list.
    Item(Vec<Span>),
    /// Rows of cells, the first of them the names.
    Table(Vec<Vec<String>>),
    /// Lines as they are.
    Code(String),
}

/// Words in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// Whether they matter more.
    pub strong: bool,
    /// Whether they are code.
    pub code: bool,
}

/// Takes a text apart. Whatever is not understood stays words.
pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut words: Option<(bool, String)> = None; // whether it is an item
    let mut code: Option<String> = None;
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            end_words(&mut words, &mut blocks);
            if fenced {
                blocks.extend(code.take().map(Block::Code));
            }
            fenced = !fenced;
            continue;
        }
        let indented = line.starts_with("    ") && words.is_none();
        if fenced || indented {
            let code = code.get_or_insert_default();
            if !code.is_empty() {
                code.push('\n');
            }
            code.push_str(if fenced { line } else { &line[4..] });
            continue;
        }
        blocks.extend(code.take().map(Block::Code));
        let trimmed = line.trim();
        if let Some(cells) = cells_of(trimmed) {
            end_words(&mut words, &mut blocks);
            let rule = cells.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
            match blocks.last_mut() {
                Some(Block::Table(_)) if rule => {}
                Some(Block::Table(rows)) => rows.push(cells),
                _ => blocks.push(Block::Table(vec![cells])),
            }
        } else if trimmed.is_empty() {
            end_words(&mut words, &mut blocks);
        } else if let Some(heading) = heading_of(trimmed) {
            end_words(&mut words, &mut blocks);
            blocks.push(heading);
        } else if let Some(item) = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* "))
        {
            end_words(&mut words, &mut blocks);
            words = Some((true, item.to_owned()));
        } else {
            let (_, words) = words.get_or_insert((false, String::new()));
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(trimmed);
        }
    }
    blocks.extend(code.map(Block::Code));
    end_words(&mut words, &mut blocks);
    blocks
}

fn end_words(words: &mut Option<(bool, String)>, blocks: &mut Vec<Block>) {
    if let Some((item, text)) = words.take() {
        let spans = spans_of(&text);
        blocks.push(if item { Block::Item(spans) } else { Block::Paragraph(spans) });
    }
}

fn heading_of(line: &str) -> Option<Block> {
    let depth = line.chars().take_while(|c| *c == '#').count();
    let text = line[depth..].strip_prefix(' ')?;
    (1..=6).contains(&depth).then(|| Block::Heading(depth, text.trim().to_owned()))
}

fn cells_of(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?;
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    Some(inner.split('|').map(|cell| plain(cell.trim())).collect())
}

/// Words without marks.
fn plain(text: &str) -> String {
    spans_of(text).into_iter().map(|span| span.text).collect()
}

/// `**strong**`, `` `code` `` and `[words](link)`, of which the words and the link are kept.
fn spans_of(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut put = |text: &str, strong: bool, code: bool| {
        if !text.is_empty() {
            spans.push(Span { text: text.to_owned(), strong, code });
        }
    };
    let mut rest = text;
    let mut from = 0;
    while let Some(at) = rest[from..].find(['*', '`', '[']).map(|at| at + from) {
        let tail = &rest[at..];
        let marked = if let Some((inner, after)) = between(tail, "**", "**") {
            put(&rest[..at], false, false);
            put(inner, true, false);
            Some(after)
        } else if let Some((inner, after)) = between(tail, "`", "`") {
            put(&rest[..at], false, false);
            put(inner, false, true);
            Some(after)
        } else if let Some((words, after)) = between(tail, "[", "](")
            && let Some((link, after)) = after.split_once(')')
        {
            put(&rest[..at], false, false);
            put(words, false, false);
            if words != link {
                put(&format!(" ({link})"), false, false);
            }
            Some(after)
        } else if let Some((inner, after)) =
            between(tail, "*", "*").filter(|(inner, _)| !inner.starts_with(' '))
        {
            put(&rest[..at], false, false);
            put(inner, false, false);
            Some(after)
        } else {
            None
        };
        match marked {
            Some(after) => (rest, from) = (after, 0),
            None => from = at + 1, // these marks are one byte long
        }
    }
    put(rest, false, false);
    spans
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let inner = text.strip_prefix(open)?;
    let (inner, after) = inner.split_once(close)?;
    (!inner.is_empty()).then_some((inner, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Span> {
        vec![Span { text: text.to_owned(), strong: false, code: false }]
    }

    #[test]
    fn a_card_is_taken_apart() {
        let text = "# Name\n\nOne line\nand **more** of `it`.\n\n| class | Dice |\n|---|---|\n\
                    | one | 0.9 |\n\n    lamina predict\n    and so on\n\n- first\n  goes on\n- second\n\
                    ```\na | b\n```\n";
        let span = |text: &str, strong, code| Span { text: text.to_owned(), strong, code };
        assert_eq!(
            parse(text),
            [
                Block::Heading(1, "Name".into()),
                Block::Paragraph(vec![
                    span("One line and ", false, false),
                    span("more", true, false),
                    span(" of ", false, false),
                    span("it", false, true),
                    span(".", false, false),
                ]),
                Block::Table(vec![
                    vec!["class".into(), "Dice".into()],
                    vec!["one".into(), "0.9".into()]
                ]),
                Block::Code("lamina predict\nand so on".into()),
                Block::Item(words("first goes on")),
                Block::Item(words("second")),
                Block::Code("a | b".into()),
            ]
        );
    }

    #[test]
    fn links_keep_where_they_lead_and_stray_marks_stay() {
        assert_eq!(plain("[CC BY](https://x.org/by) and *so*"), "CC BY (https://x.org/by) and so");
        for text in ["2 * 3 [mm", "a ` b", "**", "", "* `", "é*ü"] {
            assert_eq!(plain(text), text);
        }
    }
}
