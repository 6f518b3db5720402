//! Finds literals that can mean nothing in their place: a label in another spelling, a time that is not valid. Such a
//! filter would quietly be false, or worse, order labels by their letters. Other modules decide what can be a literal.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::fault::FilterFaultKind;
use crate::time::Timestamp;
use crate::tlp::Tlp;

const LABEL: &str = "label: write \"CLEAR\", \"GREEN\", \"AMBER\", \"AMBER+STRICT\" or \"RED\"";
const TIME: &str = "time: write \"2026-01-01T00:00:00Z\"";

/// Returns the part of `call` to blame, and its fault.
pub(super) fn fault(call: &CallExpr) -> Option<(u64, FilterFaultKind)> {
    match call.func_name.as_str() {
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
            let (what, instead) = ("an order of labels", "write tlp_at_most(\"GREEN\"), or ! before it");
            let tlp = call.args.iter().find(is_tlp)?;
            Some((tlp.id, FilterFaultKind::Unsupported { what, instead }))
        }
        operators::EQUALS | operators::NOT_EQUALS | operators::IN => {
            call.args.iter().find(is_tlp)?;
            let is_label = |text: &str| Tlp::ALL.iter().any(|label| label.as_str() == text);
            let (id, value) = call.args.iter().flat_map(texts).find(|(_, text)| !is_label(text))?;
            Some((id, FilterFaultKind::Constant { function: "meta.tlp", value: cut(value), wanted: LABEL }))
        }
        "time" => {
            let mut given = call.target.iter().map(|target| &**target).chain(&call.args).flat_map(texts);
            let (id, value) = given.find(|(_, text)| Timestamp::parse_rfc3339(text).is_none())?;
            Some((id, FilterFaultKind::Constant { function: "time", value: cut(value), wanted: TIME }))
        }
        _ => None,
    }
}

/// Returns true for `meta.tlp` or `meta["tlp"]`.
fn is_tlp(expr: &&IdedExpr) -> bool {
    let is_meta = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if name == "meta");
    match &expr.expr {
        Expr::Select(select) => select.field == "tlp" && !select.test && is_meta(&select.operand),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [of, key]) => is_meta(of) && texts(key).iter().any(|(_, key)| *key == "tlp"),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the labels up to the one that `tlp_at_most` is called with.
pub(super) fn labels_up_to(arguments: &[&IdedExpr]) -> Result<Vec<Tlp>, FilterFaultKind> {
    let given: Vec<(u64, &str)> = arguments.iter().flat_map(|argument| texts(argument)).collect();
    let ([_], [(_, text)]) = (arguments, given.as_slice()) else {
        let (function, wanted) = ("tlp_at_most", "one label: tlp_at_most(\"GREEN\")");
        return Err(FilterFaultKind::Arguments { function, wanted });
    };
    let most = Tlp::ALL.into_iter().find(|label| label.as_str() == *text).ok_or_else(|| {
        FilterFaultKind::Constant { function: "tlp_at_most", value: cut(text), wanted: LABEL }
    })?;
    Ok(Tlp::ALL.into_iter().filter(|label| *label <= most).collect())
}

/// Returns the texts that are written in `expr`: itself, or the elements of a list.
pub(super) fn texts(expr: &IdedExpr) -> Vec<(u64, &str)> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => vec![(expr.id, text.inner())],
        Expr::List(list) => list.elements.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
