//! The check against made-up schemas, one damage at a time.

use anyhow::Result;
use serde_json::{Value, json};

use super::finding::Kind;
use super::introspected::introspected;
use super::introspection;
use super::report::Report;
use super::subset::{Operations, Ours, Subset};

/// What we use, on numbered lines.
const OURS: &str = "type Query {
  machine(id: String!, first: Int): Machine
}
type Mutation {
  create(input: CreateInput!): Machine!
}
type Machine {
  name: String!
  tags: [String!]!
  note: String
  state: State!
}
enum State {
  UP
  DOWN
}
input CreateInput {
  name: String!
  size: Int = 1
}
";

const OPERATION: &str = "query Look($id: String!) {
  machine(id: $id) {
    name
    state
  }
}
";

/// The same in a larger schema.
const RAILWAY: &str = "type Query {
  machine(id: String!, first: Int): Machine
  machines: [Machine!]!
}
type Mutation {
  create(input: CreateInput!): Machine!
}
interface Node { id: ID! }
union Thing = Machine | Disk
type Disk implements Node { id: ID! old: Int @deprecated }
type Machine implements Node {
  id: ID!
  name: String!
  tags: [String!]!
  note: String
  state: State!
}
enum State {
  UP
  DOWN
}
input CreateInput {
  name: String!
  size: Int = 1
  zone: String
  replicas: Int! = 1
}
";

fn ours(sdl: &str, operation: Option<&str>) -> Result<Ours> {
    let operation = operation.map(|text| Operations::parse(text, "look.graphql"));
    Ok(Ours {
        subset: Subset::parse(sdl, "ours.graphql")?,
        operations: operation.transpose()?.into_iter().collect(),
    })
}

fn report(railway: &str) -> Result<Report> {
    let ours = ours(OURS, Some(OPERATION))?;
    Report::new(&introspected(railway)?, "railway.json", &ours)
}

/// What is said of ours in this schema.
fn judged(ours: &Ours, railway: &str) -> Result<Vec<String>> {
    let report = Report::new(&introspected(railway)?, "railway.json", ours)?;
    Ok(report.findings.iter().map(ToString::to_string).collect())
}

/// Each damage, and all that must be said of it.
#[track_caller]
fn assert_said(from: &str, to: &str, expected: &[&str]) {
    assert!(RAILWAY.contains(from), "{from} is there to be damaged");
    let ours = ours(OURS, Some(OPERATION)).unwrap();
    let said = judged(&ours, &RAILWAY.replacen(from, to, 1)).unwrap();
    assert_eq!(said, expected, "{from} became {to}");
}

#[test]
fn a_part_of_railways_schema_is_fine() {
    let report = report(RAILWAY).unwrap();
    assert!(!report.is_refused());
    assert_eq!(
        report.summary(),
        "schema-check: fine: 5 types and 1 operation against the 8 types of \
         railway.json; no notes"
    );
}

#[test]
fn what_was_removed_is_refused() {
    assert_said(
        "  tags: [String!]!\n",
        "",
        &["ours.graphql:9: removed: Machine.tags is not in Railway's schema."],
    );
    assert_said(
        "  name: String!\n  tags",
        "  tags",
        &[
            "look.graphql:3: invalid: Railway would refuse it: type `Machine` does not have a field `name`.",
            "ours.graphql:8: removed: Machine.name is not in Railway's schema.",
        ],
    );
    assert_said(
        ", first: Int",
        "",
        &["ours.graphql:2: removed: Query.machine(first:) is not in Railway's schema."],
    );
    assert_said(
        "  UP\n",
        "",
        &["ours.graphql:14: removed: State.UP is not in Railway's schema."],
    );
    assert_said(
        "  size: Int = 1\n",
        "",
        &["ours.graphql:19: removed: CreateInput.size is not in Railway's schema."],
    );
    assert_said(
        "type Mutation {\n  create(input: CreateInput!): Machine!\n}\n",
        "",
        &[
            "ours.graphql: type: Railway's schema has no mutation.",
            "ours.graphql:4: removed: Mutation is not in Railway's schema.",
        ],
    );
}

