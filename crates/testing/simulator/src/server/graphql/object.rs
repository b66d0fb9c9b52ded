//! One object of an answer: JSON, and a look into the world for each field that is not in it.

use std::borrow::Cow;

use apollo_compiler::ast::Type;
use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use serde_json::Value;

use super::context::{Arguments, Context, Found, Parent};
use super::{mutation, query};

pub(super) struct Object<'a> {
    ty: &'a str,
    fields: Cow<'a, Value>,
    context: &'a Context<'a>,
}

impl<'a> Object<'a> {
    /// Where a request begins.
    pub(super) fn root(ty: &'a str, context: &'a Context<'a>) -> Self {
        Self {
            ty,
            fields: Cow::Owned(Value::Null),
            context,
        }
    }

    fn look_up(&self, field: &str, arguments: &Arguments) -> Found {
        let context = self.context;
        match self.ty {
            "Query" => context.world(|world, scope| query::answer(world, scope, field, arguments)),
            "Mutation" if field == "serviceDomainCreate" => {
                mutation::create_domain(context, &arguments.input())
            }
            "Mutation" => {
                context.world(|world, scope| mutation::answer(world, scope, field, arguments))
            }
            ty => {
                let fields = &*self.fields;
                let parent = Parent { ty, fields };
                context.world(|world, scope| query::follow(world, scope, parent, field, arguments))
            }
        }
    }
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        self.ty
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let field = info.field_name();
        let found = if let Some(value) = self.fields.get(field) {
            Cow::Borrowed(value)
        } else {
            let found = self.look_up(field, &Arguments::of(info));
            let found = found.map_err(|refusal| FieldError {
                message: refusal.to_string(),
            })?;
            Cow::Owned(found.ok_or_else(|| self.unknown_field_error(info))?)
        };
        Ok(resolved(found, &info.field_definition().ty, self.context))
    }
}

/// What the schema calls an object gets its fields one by one, a list its items; all else is given as
/// it is.
fn resolved<'a>(
    value: Cow<'a, Value>,
    ty: &'a Type,
    context: &'a Context<'a>,
) -> ResolvedValue<'a> {
    if ty.is_list() {
        let item = ty.item_type();
        match value {
            Cow::Borrowed(Value::Array(items)) => ResolvedValue::list(
                (items.iter()).map(move |it| resolved(Cow::Borrowed(it), item, context)),
            ),
            Cow::Owned(Value::Array(items)) => ResolvedValue::list(
                (items.into_iter()).map(move |it| resolved(Cow::Owned(it), item, context)),
            ),
            other => ResolvedValue::leaf(other.into_owned()),
        }
    } else if value.is_null() || context.schema.get_object(ty.inner_named_type()).is_none() {
        ResolvedValue::leaf(value.into_owned())
    } else {
        ResolvedValue::object(Object {
            ty: ty.inner_named_type(),
            fields: value,
            context,
        })
    }
}
