//! Reads the answer to an introspection query and gives it as the schema that it describes. Whatever
//! is missing or not understood is an error: an incomplete file must not read as fields removed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use apollo_compiler::Schema;
use serde::Deserialize;

/// Railway's answer has 2 MB; one that grew thirtyfold is not what we asked for.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let place = path.display();
    let file = File::open(path).with_context(|| format!("{place} cannot be opened"))?;
    let mut bytes = Vec::new();
    file.take(MAX_ANSWER_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{place} cannot be read"))?;
    ensure!(
        bytes.len() as u64 <= MAX_ANSWER_BYTES,
        "{place} is larger than {MAX_ANSWER_BYTES} bytes"
    );
    Ok(bytes)
}

/// The schema that an introspection answer describes, with its marks of deprecation. It is not
/// validated yet.
pub(super) fn schema(answer: &[u8]) -> Result<Schema> {
    let described = described(answer)?;
    let text = sdl(&described)?;
    Schema::builder()
        .ignore_builtin_redefinitions()
        .parse(text, "introspection")
        .build()
        .map_err(|problem| {
            let first = problem.errors.iter().next();
            let first = first.map(|first| first.error.to_string());
            anyhow::anyhow!(first.unwrap_or_default())
                .context("the introspection describes no schema that can be read")
        })
}

