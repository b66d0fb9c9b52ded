//! Reads the answer to an introspection query and gives it as the schema that it describes. Whatever
//! is missing or not understood is an error: an incomplete file must not read as fields removed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use apollo_compiler::Schema;
use serde::Deserialize;
use serde_json::Value;

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
    const OTHER: &str = "this is not the answer to an introspection";
    let answer: Value = serde_json::from_slice(answer).context(OTHER)?;
    if let Some(error) = answer.pointer("/errors/0/message").and_then(Value::as_str) {
        bail!("the introspection was answered with an error: {error}");
    }
    // Some programs store the content of `data` alone.
    let schema = answer.pointer("/data/__schema").or(answer.get("__schema"));
    let schema = schema.with_context(|| format!("{OTHER}: it has no __schema"))?;
    Described::deserialize(schema).context(OTHER)
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
    fields: Option<Vec<Member>>,
    input_fields: Option<Vec<Member>>,
    interfaces: Option<Vec<Named>>,
    enum_values: Option<Vec<Member>>,
    possible_types: Option<Vec<Named>>,
}

/// A field, an argument, a field of an input, or a value, each of which has some of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    #[serde(default)]
    args: Vec<Member>,
    #[serde(rename = "type")]
    ty: Option<TypeReference>,
    default_value: Option<String>,
    is_deprecated: Option<bool>,
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
            let ty_text = type_text(ty).with_context(|| format!("the type {}", ty.name))?;
            let _ = writeln!(text, "{ty_text}");
        }
    }
    Ok(text)
}

fn type_text(ty: &DescribedType) -> Result<String> {
    let name = &ty.name;
    let interfaces = names(" implements ", " & ", ty.interfaces.as_ref());
    let fields = || block(ty.fields.as_ref(), "fields");
    Ok(match ty.kind.as_str() {
        "SCALAR" => format!("scalar {name}"),
        "OBJECT" => format!("type {name}{interfaces} {}", fields()?),
        "INTERFACE" => format!("interface {name}{interfaces} {}", fields()?),
        "UNION" => {
            let members = ty.possible_types.as_ref();
            let members = Some(members.context("has no possibleTypes")?);
            format!("union {name}{}", names(" = ", " | ", members))
        }
        "ENUM" => {
            let values = block(ty.enum_values.as_ref(), "enumValues")?;
            format!("enum {name} {values}")
        }
        "INPUT_OBJECT" => {
            let fields = block(ty.input_fields.as_ref(), "inputFields")?;
            format!("input {name} {fields}")
        }
        other => bail!("is of the unknown kind {other}"),
    })
}

fn names(before: &str, between: &str, names: Option<&Vec<Named>>) -> String {
    let names = names.into_iter().flatten();
    let names: Vec<_> = names.map(|named| named.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("{before}{}", names.join(between))
}

/// All members of a type. Of inputs older servers do not say whether they are deprecated.
fn block(members: Option<&Vec<Member>>, kind: &str) -> Result<String> {
    let mut text = String::from("{\n");
    for member in members.with_context(|| format!("has no {kind}"))? {
        ensure!(
            member.is_deprecated.is_some() || kind == "inputFields",
            "its {kind} do not say isDeprecated"
        );
        let member = member_text(member).with_context(|| format!("its {kind} {}", member.name))?;
        let _ = writeln!(text, "{member}");
    }
    text.push('}');
    Ok(text)
}

fn member_text(member: &Member) -> Result<String> {
    let mut text = member.name.clone();
    for (index, argument) in member.args.iter().enumerate() {
        text.push_str(if index == 0 { "(" } else { ", " });
        text.push_str(&member_text(argument)?);
    }
    text.push_str(if member.args.is_empty() { "" } else { ")" });
    if let Some(ty) = &member.ty {
        let _ = write!(text, ": {}", reference(ty)?);
    }
    if let Some(default) = &member.default_value {
        let _ = write!(text, " = {default}");
    }
    if member.is_deprecated == Some(true) {
        text.push_str(" @deprecated");
        if let Some(reason) = &member.deprecation_reason {
            // A string of JSON is a string of GraphQL.
            let _ = write!(text, "(reason: {})", serde_json::to_string(reason)?);
        }
    }
    Ok(text)
}

fn reference(ty: &TypeReference) -> Result<String> {
    let inner = || {
        let inner = ty.of_type.as_ref();
        reference(inner.context("is nested deeper than the query that fetched the file asked for")?)
    };
    Ok(match ty.kind.as_str() {
        "NON_NULL" => format!("{}!", inner()?),
        "LIST" => format!("[{}]", inner()?),
        _ => ty.name.clone().context("is of a type without a name")?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
