//! Small crates, and what of them counts as an import.

use std::fs;
use std::path::Path;

use super::*;

/// A crate of these files, in a folder that lives as long as the guard.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let tree = Tree::read(&folder.path().join("lib.rs")).unwrap();
    (folder, tree)
}

/// Which file imports which, as `a.rs b.rs`.
fn imports(files: &[(&str, &str)]) -> Vec<String> {
    let (folder, tree) = tree(files);
    let short = |file: &Path| {
        file.strip_prefix(folder.path())
            .unwrap()
            .display()
            .to_string()
    };
    let graph = tree.imports();
    graph
        .imports()
        .map(|(from, to)| format!("{} {}", short(from), short(to)))
        .collect()
}

fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let (folder, tree) = tree(files);
    complaints_about(folder.path(), &tree.imports())
}

const LIB: &str = "mod a; mod b; pub use a::A;";

#[test]
fn two_files_that_import_one_another_are_a_circle() {
    let files = [
        ("lib.rs", LIB),
        ("a.rs", "use crate::b::B;\npub struct A(B);"),
        ("b.rs", "pub struct B;\nfn f() { super::a::A::new() }"),
    ];
    let found = complaints(&files);
    let told = "a.rs:1: 2 files import one another in a circle: \
                a.rs:1 takes B from b.rs; b.rs:2 takes new from a.rs";
    assert_eq!(found, [told]);
}

#[test]
fn what_a_file_passes_on_is_imported_from_where_it_is_defined() {
    let found = imports(&[
        (
            "lib.rs",
            "mod a; mod b; mod c; pub use a::*; pub use b::{B as D};",
        ),
        ("a.rs", "pub struct A;"),
        ("b.rs", "pub struct B;"),
        ("c.rs", "use crate::{A, D}; struct C(A, D);"),
    ]);
    assert_eq!(found, ["c.rs a.rs", "c.rs b.rs"]);
}

#[test]
fn what_a_file_passes_on_and_uses_itself_it_imports() {
    let files = |f: &'static str| [("lib.rs", f), ("a.rs", "pub struct A;")];
    assert_eq!(
        imports(&files("mod a; pub use a::A; fn f(_: A) {}")),
        ["lib.rs a.rs"]
    );
    assert_eq!(imports(&files("mod a; pub use a::A;")), [""; 0]);
    assert_eq!(imports(&files("mod a; fn f() -> a::A {}")), ["lib.rs a.rs"]);
}

#[test]
fn a_module_that_is_imported_counts_only_for_what_is_named_in_it() {
    let found = imports(&[
        ("lib.rs", "mod a; mod c;"),
        (
            "a/mod.rs",
            "pub mod b; pub struct A; use std::fmt; impl fmt::Debug for A {}",
        ),
        ("a/b.rs", "pub fn f() {}"),
        (
            "c.rs",
            "use crate::a::{self as x, b}; fn g() { b::f(); x::b::f() }",
        ),
    ]);
    assert_eq!(found, ["c.rs a/b.rs"]);
}

#[test]
fn paths_in_macros_and_inline_modules_count_and_tests_do_not() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        (
            "a.rs",
            "fn f() { println!(\"{}\", vec![crate::b::f()].len()) }",
        ),
        (
            "b.rs",
            "pub fn f() {} #[cfg(test)] mod tests { use crate::a::A; }",
        ),
        ("c.rs", "mod inner { fn f() -> super::super::b::B {} }"),
        ("d.rs", "#[cfg(test)] mod tests;"),
    ]);
    assert_eq!(found, ["a.rs b.rs", "c.rs b.rs"]);
}

#[test]
fn what_a_macro_made_is_in_the_file_of_the_macro_and_other_crates_are_none_of_ours() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "table! { rows { id } }"),
        (
            "b.rs",
            "use crate::a::rows; use std::fmt::a; use ::b::A; fn f() { rows::id; a::B; }",
        ),
    ]);
    assert_eq!(found, ["b.rs a.rs"]);
}

#[test]
fn a_use_that_leads_round_and_round_ends() {
    let found = imports(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::x; pub use crate::b::*;"),
        (
            "b.rs",
            "pub use crate::a::x; pub use crate::a::*; fn f() { x::y() }",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}