fn described(answer: &[u8]) -> Result<Described> {
    let answer: Answer =
        serde_json::from_slice(answer).context("this is not the answer to an introspection")?;
    if let Some(error) = answer.errors.iter().flatten().next() {
        bail!(
            "the introspection was answered with an error: {}",
            error.message
        );
    }
    answer
        .data
        .and_then(|data| data.schema)
        .or(answer.schema)
        .context("this is not the answer to an introspection: it has no __schema")
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    /// Some programs store the content of `data` alone.
    #[serde(rename = "__schema")]
    schema: Option<Described>,
    errors: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "__schema")]
    schema: Option<Described>,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    query_type: Named,
    mutation_type: Option<Named>,
    subscription_type: Option<Named>,
    types: Vec<DescribedType>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedType {
    kind: String,
    name: String,
    fields: Option<Vec<DescribedField>>,
    input_fields: Option<Vec<DescribedInput>>,
    interfaces: Option<Vec<Named>>,
    enum_values: Option<Vec<DescribedValue>>,
    possible_types: Option<Vec<Named>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedField {
    name: String,
    args: Vec<DescribedInput>,
    #[serde(rename = "type")]
    ty: TypeReference,
    is_deprecated: bool,
    deprecation_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedInput {
    name: String,
    #[serde(rename = "type")]
    ty: TypeReference,
    default_value: Option<String>,
    /// Older servers do not say it of inputs.
    #[serde(default)]
    is_deprecated: bool,
    deprecation_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedValue {
    name: String,
    is_deprecated: bool,
    deprecation_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeReference {
    kind: String,
    name: Option<String>,
    of_type: Option<Box<TypeReference>>,
}

/// The schema definition language says the same as the introspection, and its parser is at hand.
fn sdl(described: &Described) -> Result<String> {
    let mut text = String::from("schema {");
    let roots = [
        ("query", Some(&described.query_type)),
        ("mutation", described.mutation_type.as_ref()),
        ("subscription", described.subscription_type.as_ref()),
    ];
    for (operation, root) in roots {
        if let Some(root) = root {
            let _ = write!(text, " {operation}: {}", root.name);
        }
    }
    text.push_str(" }\n");
    for ty in &described.types {
        // The types of introspection itself are part of every schema.
        if !ty.name.starts_with("__") {
            write_type(&mut text, ty).with_context(|| format!("the type {}", ty.name))?;
        }
    }
    Ok(text)
}

fn write_type(text: &mut String, ty: &DescribedType) -> Result<()> {
    let name = &ty.name;
    match ty.kind.as_str() {
        "SCALAR" => {
            let _ = writeln!(text, "scalar {name}");
        }
        "OBJECT" | "INTERFACE" => {
            let keyword = if ty.kind == "OBJECT" {
                "type"
            } else {
                "interface"
            };
            let _ = write!(text, "{keyword} {name}");
            write_names(text, " implements ", " & ", ty.interfaces.as_deref());
            write_fields(text, part(ty.fields.as_deref(), "fields")?)?;
        }
        "UNION" => {
            let _ = write!(text, "union {name}");
            let members = part(ty.possible_types.as_deref(), "possibleTypes")?;
            write_names(text, " = ", " | ", Some(members));
            text.push('\n');
        }
        "ENUM" => {
            let _ = writeln!(text, "enum {name} {{");
            for value in part(ty.enum_values.as_deref(), "enumValues")? {
                text.push_str(&value.name);
                write_deprecation(text, value.is_deprecated, value.deprecation_reason.as_ref())?;
                text.push('\n');
            }
            text.push_str("}\n");
        }
        "INPUT_OBJECT" => {
            let _ = writeln!(text, "input {name} {{");
            for input in part(ty.input_fields.as_deref(), "inputFields")? {
                write_input(text, input)?;
                text.push('\n');
            }
            text.push_str("}\n");
        }
        other => bail!("is of the unknown kind {other}"),
    }
    Ok(())
}

fn part<'a, T>(part: Option<&'a [T]>, name: &str) -> Result<&'a [T]> {
    part.with_context(|| format!("has no {name}"))
}

fn write_names(text: &mut String, before: &str, between: &str, names: Option<&[Named]>) {
    for (index, named) in names.unwrap_or_default().iter().enumerate() {
        text.push_str(if index == 0 { before } else { between });
        text.push_str(&named.name);
    }
}

fn write_fields(text: &mut String, fields: &[DescribedField]) -> Result<()> {
    text.push_str(" {\n");
    for field in fields {
        text.push_str(&field.name);
        for (index, argument) in field.args.iter().enumerate() {
            text.push_str(if index == 0 { "(" } else { ", " });
            write_input(text, argument)?;
        }
        text.push_str(if field.args.is_empty() { ": " } else { "): " });
        write_reference(text, &field.ty).with_context(|| format!("its field {}", field.name))?;
        write_deprecation(text, field.is_deprecated, field.deprecation_reason.as_ref())?;
        text.push('\n');
    }
    text.push_str("}\n");
    Ok(())
}

fn write_input(text: &mut String, input: &DescribedInput) -> Result<()> {
    let _ = write!(text, "{}: ", input.name);
    write_reference(text, &input.ty).with_context(|| format!("its input {}", input.name))?;
    if let Some(default) = &input.default_value {
        let _ = write!(text, " = {default}");
    }
    write_deprecation(text, input.is_deprecated, input.deprecation_reason.as_ref())
}

fn write_reference(text: &mut String, ty: &TypeReference) -> Result<()> {
    const TOO_DEEP: &str = "is nested deeper than the query that fetched the file asked for";
    match (ty.kind.as_str(), &ty.of_type, &ty.name) {
        ("NON_NULL", inner, _) => {
            write_reference(text, inner.as_ref().context(TOO_DEEP)?)?;
            text.push('!');
        }
        ("LIST", inner, _) => {
            text.push('[');
            write_reference(text, inner.as_ref().context(TOO_DEEP)?)?;
            text.push(']');
        }
        (_, _, Some(name)) => text.push_str(name),
        (_, _, None) => bail!("is of a type without a name"),
    }
    Ok(())
}

/// A string of JSON is a string of GraphQL.
fn write_deprecation(text: &mut String, marked: bool, reason: Option<&String>) -> Result<()> {
    if marked {
        text.push_str(" @deprecated");
        if let Some(reason) = reason {
            let _ = write!(text, "(reason: {})", serde_json::to_string(reason)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A name of GraphQL, and sometimes what none can be.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof![6 => "[A-D]", 1 => "\\PC{0,6}|[{}()\"#@:]{1,4}"]
    }

    fn reference() -> impl Strategy<Value = Value> {
        let named = name().prop_map(|name| json!({"kind": "SCALAR", "name": name, "ofType": null}));
        named.prop_recursive(4, 8, 1, |inner| {
            ("NON_NULL|LIST|[A-Z]{1,4}", prop::option::of(inner))
                .prop_map(|(kind, inner)| json!({"kind": kind, "name": null, "ofType": inner}))
        })
    }

    fn described_type() -> impl Strategy<Value = Value> {
        let kind = "SCALAR|OBJECT|INTERFACE|UNION|ENUM|INPUT_OBJECT|[A-Z]{1,5}";
        let reason = prop::option::of("\\PC{0,12}|[\"\\\\\n]{1,4}");
        (kind, name(), name(), reference(), reason).prop_map(|(kind, ty, field, reference, reason)| {
            let input = json!({"name": field, "type": reference, "defaultValue": reason});
            json!({
                "kind": kind, "name": ty, "interfaces": [], "possibleTypes": [{"name": field}],
                "fields": [{
                    "name": field, "args": [input], "type": reference,
                    "isDeprecated": reason.is_some(), "deprecationReason": reason,
                }],
                "inputFields": [input],
                "enumValues": [{
                    "name": field, "isDeprecated": reason.is_some(), "deprecationReason": reason,
                }],
            })
        })
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            types in prop::collection::vec(described_type(), 0..4),
            query in name(),
        ) {
            let _ = schema(&bytes);
            let described = json!({"queryType": {"name": query}, "types": types});
            for answer in [
                json!({"data": {"__schema": described}}),
                json!({"__schema": described}),
                json!({"data": null, "errors": [{"message": query}]}),
            ] {
                let _ = schema(answer.to_string().as_bytes());
            }
        }

        #[test]
        fn what_is_cut_short_is_no_schema(reason in "\\PC{0,12}", kept in any::<prop::sample::Index>()) {
            let field = json!({
                "name": "f", "args": [], "type": {"kind": "SCALAR", "name": "Int"},
                "isDeprecated": true, "deprecationReason": reason,
            });
            let described = json!({
                "queryType": {"name": "Q"},
                "types": [{"kind": "OBJECT", "name": "Q", "fields": [field]}],
            });
            let answer = json!({"data": {"__schema": described}}).to_string();
            prop_assert!(schema(answer.as_bytes()).is_ok());
            let kept = kept.index(answer.len());
            prop_assert!(schema(&answer.as_bytes()[..kept]).is_err());
        }
    }
}
