//! The macros that go through lists, as the parser expands them, and `sortBy`,
//! which it does not know.

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue, operators};

use super::{Lowering, Lowers};
use crate::expression::node::{Comprehension, ComprehensionKind, Node};

impl<'s> Lowering<'s> {
    pub(super) fn sort_by(&mut self, id: u64, arguments: &[&'s IdedExpr]) -> Lowers<Node> {
        let [range, variable, body] = arguments else {
            return self.error(id, "`sortBy` takes a variable and an expression");
        };
        let Expr::Ident(variable) = &variable.expr else {
            return self.error(variable.id, "argument must be a simple name");
        };
        self.comprehend(id, ComprehensionKind::SortBy, range, variable, body, None)
    }

    /// What the parser made of `all`, `exists`, `exists_one`, `map` and `filter`.
    pub(super) fn comprehension(&mut self, id: u64, tree: &'s ComprehensionExpr) -> Lowers<Node> {
        let (range, variable) = (&tree.iter_range, tree.iter_var.as_str());
        let Expr::Call(step) = &tree.loop_step.expr else {
            return self.error(id, "unknown kind of comprehension");
        };
        let (kind, body, filter) = match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_AND, [_, body]) => (ComprehensionKind::All, body, None),
            (operators::LOGICAL_OR, [_, body]) => (ComprehensionKind::Exists, body, None),
            (operators::CONDITIONAL, [body, ..])
                if matches!(tree.accu_init.expr, Expr::Literal(LiteralValue::Int(_))) =>
            {
                (ComprehensionKind::ExistsOne, body, None)
            }
            (operators::CONDITIONAL, [filter, added, _]) => match added_element(added) {
                Some(body) if matches!(&body.expr, Expr::Ident(name) if name == variable) => {
                    (ComprehensionKind::Filter, filter, None)
                }
                Some(body) => (ComprehensionKind::Map, body, Some(filter)),
                None => return self.error(id, "unknown kind of comprehension"),
            },
            _ => match added_element(&tree.loop_step) {
                Some(body) => (ComprehensionKind::Map, body, None),
                None => return self.error(id, "unknown kind of comprehension"),
            },
        };
        self.comprehend(id, kind, range, variable, body, filter)
    }

    fn comprehend(
        &mut self,
        id: u64,
        kind: ComprehensionKind,
        range: &'s IdedExpr,
        variable: &'s str,
        body: &'s IdedExpr,
        filter: Option<&'s IdedExpr>,
    ) -> Lowers<Node> {
        if self.element.is_some() {
            return self.error(
                id,
                "no `map`, `filter`, `all`, `exists` or `sortBy` inside another's body; put them one after the other",
            );
        }
        let range = self.node(range)?;
        self.element = Some(variable);
        let filter = filter.map(|filter| self.node(filter)).transpose()?;
        let body = self.node(body)?;
        self.element = None;
        Ok(Node::Comprehension(Box::new(Comprehension {
            kind,
            range,
            body,
            filter,
        })))
    }
}

/// The `x` of `accumulator + [x]`.
fn added_element(tree: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(call) = &tree.expr else {
        return None;
    };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::ADD, [_, added]) => match &added.expr {
            Expr::List(list) => list.elements.first(),
            _ => None,
        },
        _ => None,
    }
}
