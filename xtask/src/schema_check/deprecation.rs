//! What `@deprecated` says.

use apollo_compiler::ast::DirectiveList;

/// Something is deprecated, for this reason where one is given.
pub(super) struct Deprecation<'a> {
    reason: Option<&'a str>,
}

pub(super) fn of(directives: &DirectiveList) -> Option<Deprecation<'_>> {
    let directive = directives.get("deprecated")?;
    let reason = directive.specified_argument_by_name("reason");
    Some(Deprecation {
        reason: reason.and_then(|reason| reason.as_str()),
    })
}

impl Deprecation<'_> {
    pub(super) fn sentence(&self, name: &str) -> String {
        match self.reason {
            // A reason may have several lines; the sentence has one.
            Some(reason) => format!(
                "{name} is deprecated in Railway's schema: {:?}.",
                reason.split_whitespace().collect::<Vec<_>>().join(" ")
            ),
            None => format!("{name} is deprecated in Railway's schema, which does not say why."),
        }
    }
}
