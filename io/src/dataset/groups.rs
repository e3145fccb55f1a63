//! Groups of cases that folds keep together: from a table, or from the ids of cases.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Case, Dataset, DatasetError};

impl Dataset {
    /// Gives each case its group, and says what is wrong with groups.
    pub(super) fn read_groups(&mut self) -> Result<Vec<String>, DatasetError> {
        let folder = self.folder.clone();
        let content = |message: String| DatasetError::Content { message, path: folder.clone() };
        let wrong = match (&self.config.groups, &self.config.group_pattern) {
            (None, None) => return Ok(Vec::new()),
            (Some(_), Some(_)) => {
                let message = "expected `groups` or `group_pattern`, found both";
                return Err(content(message.to_owned()));
            }
            (Some(name), None) => {
                let path = folder.join(name);
                let text = std::fs::read_to_string(&path)
                    .map_err(|source| DatasetError::Read { path, source })?;
                by_table(&mut self.cases, &text)
            }
            (None, Some(pattern)) => {
                let pattern = Regex::new(pattern).map_err(|error| {
                    content(format!("`group_pattern` is no regular expression: {error}"))
                })?;
                by_pattern(&mut self.cases, &pattern)
            }
        };
        Ok(wrong.into_iter().chain(torn_patients(&self.cases)).collect())
    }
}

/// A table `case,group` below a header; a line may be about a patient instead.
fn by_table(cases: &mut [Case], text: &str) -> Vec<String> {
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in (1..).zip(text.lines()).skip(1).filter(|(_, line)| !line.is_empty()) {
        let cells = line.split_once(',').map(|(id, group)| (id.trim(), group.trim()));
        match cells.filter(|(id, group)| !id.is_empty() && !group.is_empty()) {
            None => wrong.push(format!("expected `case,group` in line {number}, found {line:?}")),
            Some((id, group)) => {
                if groups.insert(id, group).is_some_and(|other| other != group) {
                    wrong.push(format!(
                        "expected one group for {id}, found another in line {number}"
                    ));
                }
            }
        }
    }
    for case in cases {
        let group = groups.get(case.id.as_str()).or_else(|| groups.get(case.patient.as_str()));
        case.group = group.map(|group| (*group).to_owned());
        if case.group.is_none() {
            wrong.push(format!("expected a group for every case, found none for {}", case.id));
        }
    }
    wrong
}

fn by_pattern(cases: &mut [Case], pattern: &Regex) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let found = pattern.captures(&case.id);
        let group = found.and_then(|found| found.get(1).or_else(|| found.get(0)));
        case.group = group.map(|group| group.as_str().to_owned()).filter(|group| !group.is_empty());
        if case.group.is_none() {
            wrong.push(format!("`group_pattern` finds no group in {}", case.id));
        }
    }
    wrong
}

/// Folds over groups would put a patient of two groups on both sides.
fn torn_patients(cases: &[Case]) -> Vec<String> {
    let mut group_of: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| case.group.is_some()) {
        let first = *group_of.entry(&case.patient).or_insert(case.group());
        if first != case.group() {
            wrong.push(format!(
                "patient {} is in group {first} and, with {}, in group {}",
                case.patient,
                case.id,
                case.group()
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(ids: &[&str]) -> Vec<Case> {
        let case = |id: &&str| {
            let patient = id.split('_').next().unwrap().to_owned();
            Case { id: (*id).to_owned(), patient, ..Case::default() }
        };
        ids.iter().map(case).collect()
    }

    fn groups(cases: &[Case]) -> Vec<Option<&str>> {
        cases.iter().map(|case| case.group.as_deref()).collect()
    }

    #[test]
    fn a_table_names_cases_or_patients() {
        let mut found = cases(&["a_1", "a_2", "b_1"]);
        let table = "\u{feff}case,group\nb_1, Site 2 \na,Site 1\nnobody,Site 3\n\n";
        assert_eq!(by_table(&mut found, table), Vec::<String>::new());
        assert_eq!(groups(&found), [Some("Site 1"), Some("Site 1"), Some("Site 2")]);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_with_its_line() {
        let mut found = cases(&["a_1", "b_1"]);
        let wrong = by_table(&mut found, "case,group\na_1,x\na_1,y\nz\n");
        assert_eq!(
            wrong,
            [
                "expected one group for a_1, found another in line 3",
                "expected `case,group` in line 4, found \"z\"",
                "expected a group for every case, found none for b_1",
            ]
        );
    }

    #[test]
    fn a_pattern_takes_its_first_group_or_all_of_it() {
        let mut found = cases(&["p1_siteA", "p2_siteB", "p3"]);
        let wrong = by_pattern(&mut found, &Regex::new("site(.)").unwrap());
        assert_eq!(groups(&found), [Some("A"), Some("B"), None]);
        assert_eq!(wrong, ["`group_pattern` finds no group in p3"]);
        by_pattern(&mut found, &Regex::new("p.").unwrap());
        assert_eq!(groups(&found), [Some("p1"), Some("p2"), Some("p3")]);
    }

    #[test]
    fn a_patient_of_two_groups_is_refused() {
        let mut found = cases(&["a_1", "a_2"]);
        by_pattern(&mut found, &Regex::new("_(.)").unwrap());
        assert_eq!(torn_patients(&found), ["patient a is in group 1 and, with a_2, in group 2"]);
    }
}
