//! Paths that are typed: completed, and made absolute, so that the command line means the same everywhere.

use std::path::{Path, PathBuf};

use crate::host::folder;
use crate::ui::menu::Row;

/// Returns the folder that this is run in, as the beginning of a path; nothing where it is gone.
pub fn here() -> String {
    std::env::current_dir().map(|dir| format!("{}/", dir.display()).replace("//", "/")).unwrap_or_default()
}

/// Makes a typed path absolute. `~` is the home, if there is one.
fn absolute(home: Option<&Path>, text: &str) -> PathBuf {
    match (home, text.strip_prefix('~')) {
        (Some(home), Some("")) => home.to_owned(),
        (Some(home), Some(rest)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => std::path::absolute(text).unwrap_or_else(|_| text.into()),
    }
}

/// Returns the folders that a text can become.
pub fn folders(home: Option<&Path>, text: &str) -> Vec<Row> {
    completions(home, text).into_iter().filter(|(_, is_dir)| *is_dir).map(row).collect()
}

/// Returns the files and folders that a text can become.
pub fn files(home: Option<&Path>, text: &str) -> Vec<Row> {
    completions(home, text).into_iter().map(row).collect()
}

/// Returns the path of a file that is there.
pub fn file(home: Option<&Path>, text: &str) -> Option<String> {
    exact(home, text, false)
}

/// Returns the path of a folder that is there.
pub fn folder(home: Option<&Path>, text: &str) -> Option<String> {
    exact(home, text, true)
}

fn exact(home: Option<&Path>, text: &str, is_dir: bool) -> Option<String> {
    let path = absolute(home, text);
    let shown = path.to_str()?.trim_end_matches('/');
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => {
            let found = folder::completions(above, name.to_str()?);
            found
                .into_iter()
                .any(|(found, dir)| found == Path::new(shown) && dir == is_dir)
                .then(|| shown.to_owned())
        }
        // What ends in `..`, or the root: there is a folder, if any.
        _ => is_dir.then(|| path.to_string_lossy().into_owned()),
    }
}

fn completions(home: Option<&Path>, text: &str) -> Vec<(PathBuf, bool)> {
    if text.contains("://") {
        return Vec::new();
    }
    let (folder, begun) = match text.rfind('/') {
        Some(at) => text.split_at(at + 1),
        None if text.starts_with('~') => return Vec::new(),
        None => ("", text),
    };
    let folder = absolute(home, if folder.is_empty() { "." } else { folder });
    folder::completions(&folder, begun)
}

fn row((path, is_dir): (PathBuf, bool)) -> Row {
    Row::new(path.to_string_lossy(), if is_dir { "folder" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_and_completed() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        std::fs::create_dir(root.join("web")).unwrap();
        std::fs::write(root.join("wax"), "").unwrap();
        let at = |name: &str| format!("{}/{name}", root.display());
        let words = |rows: Vec<Row>| rows.into_iter().map(|row| row.word).collect::<Vec<_>>();
        let home = Some(root.as_path());
        assert_eq!(words(folders(home, &at("w"))), [at("web")]);
        assert_eq!(words(files(home, &at(""))), [at("wax"), at("web")]);
        assert_eq!(folder(home, &at("web/")), Some(at("web")));
        assert_eq!((folder(home, &at("wax")), file(home, &at("wax"))), (None, Some(at("wax"))));
        assert_eq!(folder(home, &at("we")), None);
        assert_eq!(folder(home, "/"), Some("/".to_owned()));
        assert_eq!((folder(home, "~/web"), folder(None, "~/web")), (Some(at("web")), None));
        assert_eq!(words(folders(home, "~/w")), [at("web")]);
        assert!(files(home, "https://example.org/x").is_empty());
    }
}
