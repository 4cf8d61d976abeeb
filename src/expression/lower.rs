//! From the parser's tree to ours: names checked against the scope, functions
//! resolved, macros recognised, patterns compiled, and what the expression
//! touches written down.

mod comprehensions;

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};

use super::error::CompileError;
use super::functions::{BUILT_IN, NAMESPACES, SIGNATURES, Style};
use super::node::{Get, GetPath, Node, Operator};
use super::parse::place;
use super::pattern::Pattern;
use super::references::References;
use super::scope::Scope;
use super::suggestion::did_you_mean;
use super::value::{Constant, Kind};

/// Nodes inside one another, which bounds the evaluator's recursion.
const MAX_DEPTH: u32 = 160;

/// What compiling an expression yields.
pub(super) struct Lowered {
    pub(super) root: Node,
    pub(super) references: References,
    pub(super) sensitive: bool,
}

pub(super) fn lower(source: &str, tree: &IdedExpr, scope: &Scope) -> Result<Lowered, CompileError> {
    let mut lowering = Lowering {
        source,
        scope,
        element: None,
        depth: 0,
        references: References::default(),
        sensitive: false,
    };
    let root = lowering.node(tree)?;
    let Lowering {
        references,
        sensitive,
        ..
    } = lowering;
    Ok(Lowered {
        root,
        references,
        sensitive,
    })
}

