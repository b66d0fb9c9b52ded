//! No two files of a crate import one another, nor any number of them in a circle: whoever reads one of
//! them would have to read them all.
//!
//! A file imports the file that *defines* what it names, by `use` or by a path that begins with `crate`,
//! `self`, `super`, a module or an imported name; in a macro's tokens too. What a `mod.rs` or a `lib.rs`
//! only passes on (`pub use`) counts for whoever names it and not for the file in between, and `mod x;`
//! is no import. Methods are not seen, nor are paths in attributes. What is under `#[cfg(test)]`, in
//! `tests/` or in `benches/` may import as it likes.

mod graph;
mod source;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::Result;

use self::graph::Graph;
use self::tree::Tree;
use pool_harness::checkout::Metadata;

pub(super) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.with_file_name("src");
        for name in ["lib.rs", "main.rs"] {
            let top = folder.join(name);
            if top.is_file() {
                let graph = Tree::read(&top)?.imports();
                complaints.extend(complaints_about(root, &graph));
            }
        }
    }
    Ok(complaints)
}

/// A complaint for each circle.
fn complaints_about(root: &Path, graph: &Graph) -> Vec<String> {
    let short = |file: &PathBuf| {
        file.strip_prefix(root)
            .unwrap_or(file)
            .display()
            .to_string()
    };
    let mut complaints = Vec::new();
    for circle in graph.circles() {
        let ties: Vec<_> = graph
            .ties(&circle)
            .map(|(from, to, import)| {
                let name = &import.name;
                format!(
                    "{}:{} takes {name} from {}",
                    short(from),
                    import.line,
                    short(to)
                )
            })
            .collect();
        let first = circle.first().map(short).unwrap_or_default();
        complaints.push(format!(
            "{first}:1: {} files import one another in a circle: {}",
            circle.len(),
            ties.join("; ")
        ));
    }
    complaints
}

#[cfg(test)]
mod tests;
