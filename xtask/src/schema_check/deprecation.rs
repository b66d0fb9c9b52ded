//! What `@deprecated` says.

use apollo_compiler::ast::DirectiveList;

/// That something of this name is deprecated, where it is.
pub(super) fn sentence(directives: &DirectiveList, name: &str) -> Option<String> {
    let directive = directives.get("deprecated")?;
    let reason = directive.specified_argument_by_name("reason");
    Some(match reason.and_then(|reason| reason.as_str()) {
        // A reason may have several lines; the sentence has one.
        Some(reason) => format!(
            "{name} is deprecated in Railway's schema: {:?}.",
            reason.split_whitespace().collect::<Vec<_>>().join(" ")
        ),
        None => format!("{name} is deprecated in Railway's schema, which does not say why."),
    })
}
