//! The modules of a crate, and which file defines what a path names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::graph::{Graph, Import};
use super::source::{self, Source};

/// A path that leads on from one `use` to another more often than this leads round and round.
const HOPS_MAX: usize = 32;

/// The modules of one crate; its root is the first.
pub(super) struct Tree(Vec<Module>);

struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    source: Source,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Module(usize),
    /// Something that this module defines.
    In(usize),
    /// Something of another crate.
    Elsewhere,
}

impl Tree {
    /// Reads a crate, from its root on.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self(Vec::new());
        let folder = root.parent().unwrap_or(root).to_owned();
        tree.add_file(root, &folder, None)?;
        Ok(tree)
    }

    fn add_file(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let source = Source::read(&text).with_context(|| format!("parsing {}", file.display()))?;
        self.add(source, file, folder, parent)
    }

    /// A module whose children in files of their own lie in this folder.
    fn add(
        &mut self,
        mut source: Source,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
    ) -> Result<usize> {
        let id = self.0.len();
        let (files, inline) = (
            std::mem::take(&mut source.files),
            std::mem::take(&mut source.inline),
        );
        self.0.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            source,
        });
        for name in files {
            let below = folder.join(&name);
            let alone = below.with_extension("rs");
            let file = if alone.is_file() {
                alone
            } else {
                below.join("mod.rs")
            };
            let child = self.add_file(&file, &below, Some(id))?;
            self.0[id].children.insert(name, child);
        }
        for (name, source) in inline {
            let child = self.add(source, file, &folder.join(&name), Some(id))?;
            self.0[id].children.insert(name, child);
        }
        Ok(id)
    }

    /// Which file imports which.
    pub(super) fn imports(&self) -> Graph {
        let mut graph = Graph::default();
        for (id, module) in self.0.iter().enumerate() {
            let source = &module.source;
            let bound = source.bindings.iter().filter(|it| !it.is_passed_on);
            let bound = bound.map(|it| (&it.path, it.line));
            let named = source.named.iter().map(|(path, line)| (path, *line));
            for (path, line) in bound.chain(named) {
                if let Some(Found::In(to)) = self.find(id, path, HOPS_MAX) {
                    let name = path.last().cloned().unwrap_or_default();
                    graph.add(&module.file, &self.0[to].file, Import { line, name });
                }
            }
        }
        graph
    }

    /// What a path leads to, seen from a module; none where nothing of this crate has its first name.
    fn find(&self, from: usize, path: &source::Path, hops: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(from),
            "super" => Found::Module(self.0[from].parent?),
            name => self.step(from, name, hops)?,
        };
        for name in rest {
            found = match (found, name.as_str()) {
                (Found::Module(id), "super") => Found::Module(self.0[id].parent?),
                // What is not found by its name is made by a macro there.
                (Found::Module(id), name) => self.step(id, name, hops).unwrap_or(Found::In(id)),
                (found, _) => return Some(found),
            };
        }
        Some(found)
    }

    /// What a name means in a module; none where it is not known.
    fn step(&self, id: usize, name: &str, hops: usize) -> Option<Found> {
        let Some(hops) = hops.checked_sub(1) else {
            return Some(Found::Elsewhere);
        };
        let module = self.0.get(id)?;
        if let Some(child) = module.children.get(name) {
            return Some(Found::Module(*child));
        }
        let source = &module.source;
        if source.items.contains(name) {
            return Some(Found::In(id));
        }
        if let Some(it) = source.bindings.iter().find(|it| it.name == name) {
            let found = self.find(id, &it.path, hops);
            return Some(found.unwrap_or(Found::Elsewhere));
        }
        let in_glob = |path| match self.find(id, path, hops)? {
            Found::Module(of) => self.step(of, name, hops),
            Found::In(_) | Found::Elsewhere => None,
        };
        source.globs.iter().find_map(in_glob)
    }
}