#[test]
fn what_is_deprecated_is_refused_with_railways_reason() {
    assert_said(
        "  name: String!\n  tags",
        "  name: String! @deprecated(reason: \"Use \\\"title\\\"\\ninstead\")\n  tags",
        &[
            "look.graphql:3: deprecated: Machine.name is deprecated in Railway's schema: \"Use \\\"title\\\" instead\".",
            "ours.graphql:8: deprecated: Machine.name is deprecated in Railway's schema: \"Use \\\"title\\\" instead\".",
        ],
    );
    assert_said(
        "  DOWN\n",
        "  DOWN @deprecated\n",
        &[
            "ours.graphql:15: deprecated: State.DOWN is deprecated in Railway's schema: \"No longer supported\".",
        ],
    );
    assert_said(
        "  size: Int = 1\n",
        "  size: Int = 1 @deprecated(reason: \"no\")\n",
        &[
            "ours.graphql:19: deprecated: CreateInput.size is deprecated in Railway's schema: \"no\".",
        ],
    );
    assert_said(
        "first: Int)",
        "first: Int @deprecated(reason: \"no\"))",
        &[
            "ours.graphql:2: deprecated: Query.machine(first:) is deprecated in Railway's schema: \"no\".",
        ],
    );
}

#[test]
fn what_is_newly_required_is_refused() {
    assert_said(
        "first: Int)",
        "first: Int, zone: String!)",
        &[
            "look.graphql:2: invalid: Railway would refuse it: the required argument `Query.machine(zone:)` is not provided.",
            "ours.graphql:2: required: Query.machine requires the argument zone: String! in Railway's schema, which is not here.",
        ],
    );
    assert_said(
        "  zone: String\n",
        "  zone: String!\n",
        &[
            "ours.graphql:17: required: CreateInput requires the field zone: String! in Railway's schema, which is not here.",
        ],
    );
}

#[test]
fn null_is_refused_where_it_breaks_us_and_noted_where_it_does_not() {
    assert_said(
        "  tags: [String!]!\n",
        "  tags: [String]!\n",
        &[
            "ours.graphql:9: nullability: Machine.tags is [String]! in Railway's schema and [String!]! here: it may be null where we do not expect it.",
        ],
    );
    assert_said(
        "first: Int)",
        "first: Int! = 1)",
        &[
            "ours.graphql:2: nullability: Query.machine(first:) is Int! in Railway's schema and Int here: null is refused where we may send it.",
        ],
    );
    assert_said(
        "  note: String\n",
        "  note: String!\n",
        &[
            "ours.graphql:10: note, looser: Machine.note is String! in Railway's schema and String here: we expect a null that never comes.",
        ],
    );
    assert_said(
        "id: String!, first",
        "id: String, first",
        &[
            "ours.graphql:2: note, looser: Query.machine(id:) is String in Railway's schema and String! here: we never send the null that it takes.",
        ],
    );
}

#[test]
fn what_became_something_else_is_refused() {
    assert_said(
        "  tags: [String!]!\n",
        "  tags: String!\n",
        &["ours.graphql:9: type: Machine.tags is String! in Railway's schema and [String!]! here."],
    );
    assert_said(
        "machine(id: String!",
        "machine(id: ID!",
        &[
            "look.graphql:2: invalid: Railway would refuse it: variable `$id` of type `String!` cannot be used for argument `id` of type `ID!`.",
            "ours.graphql:2: type: Query.machine(id:) is ID! in Railway's schema and String! here.",
        ],
    );
    assert_said(
        "size: Int = 1",
        "size: Int = 2",
        &[
            "ours.graphql:19: type: CreateInput.size is 2 by default in Railway's schema and 1 here.",
        ],
    );
    assert_said(
        "enum State {\n  UP\n  DOWN\n}",
        "type State { up: Int }",
        &[
            "look.graphql:4: invalid: Railway would refuse it: interface, union and object types must have a subselection set.",
            "ours.graphql:13: type: State is a type in Railway's schema and an enum here.",
        ],
    );
    assert_said(
        "type Query {",
        "schema { query: Root mutation: Mutation } type Query { a: Int } type Root {",
        &[
            "ours.graphql: type: the root of every query is Root in Railway's schema and Query here.",
            "ours.graphql:2: removed: Query.machine is not in Railway's schema.",
        ],
    );
}

#[test]
fn a_value_that_we_do_not_know_is_noted() {
    assert_said(
        "  UP\n",
        "  UP\n  ASLEEP\n",
        &[
            "ours.graphql:13: note, new value: State.ASLEEP is a value in Railway's schema and not here.",
        ],
    );
}

