//! Names of IntelMQ that stand in a filter: fields of an event, and words of its classification. If one is misspelt,
//! the filter is still valid, since anybody may add fields; `check` compares them and warns.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, operators};

use super::literals::texts;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesUsed {
    /// Keys of `event`.
    pub fields: BTreeSet<String>,
    /// Words that `classification.type` and `classification.taxonomy` are compared with.
    pub classifications: BTreeSet<String>,
}

impl NamesUsed {
    pub(super) fn collect(&mut self, call: &CallExpr) {
        let arguments: Vec<&IdedExpr> =
            call.target.iter().map(|target| &**target).chain(&call.args).collect();
        match (call.func_name.as_str(), arguments.as_slice()) {
            (operators::INDEX, [of, key]) | ("field", [of, key, _]) if is_event(of) => self.field(key),
            (operators::IN, [key, of]) if is_event(of) => self.field(key),
            (operators::IN, [value, words]) if is_classification(value) => self.words(words),
            (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => {
                if is_classification(one) {
                    self.words(other);
                } else if is_classification(other) {
                    self.words(one);
                }
            }
            ("classified", [_, words]) => self.words(words),
            _ => {}
        }
    }

    fn field(&mut self, key: &IdedExpr) {
        if let [(_, name)] = texts(key).as_slice() {
            self.fields.insert((*name).to_owned());
        }
    }

    fn words(&mut self, words: &IdedExpr) {
        self.classifications.extend(texts(words).into_iter().map(|(_, word)| word.to_ascii_lowercase()));
    }
}

fn is_event(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name == "event")
}

/// Returns true for `event["classification.type"]`, or the same with a default.
fn is_classification(expr: &IdedExpr) -> bool {
    let Expr::Call(call) = &expr.expr else { return false };
    let mut read = NamesUsed::default();
    read.collect(call);
    read.fields.iter().any(|field| field == "classification.type" || field == "classification.taxonomy")
}
