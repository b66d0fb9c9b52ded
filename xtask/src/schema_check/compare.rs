//! Whether a part of Railway's schema that we wrote down still is a part of it.

use apollo_compiler::ast::{
    DirectiveList, FieldDefinition, InputValueDefinition, OperationType, Type,
};
use apollo_compiler::collections::IndexMap;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{Component, EnumType, ExtendedType, InputObjectType};
use apollo_compiler::{Name, Node, Schema};

use super::deprecation;
use super::finding::{Finding, Kind, Place};
use super::nullability::{Difference, Direction, difference};
use super::subset::Subset;

type Fields = IndexMap<Name, Component<FieldDefinition>>;

pub(super) fn compare(ours: &Subset, railway: &Schema) -> Vec<Finding> {
    let mut comparison = Comparison {
        ours,
        railway,
        findings: Vec::new(),
    };
    comparison.roots();
    for (name, ty) in &ours.schema.types {
        if !ty.is_built_in() {
            comparison.ty(name, ty);
        }
    }
    comparison.findings
}

struct Comparison<'a> {
    ours: &'a Subset,
    railway: &'a Schema,
    findings: Vec<Finding>,
}

impl Comparison<'_> {
    /// Operations start at the roots, so another root with the same fields is another schema.
    fn roots(&mut self) {
        for operation in [OperationType::Query, OperationType::Mutation] {
            let Some(ours) = self.ours.schema.root_operation(operation) else {
                continue;
            };
            let sentence = match self.railway.root_operation(operation) {
                Some(railways) if railways == ours => continue,
                Some(railways) => {
                    format!(
                        "the root of every {operation} is {railways} in Railway's schema and {ours} here."
                    )
                }
                None => format!("Railway's schema has no {operation}."),
            };
            self.find(None, Kind::Type, sentence);
        }
    }

    fn ty(&mut self, name: &Name, ours: &ExtendedType) {
        let Some(railways) = self.railway.types.get(name) else {
            self.removed(ours.location(), name);
            return;
        };
        match (ours, railways) {
            (ExtendedType::Scalar(_), ExtendedType::Scalar(_)) => {}
            (ExtendedType::Object(ours), ExtendedType::Object(railways)) => {
                self.fields(name, &ours.fields, &railways.fields);
            }
            (ExtendedType::Enum(ours), ExtendedType::Enum(railways)) => self.values(ours, railways),
            (ExtendedType::InputObject(ours), ExtendedType::InputObject(railways)) => {
                self.input_fields(ours, railways);
            }
            // We use no interface and no union, so that no rule says when one of these holds.
            _ => {
                let (theirs, here) = (noun(railways), noun(ours));
                let sentence = format!("{name} is {theirs} in Railway's schema and {here} here.");
                self.find(ours.location(), Kind::Type, sentence);
            }
        }
    }

    fn fields(&mut self, ty: &Name, ours: &Fields, railways: &Fields) {
        for (name, field) in ours {
            let coordinate = format!("{ty}.{name}");
            let Some(railways) = railways.get(name) else {
                self.removed(field.node.location(), &coordinate);
                continue;
            };
            self.deprecated(&field.node, &coordinate, &railways.directives);
            let types = (&field.ty, &railways.ty);
            self.types(&field.node, &coordinate, types, Direction::Output);
            self.arguments(&coordinate, field, railways);
        }
    }

    fn arguments(
        &mut self,
        field: &str,
        ours: &Component<FieldDefinition>,
        railways: &FieldDefinition,
    ) {
        for argument in &ours.arguments {
            let coordinate = format!("{field}({}:)", argument.name);
            match railways.argument_by_name(&argument.name) {
                Some(railways) => self.input(argument, &coordinate, railways),
                None => self.removed(argument.location(), &coordinate),
            }
        }
        for argument in &railways.arguments {
            if argument.is_required() && ours.argument_by_name(&argument.name).is_none() {
                let sentence = format!(
                    "{field} requires the argument {}: {} in Railway's schema, which is not here.",
                    argument.name, argument.ty
                );
                self.find(ours.node.location(), Kind::Required, sentence);
            }
        }
    }

    fn input_fields(&mut self, ours: &Node<InputObjectType>, railways: &InputObjectType) {
        let ty = &ours.name;
        for (name, field) in &ours.fields {
            let coordinate = format!("{ty}.{name}");
            match railways.fields.get(name) {
                Some(railways) => self.input(&field.node, &coordinate, railways),
                None => self.removed(field.node.location(), &coordinate),
            }
        }
        for (name, field) in &railways.fields {
            if field.is_required() && !ours.fields.contains_key(name) {
                let sentence = format!(
                    "{ty} requires the field {name}: {} in Railway's schema, which is not here.",
                    field.ty
                );
                self.find(ours.location(), Kind::Required, sentence);
            }
        }
    }

    fn input(
        &mut self,
        ours: &Node<InputValueDefinition>,
        coordinate: &str,
        railways: &InputValueDefinition,
    ) {
        self.deprecated(ours, coordinate, &railways.directives);
        self.types(ours, coordinate, (&ours.ty, &railways.ty), Direction::Input);
        let Some(default) = &ours.default_value else {
            return;
        };
        let railways = railways.default_value.as_ref();
        if railways != Some(default) {
            let railways = railways.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            let sentence = format!(
                "{coordinate} is {railways} by default in Railway's schema and {default} here."
            );
            self.find(ours.location(), Kind::Type, sentence);
        }
    }

    fn values(&mut self, ours: &Node<EnumType>, railways: &EnumType) {
        let ty = &ours.name;
        for (name, value) in &ours.values {
            let coordinate = format!("{ty}.{name}");
            match railways.values.get(name) {
                Some(railways) => self.deprecated(&value.node, &coordinate, &railways.directives),
                None => self.removed(value.node.location(), &coordinate),
            }
        }
        for name in railways.values.keys() {
            if !ours.values.contains_key(name) {
                let sentence = format!("{ty}.{name} is a value in Railway's schema and not here.");
                self.find(ours.location(), Kind::NewValue, sentence);
            }
        }
    }

    fn types<T>(
        &mut self,
        node: &Node<T>,
        coordinate: &str,
        (ours, railways): (&Type, &Type),
        direction: Direction,
    ) {
        let Some(difference) = difference(ours, railways, direction) else {
            return;
        };
        let kind = match difference {
            Difference::Type => Kind::Type,
            Difference::Breaking => Kind::Nullability,
            Difference::Harmless => Kind::Looser,
        };
        let meaning = match (difference, direction) {
            (Difference::Type, _) => "",
            (Difference::Breaking, Direction::Output) => {
                ": it may be null where we do not expect it"
            }
            (Difference::Breaking, Direction::Input) => ": null is refused where we may send it",
            (Difference::Harmless, Direction::Output) => ": we expect a null that never comes",
            (Difference::Harmless, Direction::Input) => ": we never send the null that it takes",
        };
        let sentence =
            format!("{coordinate} is {railways} in Railway's schema and {ours} here{meaning}.");
        self.find(node.location(), kind, sentence);
    }

    fn deprecated<T>(&mut self, node: &Node<T>, coordinate: &str, railways: &DirectiveList) {
        if let Some(sentence) = deprecation::sentence(railways, coordinate) {
            self.find(node.location(), Kind::Deprecated, sentence);
        }
    }

    fn removed(&mut self, at: Option<SourceSpan>, what: &str) {
        let sentence = format!("{what} is not in Railway's schema.");
        self.find(at, Kind::Removed, sentence);
    }

    fn find(&mut self, at: Option<SourceSpan>, kind: Kind, sentence: String) {
        self.findings.push(Finding {
            place: Place::of(&self.ours.file, at, &self.ours.schema.sources),
            kind,
            sentence,
        });
    }
}

fn noun(ty: &ExtendedType) -> &'static str {
    match ty {
        ExtendedType::Scalar(_) => "a scalar",
        ExtendedType::Object(_) => "a type",
        ExtendedType::Interface(_) => "an interface",
        ExtendedType::Union(_) => "a union",
        ExtendedType::Enum(_) => "an enum",
        ExtendedType::InputObject(_) => "an input",
    }
}