/// The argument of `path(…)`, where that is the whole expression.
pub(super) fn path_argument(tree: &IdedExpr) -> Option<&IdedExpr> {
    match &tree.expr {
        Expr::Call(CallExpr {
            func_name,
            target: None,
            args,
        }) if func_name == "path" => match args.as_slice() {
            [argument] => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

struct Lowering<'s> {
    source: &'s str,
    scope: &'s Scope,
    /// The variable of the comprehension whose body is being compiled.
    element: Option<&'s str>,
    depth: u32,
    references: References,
    sensitive: bool,
}

type Lowers<T> = Result<T, CompileError>;

impl<'s> Lowering<'s> {
    fn error<T>(&self, id: u64, message: impl Into<String>) -> Lowers<T> {
        Err(CompileError::new(message, place(self.source, id)))
    }

    fn node(&mut self, tree: &'s IdedExpr) -> Lowers<Node> {
        if self.depth >= MAX_DEPTH {
            return self.error(tree.id, "the expression is nested too deeply");
        }
        self.depth += 1;
        let node = match &tree.expr {
            Expr::Literal(literal) => Ok(Node::Constant(constant(literal))),
            Expr::Ident(_) | Expr::Select(_) => self.chain(tree, &[]),
            Expr::Call(call) if is_literal_index(call) => self.chain(tree, &[]),
            Expr::Call(call) => self.call(tree.id, call),
            Expr::Comprehension(comprehension) => self.comprehension(tree.id, comprehension),
            Expr::List(list) => self.list(&list.elements),
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(pair) = &entry.expr else {
                        return self.error(entry.id, "a map needs `key: value`");
                    };
                    entries.push([self.node(&pair.key)?, self.node(&pair.value)?]);
                }
                Ok(Node::Map(entries.into()))
            }
            Expr::Struct(object) => self.error(
                tree.id,
                format!("there is no message type `{}`", object.type_name),
            ),
            Expr::Unspecified => self.error(tree.id, "the expression is incomplete"),
        };
        self.depth -= 1;
        node
    }

    /// A name with what is selected from it: `request.headers["x"]`. `more` is
    /// what `get` will select after that, checked but not part of the node.
    fn chain(&mut self, tree: &'s IdedExpr, more: &[Arc<str>]) -> Lowers<Node> {
        let mut steps = Vec::new();
        let mut base = tree;
        while let Some((operand, field, test)) = selection(base) {
            steps.push((base.id, field, test));
            base = operand;
        }
        steps.reverse();

        let mut node = match &base.expr {
            Expr::Ident(name) if self.element == Some(name.as_str()) => Node::Element,
            Expr::Ident(name) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                if let Some(kind) = type_name(name)
                    && steps.is_empty()
                    && !self.scope.has(name)
                {
                    return Ok(Node::Constant(Constant::Type(kind)));
                }
                let name: Arc<str> = name.into();
                let path: Vec<Arc<str>> = std::iter::once(name.clone())
                    .chain(steps.iter().map(|(_, field, _)| Arc::from(*field)))
                    .chain(more.iter().cloned())
                    .collect();
                self.reference(path, base.id, tree.id, &steps)?;
                Node::Variable(name)
            }
            _ => self.node(base)?,
        };
        for (_, field, test) in steps {
            let (operand, field) = (Box::new(node), Arc::from(field));
            node = if test {
                Node::Has(operand, field)
            } else {
                Node::Select(operand, field)
            };
        }
        Ok(node)
    }

    fn reference(
        &mut self,
        path: Vec<Arc<str>>,
        base: u64,
        whole: u64,
        steps: &[(u64, &str, bool)],
    ) -> Lowers<()> {
        match self.scope.resolve(&path) {
            Ok(sensitive) => {
                if sensitive && !self.scope.sensitive_allowed() {
                    let message =
                        format!("`{}` is sensitive and cannot be used here", path.join("."));
                    return self.error(whole, message);
                }
                self.sensitive |= sensitive;
                self.references.add(path);
                Ok(())
            }
            Err(unresolved) => {
                let id = match unresolved.index {
                    0 => base,
                    index => steps.get(index - 1).map_or(whole, |(id, ..)| *id),
                };
                self.error(id, unresolved.message)
            }
        }
    }

    fn list(&mut self, elements: &'s [IdedExpr]) -> Lowers<Node> {
        let nodes = elements
            .iter()
            .map(|element| self.node(element))
            .collect::<Lowers<Vec<Node>>>()?;
        if !nodes.iter().all(|node| matches!(node, Node::Constant(_))) {
            return Ok(Node::List(nodes.into()));
        }
        let constants = nodes.into_iter().filter_map(|node| match node {
            Node::Constant(constant) => Some(constant),
            _ => None,
        });
        Ok(Node::Constant(Constant::List(constants.collect())))
    }

    fn pair(&mut self, arguments: &'s [IdedExpr]) -> Lowers<Box<[Node; 2]>> {
        Ok(Box::new([
            self.node(&arguments[0])?,
            self.node(&arguments[1])?,
        ]))
    }

    fn call(&mut self, id: u64, call: &'s CallExpr) -> Lowers<Node> {
        let arguments = call.args.as_slice();
        let operator = match (call.func_name.as_str(), arguments.len(), &call.target) {
            (operators::LOGICAL_AND, 2, None) => return Ok(Node::And(self.pair(arguments)?)),
            (operators::LOGICAL_OR, 2, None) => return Ok(Node::Or(self.pair(arguments)?)),
            (operators::LOGICAL_NOT, 1, None) => {
                return Ok(Node::Not(Box::new(self.node(&arguments[0])?)));
            }
            (operators::NEGATE, 1, None) => {
                return Ok(Node::Negate(Box::new(self.node(&arguments[0])?)));
            }
            (operators::INDEX, 2, None) => return Ok(Node::Index(self.pair(arguments)?)),
            (operators::CONDITIONAL, 3, None) => {
                let nodes = [
                    self.node(&arguments[0])?,
                    self.node(&arguments[1])?,
                    self.node(&arguments[2])?,
                ];
                return Ok(Node::Conditional(Box::new(nodes)));
            }
            (operators::ADD, 2, None) => Operator::Add,
            (operators::SUBSTRACT, 2, None) => Operator::Subtract,
            (operators::MULTIPLY, 2, None) => Operator::Multiply,
            (operators::DIVIDE, 2, None) => Operator::Divide,
            (operators::MODULO, 2, None) => Operator::Remainder,
            (operators::EQUALS, 2, None) => Operator::Equal,
            (operators::NOT_EQUALS, 2, None) => Operator::NotEqual,
            (operators::LESS, 2, None) => Operator::Less,
            (operators::LESS_EQUALS, 2, None) => Operator::LessOrEqual,
            (operators::GREATER, 2, None) => Operator::Greater,
            (operators::GREATER_EQUALS, 2, None) => Operator::GreaterOrEqual,
            (operators::IN, 2, None) => Operator::In,
            _ => return self.function(id, call),
        };
        Ok(Node::Binary(operator, self.pair(arguments)?))
    }

    fn function(&mut self, id: u64, call: &'s CallExpr) -> Lowers<Node> {
        let mut target = call.target.as_deref();
        let mut name = call
            .func_name
            .strip_prefix('.')
            .unwrap_or(&call.func_name)
            .to_owned();
        if let Some(Expr::Ident(namespace)) = target.map(|target| &target.expr)
            && NAMESPACES.contains(&namespace.as_str())
            && self.element != Some(namespace)
            && !self.scope.has(namespace)
        {
            name = format!("{namespace}.{name}");
            target = None;
        }
        if let Some(reason) = self.scope.forbidden_function(&name) {
            return self.error(id, reason);
        }
        let arguments: Vec<&'s IdedExpr> = target.into_iter().chain(&call.args).collect();
        match (name.as_str(), target.is_some()) {
            ("matches", _) => return self.matches(id, &arguments),
            ("get", false) => return self.get(id, &arguments),
            ("sortBy", true) => return self.sort_by(id, &arguments),
            ("path", false) => {
                return self.error(
                    id,
                    "`path(…)` stands alone in a placeholder, in the path of a URL",
                );
            }
            _ => {}
        }

        let fits = |style: Style| match style {
            Style::Either => true,
            Style::Member => target.is_some(),
            Style::Global => target.is_none(),
        };
        let Some(signature) = SIGNATURES
            .iter()
            .find(|signature| signature.name == name && fits(signature.style))
        else {
            return self.unknown_function(id, &name, target.is_some());
        };
        let (least, most) = signature.arguments;
        if arguments.len() < least || arguments.len() > most {
            return self.error(
                id,
                wrong_count(&name, least, most, usize::from(target.is_some())),
            );
        }
        let function = signature.function;
        let nodes = arguments
            .iter()
            .map(|argument| self.node(argument))
            .collect::<Lowers<Vec<Node>>>()?;
        if function.is_variadic() && nodes.len() > 1 {
            return Ok(Node::Call(function, [Node::List(nodes.into())].into()));
        }
        Ok(Node::Call(function, nodes.into()))
    }

    fn unknown_function<T>(&self, id: u64, name: &str, member: bool) -> Lowers<T> {
        if let Some(signature) = SIGNATURES.iter().find(|signature| signature.name == name) {
            let message = match signature.style {
                Style::Member => format!("write `x.{name}(…)`, not `{name}(x, …)`"),
                _ => format!("write `{name}(x, …)`, not `x.{name}(…)`"),
            };
            return self.error(id, message);
        }
        let names = SIGNATURES
            .iter()
            .filter(|signature| (signature.style == Style::Global) != member)
            .map(|signature| signature.name)
            .chain(BUILT_IN.iter().copied());
        self.error(
            id,
            format!("unknown function `{name}`{}", did_you_mean(name, names)),
        )
    }

    fn matches(&mut self, id: u64, arguments: &[&'s IdedExpr]) -> Lowers<Node> {
        let [text, pattern] = arguments else {
            return self.error(id, "`matches` takes a text and a pattern");
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.error(
                pattern.id,
                "the pattern of `matches` has to be a literal text",
            );
        };
        match Pattern::compile(literal) {
            Ok(compiled) => Ok(Node::Matches(Box::new((self.node(text)?, compiled)))),
            Err(message) => self.error(pattern.id, message),
        }
    }

    fn get(&mut self, id: u64, arguments: &[&'s IdedExpr]) -> Lowers<Node> {
        let [value, path, default] = arguments else {
            return self.error(
                id,
                "`get` takes a value, a path such as \"a.b.c\", and a default",
            );
        };
        let (value, path) = match &path.expr {
            Expr::Literal(LiteralValue::String(literal)) => {
                let segments: Box<[Arc<str>]> = literal.split('.').map(Arc::from).collect();
                if segments.iter().any(|segment| segment.is_empty()) {
                    return self.error(path.id, "a path is names with one dot between them");
                }
                let is_chain = matches!(value.expr, Expr::Ident(_)) || selection(value).is_some();
                let node = if is_chain {
                    self.chain(value, &segments)?
                } else {
                    self.node(value)?
                };
                (node, GetPath::Literal(segments))
            }
            _ => (self.node(value)?, GetPath::Computed(self.node(path)?)),
        };
        Ok(Node::Get(Box::new(Get {
            value,
            path,
            default: self.node(default)?,
        })))
    }
}

/// One step of a chain: what is selected from, the name, and whether it is only tested for.
fn selection(tree: &IdedExpr) -> Option<(&IdedExpr, &str, bool)> {
    match &tree.expr {
        Expr::Select(select) => Some((&select.operand, &select.field, select.test)),
        Expr::Call(call) if is_literal_index(call) => match (&call.args[0], &call.args[1].expr) {
            (operand, Expr::Literal(LiteralValue::String(key))) => {
                Some((operand, key.inner(), false))
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_literal_index(call: &CallExpr) -> bool {
    call.func_name == operators::INDEX
        && call.target.is_none()
        && matches!(call.args.as_slice(), [_, key] if matches!(key.expr, Expr::Literal(LiteralValue::String(_))))
}

fn constant(literal: &LiteralValue) -> Constant {
    match literal {
        LiteralValue::Boolean(value) => Constant::Bool(*value.inner()),
        LiteralValue::Bytes(value) => Constant::Bytes(value.inner().into()),
        LiteralValue::Double(value) => Constant::Double(*value.inner()),
        LiteralValue::Int(value) => Constant::Int(*value.inner()),
        LiteralValue::Null => Constant::Null,
        LiteralValue::String(value) => Constant::Text(value.inner().into()),
        LiteralValue::UInt(value) => Constant::Uint(*value.inner()),
    }
}

fn type_name(name: &str) -> Option<Kind> {
    Some(match name {
        "null_type" => Kind::Null,
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "uint" => Kind::Uint,
        "double" => Kind::Double,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "list" => Kind::List,
        "map" => Kind::Map,
        "type" => Kind::Type,
        _ => return None,
    })
}

fn wrong_count(name: &str, least: usize, most: usize, target: usize) -> String {
    let (least, most) = (least - target, most.saturating_sub(target));
    let count = match (least, most) {
        (0, 0) => "no argument".to_owned(),
        (1, 1) => "one argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) if most > super::functions::MAX_ARGUMENTS => {
            format!("at least {least} arguments")
        }
        (least, most) => format!("{least} to {most} arguments"),
    };
    format!("`{name}` takes {count}")
}

/// Whether a call of this function has room for its arguments in the evaluator.
const _: () = {
    let mut index = 0;
    while index < SIGNATURES.len() {
        let signature = &SIGNATURES[index];
        assert!(
            signature.arguments.1 <= super::functions::MAX_ARGUMENTS
                || signature.function.is_variadic()
        );
        index += 1;
    }
};