#[test]
fn a_summary_counts_what_was_refused() {
    let damaged = RAILWAY
        .replace("  tags: [String!]!\n", "")
        .replace("  UP\n", "  AWAY\n");
    let report = report(&damaged).unwrap();
    assert!(report.is_refused());
    let summary = report.summary();
    let begins = "schema-check: refused: 2 removed; 1 note; 5 types";
    assert!(summary.starts_with(begins), "{summary}");
}

#[test]
fn an_operation_is_searched_for_what_is_deprecated_in_fragments_and_values() {
    let railway =
        "type Query { list(state: State, old: Int @deprecated(reason: \"no\")): Machine! }
type Machine { name: String! @deprecated(reason: \"no\") note: String }
enum State { UP DOWN @deprecated(reason: \"no\") }";
    let operation = "query List { list(state: DOWN, old: 1) {
...named
... on Machine { name }
} }
fragment named on Machine {
name
}";
    let sdl = "type Query { list: Machine! } type Machine { note: String }";
    let ours = ours(sdl, Some(operation)).unwrap();
    let because = "is deprecated in Railway's schema: \"no\".";
    assert_eq!(
        judged(&ours, railway).unwrap(),
        [
            format!("look.graphql:1: deprecated: Query.list(old:) {because}"),
            format!("look.graphql:1: deprecated: State.DOWN {because}"),
            format!("look.graphql:3: deprecated: Machine.name {because}"),
            format!("look.graphql:6: deprecated: Machine.name {because}"),
        ]
    );
}

fn refused(answer: &Value) -> String {
    let answer = answer.to_string();
    match introspection::schema(answer.as_bytes()) {
        Ok(_) => format!("{answer} was taken"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_file_that_says_too_little_is_not_taken() {
    let with = |ty: Value| json!({"__schema": {"queryType": {"name": "Query"}, "types": [ty]}});
    let string = json!({"kind": "SCALAR", "name": "String", "ofType": null});
    let field = |ty: &Value| json!({"name": "a", "args": [], "type": ty, "isDeprecated": false});
    let object = |field: &Value| json!({"kind": "OBJECT", "name": "Query", "fields": [field]});

    let whole = with(object(&field(&string)));
    introspection::schema(whole.to_string().as_bytes()).unwrap();

    let mut silent = field(&string);
    silent.as_object_mut().unwrap().remove("isDeprecated");
    let problem = refused(&with(object(&silent)));
    assert!(
        problem.contains("its fields do not say isDeprecated"),
        "{problem}"
    );

    let shallow = json!({"kind": "NON_NULL", "name": null, "ofType": null});
    let problem = refused(&with(object(&field(&shallow))));
    assert_eq!(
        problem,
        "the type Query: its fields a: is nested deeper than the query that fetched the file asked for"
    );

    let problem = refused(&with(json!({"kind": "OBJECT", "name": "Query"})));
    assert_eq!(problem, "the type Query: has no fields");

    let problem = refused(&json!({"data": null, "errors": [{"message": "Not Authorized"}]}));
    assert_eq!(
        problem,
        "the introspection was answered with an error: Not Authorized"
    );

    let problem = refused(&json!({"data": {"me": null}}));
    assert_eq!(
        problem,
        "this is not the answer to an introspection: it has no __schema"
    );
}

#[test]
fn a_schema_that_contradicts_itself_is_not_judged_fine() {
    let ty = |name: &str, inner: &str| {
        let ty = json!({"kind": "OBJECT", "name": inner, "ofType": null});
        let field = json!({"name": "a", "args": [], "type": ty, "isDeprecated": false});
        json!({"kind": "OBJECT", "name": name, "fields": [field]})
    };
    let types = [ty("Query", "String"), ty("Other", "Gone")];
    let answer = json!({"__schema": {"queryType": {"name": "Query"}, "types": types}});
    let little = ours("type Query { a: String }", None).unwrap();
    let problem = Report::new(answer.to_string().as_bytes(), "f.json", &little).err();
    assert_eq!(
        problem.map(|problem| problem.to_string()).as_deref(),
        Some(
            "f.json describes a schema that is not valid: cannot find type `Gone` in this document"
        )
    );
}

#[test]
fn every_kind_of_finding_has_its_section_in_the_docs() {
    let docs = include_str!("../../../docs/RAILWAY-SCHEMA.md");
    for kind in Kind::ALL {
        let heading = format!("\n### `{kind}`\n");
        assert!(docs.contains(&heading), "{heading}");
    }
}
