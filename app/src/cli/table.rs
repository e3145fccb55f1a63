//! Tables for people: columns as wide as their widest cell, numbers to the right.

/// Which side of its column a cell leans to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head line.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
enum Row {
    Cells(Vec<String>),
    Rule,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        Self {
            columns: columns.into_iter().map(|(name, align)| (name.into(), align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with one cell per column; missing ones stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert!(
            cells.len() <= self.columns.len(),
            "a row has no more cells than the table has columns"
        );
        cells.resize(self.columns.len(), String::new());
        self.rows.push(Row::Cells(cells));
    }

    /// Draws a line under the rows so far.
    pub fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    /// The table as lines, without spaces at their ends.
    pub fn render(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        let rule = widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>().join("──");
        let mut lines = vec![self.line(&names, &widths), rule.clone()];
        for row in &self.rows {
            lines.push(match row {
                Row::Cells(cells) => self.line(cells, &widths),
                Row::Rule => rule.clone(),
            });
        }
        lines.join("\n") + "\n"
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let padded =
            self.columns.iter().zip(cells).zip(widths).map(|(((_, align), cell), &width)| {
                match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                }
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// A number with so many digits behind the point, or a dash where there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        Some(value) if value.is_infinite() => "∞".to_owned(),
        _ => "–".to_owned(),
    }
}

/// "1 case", "2 cases".
pub fn count(number: usize, singular: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {singular}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lean_left_and_numbers_right() {
        let mut table = Table::new([("case", Align::Left), ("Dice", Align::Right)]);
        table.row(["a", "0.9"]);
        table.rule();
        table.row(["longer name"]);
        assert_eq!(
            table.render(),
            "case         Dice\n─────────────────\na             0.9\n─────────────────\nlonger name\n"
        );
    }

    #[test]
    fn a_missing_number_is_a_dash() {
        assert_eq!(number(None, 3), "–");
        assert_eq!(number(Some(0.123_45), 3), "0.123");
        assert_eq!(number(Some(f64::INFINITY), 1), "∞");
    }
}
