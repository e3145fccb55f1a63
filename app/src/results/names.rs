//! Words without the folders of the machine that they were written on.

/// The text with every path cut to the name of its file or last folder.
pub fn without_folders(text: &str) -> String {
    cut(text, |token| token.contains(['/', '\\']) && !token.contains("://"))
}

/// The text with absolute paths alone cut so: for settings, where a slash may be anything else.
pub fn without_absolute(text: &str) -> String {
    cut(text, |token| {
        let drive = token.as_bytes().get(1..3).is_some_and(|rest| rest == b":\\" || rest == b":/");
        drive || token.starts_with(['/', '~', '\\']) || token.starts_with("file:")
    })
}

/// Cuts the tokens between spaces, quotes and brackets that `is_path` says are paths.
fn cut(text: &str, is_path: impl Fn(&str) -> bool) -> String {
    let ends = |character: char| {
        character.is_whitespace()
            || matches!(character, '"' | '\'' | '(' | ')' | '[' | ']' | ',' | '=')
    };
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ends).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let trimmed = token.trim_end_matches([':', ';', '.', '/', '\\']);
        if is_path(token) && !trimmed.is_empty() {
            kept.push_str(trimmed.rsplit(['/', '\\']).next().unwrap_or_default());
            kept.push_str(token[trimmed.len()..].trim_start_matches(['/', '\\']));
        } else {
            kept.push_str(token);
        }
        let separator = after.chars().next().map_or(0, char::len_utf8);
        kept.push_str(&after[..separator]);
        rest = &after[separator..];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_folders() {
        assert_eq!(
            without_folders("there is no prediction: /data/Doe^Jane/a.nii.gz; or r/b.nii"),
            "there is no prediction: a.nii.gz; or b.nii"
        );
        assert_eq!(without_folders("C:\\scans\\Jane\\a.mha (cut)"), "a.mha (cut)");
        assert_eq!(without_folders("at /data/runs/: gone"), "at runs: gone");
    }

    #[test]
    fn settings_keep_what_is_no_path_of_this_machine() {
        let settings = "source = \"https://a.org/b\"\nunit = \"mm/s\"\nweights = \"/home/me/w.pt\"\nx = [\"~/w\"]";
        assert_eq!(
            without_absolute(settings),
            "source = \"https://a.org/b\"\nunit = \"mm/s\"\nweights = \"w.pt\"\nx = [\"w\"]"
        );
        assert_eq!(without_absolute("D:\\w.pt and / alone"), "w.pt and / alone");
    }
}
