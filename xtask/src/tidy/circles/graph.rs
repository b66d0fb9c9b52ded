//! Which file imports which, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One of the names that a file takes from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// Where the importing file names it.
    pub(super) line: usize,
    pub(super) name: String,
}

/// By file and the file that it imports, the first name that it takes.
#[derive(Debug, Default)]
pub(super) struct Graph(BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>);

impl Graph {
    pub(super) fn add(&mut self, from: &Path, to: &Path, import: Import) {
        if from == to {
            return;
        }
        let imports = self.0.entry(from.to_owned()).or_default();
        let first = imports
            .entry(to.to_owned())
            .or_insert_with(|| import.clone());
        if import < *first {
            *first = import;
        }
    }

    /// The files of each circle: of these, every one reaches every other.
    pub(super) fn circles(&self) -> Vec<BTreeSet<PathBuf>> {
        let reached: BTreeMap<_, _> = self
            .0
            .keys()
            .map(|from| (from, self.reached(from)))
            .collect();
        let mut circles = BTreeSet::new();
        for (from, reaches) in &reached {
            let back = |to: &&PathBuf| reached.get(to).is_some_and(|it| it.contains(*from));
            let circle: BTreeSet<_> = reaches.iter().copied().filter(back).cloned().collect();
            if !circle.is_empty() {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    /// Who imports whom within a circle.
    pub(super) fn ties<'a>(
        &'a self,
        circle: &'a BTreeSet<PathBuf>,
    ) -> impl Iterator<Item = (&'a PathBuf, &'a PathBuf, &'a Import)> {
        let inside = self.0.iter().filter(|(from, _)| circle.contains(*from));
        let all =
            inside.flat_map(|(from, imports)| imports.iter().map(move |(to, it)| (from, to, it)));
        all.filter(|(_, to, _)| circle.contains(*to))
    }

    fn reached(&self, from: &PathBuf) -> BTreeSet<&PathBuf> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in self.0.get(file).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(to) {
                    open.push(to);
                }
            }
        }
        reached
    }

    #[cfg(test)]
    pub(super) fn imports(&self) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
        self.0
            .iter()
            .flat_map(|(from, imports)| imports.keys().map(move |to| (from, to)))
    }
}
