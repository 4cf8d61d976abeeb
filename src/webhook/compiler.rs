//! Compiles the texts of a type and collects what is wrong with them, each with its place.

use crate::api::{FieldPath, ObjectReference, Problem};
use crate::configuration::WebhookFields;
use crate::expression::{
    CompileError, Expression, Path, Position, References, Scope, Template, TreeTemplate,
    check_literal,
};

/// Collects problems while a type is compiled.
///
/// Each method gives `None` after adding a problem; whoever gets one goes on with the next field,
/// so that all problems are found at once.
pub struct Compiler {
    object: ObjectReference,
    problems: Vec<Problem>,
    fields: WebhookFields,
    /// Whether what is compiled runs in the gateway, which knows named fields of customers only.
    in_gateway: bool,
}

impl Compiler {
    /// Nothing is wrong yet with `object`.
    pub fn new(object: ObjectReference) -> Self {
        Self {
            object,
            problems: Vec::new(),
            fields: WebhookFields::default(),
            in_gateway: true,
        }
    }

    /// The same for what never runs in a gateway, so that all fields of customers may be read.
    pub fn of_requests(object: ObjectReference) -> Self {
        Self {
            in_gateway: false,
            ..Self::new(object)
        }
    }

    /// Everything found, errors and warnings, and the fields of customers that are read.
    pub fn into_found(self) -> (Vec<Problem>, WebhookFields) {
        (self.problems, self.fields)
    }

    /// A customer's field is a key.
    pub fn reads_key(&mut self, field: &str) {
        self.fields.keys.insert(field.to_owned());
    }

    /// An expression.
    pub fn expression(
        &mut self,
        path: &FieldPath,
        source: &str,
        scope: &Scope,
    ) -> Option<Expression> {
        let compiled = self.found(path, Expression::compile(source, scope))?;
        self.reads(path, compiled.references());
        Some(compiled)
    }

    /// An expression that may be absent.
    pub fn optional(
        &mut self,
        path: &FieldPath,
        source: Option<&crate::api::Expression>,
        scope: &Scope,
    ) -> Option<Expression> {
        source.and_then(|source| self.expression(path, source, scope))
    }

    /// A template.
    pub fn template(
        &mut self,
        path: &FieldPath,
        source: &str,
        scope: &Scope,
        position: Position,
    ) -> Option<Template> {
        let compiled = self.found(path, Template::compile(source, scope, position))?;
        self.reads(path, compiled.references());
        Some(compiled)
    }

    /// A JSON tree of templates.
    pub fn tree(
        &mut self,
        path: &FieldPath,
        tree: &serde_json::Value,
        scope: &Scope,
    ) -> Option<TreeTemplate> {
        let compiled = self.found(path, TreeTemplate::compile(tree, scope))?;
        self.reads(path, compiled.references());
        Some(compiled)
    }

    /// A path of `events.from`.
    pub fn path(&mut self, path: &FieldPath, source: &str) -> Option<Path> {
        self.found(path, Path::parse(source))
    }

    /// A text that is taken as it is.
    pub fn literal(&mut self, path: &FieldPath, text: &str) {
        self.found(path, check_literal(text));
    }

    fn found<T>(&mut self, path: &FieldPath, result: Result<T, CompileError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let path = below(path, &error.pointer);
                let problem = Problem::error(&self.object, path, error.message);
                self.problems.push(problem.at(error.range.start));
                None
            }
        }
    }

    /// Notes which of a customer's fields something reads: no others come to the gateway.
    fn reads(&mut self, path: &FieldPath, references: &References) {
        if !self.in_gateway {
            return;
        }
        for named in references.paths() {
            let mut names = named.iter().map(AsRef::as_ref);
            if names.next() != Some("customer") {
                continue;
            }
            match (names.next(), names.next()) {
                (Some("fields"), Some(field)) => {
                    self.fields.shown.insert(field.to_owned());
                }
                (Some("fields") | None, _) => self.error(
                    path,
                    "name each field that is read, as customer.fields.<name>: the gateway knows no others",
                ),
                (Some(_), _) => {}
            }
        }
    }

    /// An error at a field.
    pub fn error(&mut self, path: &FieldPath, message: impl Into<String>) {
        let problem = Problem::error(&self.object, path.clone(), message);
        self.problems.push(problem);
    }

    /// Something that works, but probably not as it is meant.
    pub fn warning(&mut self, path: &FieldPath, message: impl Into<String>) {
        let problem = Problem::warning(&self.object, path.clone(), message);
        self.problems.push(problem);
    }
}

/// The field that a JSON pointer leads to.
fn below(path: &FieldPath, pointer: &str) -> FieldPath {
    pointer
        .split('/')
        .skip(1)
        .fold(path.clone(), |path, name| match name.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.field(&name.replace("~1", "/").replace("~0", "~")),
        })
}
