//! Whether an operation of ours is valid in Railway's schema, and what that it uses is deprecated.

use apollo_compiler::ast::{DirectiveList, Value};
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Node, Schema};

use super::deprecation;
use super::finding::{Finding, Kind, Place};
use super::subset::Operations;

pub(super) fn check(ours: &Operations, railway: &Valid<Schema>) -> Vec<Finding> {
    match ours.document.to_executable_validate(railway) {
        Err(problem) => {
            let findings = problem.errors.iter().map(|problem| {
                let start = problem.line_column_range().map(|range| range.start);
                Finding {
                    place: Place::new(&ours.file, start),
                    kind: Kind::Invalid,
                    sentence: format!("Railway would refuse it: {}.", problem.error),
                }
            });
            findings.collect()
        }
        Ok(document) => {
            let mut uses = Uses {
                file: &ours.file,
                document: &document,
                railway,
                findings: Vec::new(),
            };
            for operation in document.operations.iter() {
                uses.look_at(&operation.selection_set);
            }
            for fragment in document.fragments.values() {
                uses.look_at(&fragment.selection_set);
            }
            uses.findings
        }
    }
}

/// Looks for what is deprecated in a valid document.
struct Uses<'a> {
    file: &'a str,
    document: &'a ExecutableDocument,
    railway: &'a Schema,
    findings: Vec<Finding>,
}

impl Uses<'_> {
    /// Validation has limited how deep selections nest.
    fn look_at(&mut self, selected: &SelectionSet) {
        for selection in &selected.selections {
            match selection {
                Selection::Field(field) => {
                    self.look_at_field(selected.ty.as_str(), field);
                    self.look_at(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.look_at(&fragment.selection_set),
                // Fragments are looked at once each, where they are defined.
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn look_at_field(&mut self, parent: &str, field: &Node<Field>) {
        let name = format!("{parent}.{}", field.name);
        self.complain(field, &name, &field.definition.directives);
        for argument in &field.arguments {
            let Some(defined) = field.definition.argument_by_name(&argument.name) else {
                continue;
            };
            let name = format!("{name}({}:)", argument.name);
            self.complain(argument, &name, &defined.directives);
            self.look_at_value(argument, &argument.value, defined.ty.inner_named_type());
        }
    }

    /// A literal value of an enum; those in variables are checked where the SDL has them.
    fn look_at_value<T>(&mut self, node: &Node<T>, value: &Value, ty: &str) {
        let (Some(value), Some(defined)) = (value.as_enum(), self.railway.get_enum(ty)) else {
            return;
        };
        if let Some(defined) = defined.values.get(value) {
            self.complain(node, &format!("{ty}.{value}"), &defined.directives);
        }
    }

    /// Where it is deprecated.
    fn complain<T>(&mut self, node: &Node<T>, name: &str, directives: &DirectiveList) {
        let sentence = deprecation::sentence(directives, name);
        self.findings.extend(sentence.map(|sentence| Finding {
            place: Place::of(self.file, node.location(), &self.document.sources),
            kind: Kind::Deprecated,
            sentence,
        }));
    }
}
