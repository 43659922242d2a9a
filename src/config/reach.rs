//! Which files a sandbox keeps from the process.
//!
//! Makes no sandbox; it only tells what one means for a file that a reload names.

use std::path::{Path, PathBuf, absolute};

/// What to do about a file that a sandbox keeps from the process, which can read below some places only (an empty slice:
/// everywhere); `None` if it keeps nothing from it. Links count by what they lead to, and relative paths by what they mean.
pub fn out_of_reach(path: &Path, confined_to: &[PathBuf]) -> Option<String> {
    let real = path.canonicalize().or_else(|_| absolute(path)).unwrap_or_else(|_| path.to_owned());
    let is_below = |place: &PathBuf| {
        real.starts_with(place) || place.canonicalize().is_ok_and(|place| real.starts_with(place))
    };
    if confined_to.is_empty() || confined_to.iter().any(is_below) {
        return None;
    }
    let places: Vec<String> = confined_to.iter().map(|place| place.display().to_string()).collect();
    Some(format!(
        "the sandbox of this process reads below {} only; restart it: systemctl restart gatepost",
        places.join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_count_by_what_they_lead_to() {
        let [near, far] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let file = |directory: &tempfile::TempDir, name: &str| directory.path().join(name);
        std::fs::write(file(&near, "key"), "").expect("a file");
        std::fs::write(file(&far, "key"), "").expect("a file");
        symlink(file(&far, "key"), file(&near, "to-far")).expect("a link");
        symlink(file(&near, "key"), file(&far, "to-near")).expect("a link");
        let confined = [near.path().to_owned()];
        for (path, is_out) in [
            (file(&near, "key"), false),
            (file(&near, "missing"), false),
            (file(&far, "to-near"), false),
            (file(&near, "to-far"), true),
            (file(&far, "key"), true),
        ] {
            assert_eq!(out_of_reach(&path, &confined).is_some(), is_out, "{}", path.display());
            assert_eq!(out_of_reach(&path, &[]), None);
        }
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(out_of_reach(Path::new("gatepost.toml"), &[here]), None);
    }
}
