//! What one module declares, brings into its scope and names, as its text says.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, UseTree, Visibility};

/// Its segments: `crate::a::B`.
pub(super) type Path = Vec<String>;

/// A name in the scope of a module that `use` brings there.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) path: Path,
    /// Others may take it from here: it counts only where the module itself names it.
    pub(super) is_passed_on: bool,
    pub(super) line: usize,
}

/// One module, in a file of its own or not.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// `mod x;`
    pub(super) files: Vec<String>,
    /// `mod x { … }`
    pub(super) inline: Vec<(String, Source)>,
    pub(super) items: BTreeSet<String>,
    pub(super) bindings: Vec<Binding>,
    /// `use x::*`
    pub(super) globs: Vec<Path>,
    /// Every path in its code, with its line.
    pub(super) named: Vec<(Path, usize)>,
}

impl Source {
    pub(super) fn read(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        Ok(Self::of_items(&file.items))
    }

    fn of_items(items: &[Item]) -> Self {
        let mut source = Self::default();
        for item in items {
            source.visit_item(item);
        }
        source
    }

    fn bind(&mut self, tree: &UseTree, prefix: &mut Path, is_passed_on: bool) {
        let mut bind = |name: String, last: &syn::Ident, prefix: &Path| {
            let mut path = prefix.clone();
            // `use a::{self}` brings `a`.
            if last != "self" || path.is_empty() {
                path.push(last.to_string());
            }
            self.bindings.push(Binding {
                name,
                path,
                is_passed_on,
                line: last.span().start().line,
            });
        };
        match tree {
            UseTree::Path(it) => {
                prefix.push(it.ident.to_string());
                self.bind(&it.tree, prefix, is_passed_on);
                prefix.pop();
            }
            UseTree::Name(it) if it.ident == "self" => {
                let name = prefix.last().cloned().unwrap_or_default();
                bind(name, &it.ident, prefix);
            }
            UseTree::Name(it) => bind(it.ident.to_string(), &it.ident, prefix),
            UseTree::Rename(it) => bind(it.rename.to_string(), &it.ident, prefix),
            UseTree::Glob(_) => self.globs.push(prefix.clone()),
            UseTree::Group(it) => {
                for tree in &it.items {
                    self.bind(tree, prefix, is_passed_on);
                }
            }
        }
    }

    /// Every path in the tokens of a macro.
    fn name_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (Path::new(), 0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.named.push((std::mem::take(&mut path), line));
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.name_tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
            }
        }
        self.named.push((path, line));
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let (name, attributes) = name_and_attributes(item);
        if is_for_tests(attributes) {
            return;
        }
        self.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(it) => &it.attrs[..],
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        match &module.content {
            Some((_, items)) => self.inline.push((name, Self::of_items(items))),
            None => self.files.push(name),
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            let is_passed_on = !matches!(item.vis, Visibility::Inherited);
            self.bind(&item.tree, &mut Path::new(), is_passed_on);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            let segments = path.segments.iter().map(|it| it.ident.to_string());
            let line = first.ident.span().start().line;
            self.named.push((segments.collect(), line));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.name_tokens(mac.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn name_and_attributes(item: &Item) -> (Option<&syn::Ident>, &[Attribute]) {
    match item {
        Item::Const(it) => (Some(&it.ident), &it.attrs),
        Item::Enum(it) => (Some(&it.ident), &it.attrs),
        Item::Fn(it) => (Some(&it.sig.ident), &it.attrs),
        Item::Impl(it) => (None, &it.attrs),
        Item::Macro(it) => (it.ident.as_ref(), &it.attrs),
        Item::Mod(it) => (None, &it.attrs),
        Item::Static(it) => (Some(&it.ident), &it.attrs),
        Item::Struct(it) => (Some(&it.ident), &it.attrs),
        Item::Trait(it) => (Some(&it.ident), &it.attrs),
        Item::Type(it) => (Some(&it.ident), &it.attrs),
        Item::Union(it) => (Some(&it.ident), &it.attrs),
        Item::Use(it) => (None, &it.attrs),
        _ => (None, &[]),
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = match &attribute.meta {
            syn::Meta::List(list) if attribute.path().is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        tokens == "test"
    })
}
