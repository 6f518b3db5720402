//! From the tree that `cel` parsed to the one that is run: every name and function is known, nothing can grow or loop
//! without bound, and constants have been prepared. The result of a filter is not looked at here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, SelectExpr, SourceInfo, operators,
};
use cel::common::types::{CelList, CelString};
use cel::common::value::Val;

use super::fault::{FilterFault, FilterFaultKind, nearest};
use super::functions::PreparedCall;
use super::lists::{FilterList, FilterLists};
use super::names::NamesUsed;
use super::{constant, facts, literals};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_LIST_FIELDS_MAX, FILTER_LOOPS_MAX, FILTER_NODES_MAX};
use crate::tlp::Tlp;

/// Functions that can be called, `x.f(y)` and `f(x, y)` alike; for hints.
const FUNCTIONS: [&str; 24] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "double",
    "string",
    "has",
    "all",
    "exists",
    "exists_one",
    "filter",
    "field",
    "lower",
    "time",
    "cidr",
    "cidr_in",
    "asn_in",
    "under",
    "under_in",
    "country",
    "classified",
    "tlp_at_most",
];

/// First parts of the names that IntelMQ gives to fields: in a filter they are not objects.
const FLAT: [&str; 9] = [
    "source",
    "destination",
    "classification",
    "feed",
    "malware",
    "protocol",
    "event_description",
    "time",
    "extra",
];

/// The tree to run, and the data that go with it.
pub(super) struct Lowered {
    pub expression: IdedExpr,
    /// Steps of one run, but for the rounds of loops.
    pub steps: u64,
    pub prepared: Vec<(String, PreparedCall)>,
    pub lists: BTreeMap<String, Arc<FilterList>>,
    pub reads_meta: bool,
    pub reads_event: bool,
    /// Keys that it names itself, as failures show them.
    pub keys: BTreeSet<String>,
    pub names: NamesUsed,
}

pub(super) struct Lowering<'a> {
    info: &'a SourceInfo,
    source: &'a str,
    lists: &'a dyn FilterLists,
    nodes: usize,
    /// Names that loops around this place bind.
    bound: Vec<String>,
    prepared: Vec<(String, PreparedCall)>,
    used: BTreeMap<String, Arc<FilterList>>,
    reads_meta: bool,
    reads_event: bool,
    keys: BTreeSet<String>,
    names: NamesUsed,
}

type Lower<T> = Result<T, FilterFault>;

impl<'a> Lowering<'a> {
    pub(crate) fn new(source: &'a str, info: &'a SourceInfo, lists: &'a dyn FilterLists) -> Self {
        Self {
            info,
            source,
            lists,
            nodes: 0,
            bound: Vec::new(),
            prepared: Vec::new(),
            used: BTreeMap::new(),
            reads_meta: false,
            reads_event: false,
            keys: BTreeSet::new(),
            names: NamesUsed::default(),
        }
    }

    pub(crate) fn run(mut self, expression: &IdedExpr) -> Lower<Lowered> {
        if let Some(what) = never_boolean(&expression.expr) {
            return Err(self.fault(expression.id, FilterFaultKind::NotBoolean(what)));
        }
        let (expression, steps) = self.lower(expression, 0)?;
        let Self { prepared, used: lists, reads_meta, reads_event, keys, names, .. } = self;
        Ok(Lowered { expression, steps, prepared, lists, reads_meta, reads_event, keys, names })
    }

    fn fault(&self, id: u64, kind: FilterFaultKind) -> FilterFault {
        let offset = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = self.source.get(..offset).unwrap_or(self.source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        FilterFault { line, column, kind }
    }

    fn lower(&mut self, expr: &IdedExpr, depth: usize) -> Lower<(IdedExpr, u64)> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX {
            return Err(self.fault(expr.id, FilterFaultKind::TooLarge));
        }
        if depth > FILTER_DEPTH_MAX {
            return Err(self.fault(expr.id, FilterFaultKind::TooDeep));
        }
        let refuse = |what, instead| FilterFaultKind::Unsupported { what, instead };
        let (lowered, steps) = match &expr.expr {
            Expr::Literal(LiteralValue::Bytes(_)) => {
                return Err(self.fault(expr.id, refuse("bytes", "write a string, without b before it")));
            }
            Expr::Literal(literal) => {
                if let LiteralValue::String(text) = literal {
                    self.keys.insert(cut(text.inner()));
                }
                (expr.expr.clone(), 0)
            }
            Expr::Ident(name) => (self.ident(expr.id, name)?, 0),
            Expr::Select(select) => self.select(expr.id, select, depth)?,
            Expr::List(list) => self.list(expr.id, list, depth)?,
            Expr::Call(call) => self.call(expr.id, call, depth)?,
            Expr::Comprehension(comprehension) => self.comprehension(expr.id, comprehension, depth)?,
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                return Err(self.fault(expr.id, refuse("a map", "compare the members one by one")));
            }
        };
        Ok((IdedExpr { id: expr.id, expr: lowered }, steps + 1))
    }

    fn ident(&mut self, id: u64, name: &str) -> Lower<Expr> {
        self.reads_meta |= name == "meta";
        self.reads_event |= name == "event";
        if name == "event" || name == "meta" || self.bound.iter().any(|bound| bound == name) {
            return Ok(Expr::Ident(name.to_owned()));
        }
        let known = ["event", "meta"].into_iter().chain(self.bound.iter().map(String::as_str));
        let near = nearest(name, known).map(|near| format!("\"{near}\""));
        let near = if FLAT.contains(&name) { Some(format!("event[\"{name}.…\"]")) } else { near };
        Err(self.fault(id, FilterFaultKind::UnknownName { name: cut(name), near }))
    }

    /// Lowers `meta.tlp` and `has(meta.source)`; of an event only members that can be there.
    fn select(&mut self, id: u64, select: &SelectExpr, depth: usize) -> Lower<(Expr, u64)> {
        if let Some(fault) = self.flat_access(select) {
            return Err(self.fault(id, fault));
        }
        if matches!(&select.operand.expr, Expr::Ident(name) if name == "meta") {
            self.meta_member(id, &select.field)?;
        }
        self.keys.insert(cut(&select.field));
        let (operand, steps) = self.lower(&select.operand, depth + 1)?;
        let (field, test) = (select.field.clone(), select.test);
        Ok((Expr::Select(SelectExpr { operand: Box::new(operand), field, test }), steps))
    }

    fn meta_member(&self, id: u64, name: &str) -> Lower<()> {
        if facts::META.contains(&name) || self.bound.iter().any(|bound| bound == "meta") {
            return Ok(());
        }
        Err(self
            .fault(id, FilterFaultKind::UnknownMeta { name: cut(name), near: nearest(name, facts::META) }))
    }

    /// Finds `event.source.ip` and `source.ip`, which were meant as `event["source.ip"]`.
    fn flat_access(&self, select: &SelectExpr) -> Option<FilterFaultKind> {
        let mut fields = vec![select.field.as_str()];
        let mut operand = &select.operand.expr;
        while let Expr::Select(inner) = operand {
            fields.push(&inner.field);
            operand = &inner.operand.expr;
        }
        let Expr::Ident(root) = operand else { return None };
        let of_event =
            root == "event" && fields.len() > 1 && fields.last().is_some_and(|first| FLAT.contains(first));
        let bare = FLAT.contains(&root.as_str()) && !self.bound.contains(root);
        if !of_event && !bare {
            return None;
        }
        if bare {
            fields.push(root);
        }
        fields.reverse();
        let name = cut(&fields.join("."));
        let written = if bare { name.clone() } else { format!("event.{name}") };
        let instead = if select.test { format!("\"{name}\" in event") } else { format!("event[\"{name}\"]") };
        Some(FilterFaultKind::FieldAccess { written, instead })
    }

    fn list(&mut self, id: u64, list: &ListExpr, depth: usize) -> Lower<(Expr, u64)> {
        let constant = |element: &IdedExpr| matches!(element.expr, Expr::Literal(_));
        if list.elements.iter().filter(|element| !constant(element)).count() > FILTER_LIST_FIELDS_MAX {
            let what = "a list of so many fields";
            return Err(self.fault(id, FilterFaultKind::Unsupported { what, instead: "ask field by field" }));
        }
        let mut steps = 0;
        let mut elements = Vec::with_capacity(list.elements.len());
        for element in &list.elements {
            if matches!(element.expr, Expr::List(_)) {
                let what = "a list in a list";
                return Err(
                    self.fault(element.id, FilterFaultKind::Unsupported { what, instead: "write one list" })
                );
            }
            let (lowered, more) = self.lower(element, depth + 1)?;
            steps += more;
            elements.push(if constant(element) {
                lowered
            } else {
                called(element.id, "@scalar", vec![lowered])
            });
        }
        Ok((Expr::List(ListExpr::new(elements)), steps))
    }

    fn call(&mut self, id: u64, call: &CallExpr, depth: usize) -> Lower<(Expr, u64)> {
        let arguments: Vec<&IdedExpr> =
            call.target.iter().map(|target| &**target).chain(&call.args).collect();
        if let Some((at, kind)) = literals::fault(call) {
            return Err(self.fault(at, kind));
        }
        self.names.collect(call);
        match (call.func_name.as_str(), call.target.is_some()) {
            (operators::ADD, false) => self.plain(id, "@add", call, depth),
            (operators::IN, false) => self.inside(call, depth),
            (operators::EQUALS | operators::NOT_EQUALS, false) => {
                // A list that is written here can only be compared with its own kind; the other way round works.
                let mut swapped = call.clone();
                if matches!(swapped.args.first().map(|first| &first.expr), Some(Expr::List(_))) {
                    swapped.args.reverse();
                }
                self.plain(id, &call.func_name, &swapped, depth)
            }
            (operators::INDEX, false) => {
                if let [of, Expr::Literal(LiteralValue::String(key))] =
                    [&call.args[0].expr, &call.args[1].expr]
                    && matches!(of, Expr::Ident(name) if name == "meta")
                {
                    self.meta_member(call.args[1].id, key.inner())?;
                }
                self.plain(id, operators::INDEX, call, depth)
            }
            (operator, false) if is_operator(operator) => self.plain(id, operator, call, depth),
            ("contains" | "startsWith" | "endsWith", true) => self.plain(id, &call.func_name, call, depth),
            ("size", _) => self.plain(id, "size", call, depth),
            ("int" | "double" | "string", false) => self.plain(id, &call.func_name, call, depth),
            ("lower" | "time", _) => self.fixed(id, call, &arguments, 1, depth),
            ("tlp_at_most", false) => self.tlp_at_most(id, &arguments, depth),
            ("field", _) => self.fixed(id, call, &arguments, 3, depth),
            (name, _) => match constant::prepare(name, &arguments, self.lists, &mut self.used) {
                Some(Ok(prepared)) => self.prepared(id, name, prepared, arguments[0], depth),
                Some(Err((at, kind))) => {
                    Err(self.fault(arguments.get(at).map_or(id, |argument| argument.id), kind))
                }
                None => {
                    let near = nearest(name, FUNCTIONS);
                    Err(self.fault(id, FilterFaultKind::UnknownFunction { name: cut(name), near }))
                }
            },
        }
    }

    /// Lowers a call as it stands, under `name`.
    fn plain(&mut self, _: u64, name: &str, call: &CallExpr, depth: usize) -> Lower<(Expr, u64)> {
        let mut steps = 0;
        let target = match &call.target {
            Some(target) => {
                let (target, more) = self.lower(target, depth + 1)?;
                steps += more;
                Some(Box::new(target))
            }
            None => None,
        };
        let mut args = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            let (argument, more) = self.lower(argument, depth + 1)?;
            steps += more;
            args.push(argument);
        }
        Ok((Expr::Call(CallExpr { func_name: name.to_owned(), target, args }), steps))
    }

    /// Lowers one of ours with a fixed number of arguments, the first of which may stand before the dot.
    fn fixed(
        &mut self,
        id: u64,
        call: &CallExpr,
        arguments: &[&IdedExpr],
        count: usize,
        depth: usize,
    ) -> Lower<(Expr, u64)> {
        if arguments.len() != count {
            let (function, wanted) = match call.func_name.as_str() {
                "field" => ("field", "an event, a key and a default: field(event, \"source.ip\", \"\")"),
                "time" => ("time", "one text: time(event[\"time.source\"])"),
                _ => ("lower", "one text"),
            };
            return Err(self.fault(id, FilterFaultKind::Arguments { function, wanted }));
        }
        let args = arguments.iter().map(|argument| (*argument).clone()).collect();
        let flat = CallExpr { func_name: call.func_name.clone(), target: None, args };
        self.plain(id, &call.func_name, &flat, depth)
    }

    /// Lowers `tlp_at_most`: the label is one of those up to this one.
    fn tlp_at_most(&mut self, id: u64, arguments: &[&IdedExpr], depth: usize) -> Lower<(Expr, u64)> {
        let labels = literals::labels_up_to(arguments)
            .map_err(|kind| self.fault(arguments.first().map_or(id, |argument| argument.id), kind))?;
        let text = |label: Tlp| Box::new(CelString::from(label.as_str().to_owned())) as Box<dyn Val>;
        let labels = CelList::from(labels.into_iter().map(text).collect::<Vec<_>>());
        let operand = Box::new(IdedExpr { id, expr: Expr::Ident("meta".to_owned()) });
        let tlp = Expr::Select(SelectExpr { operand, field: "tlp".to_owned(), test: false });
        self.prepared(id, "in", PreparedCall::In(labels), &IdedExpr { id, expr: tlp }, depth)
    }

    /// Lowers `in`: `value in [constants]` is built once.
    fn inside(&mut self, call: &CallExpr, depth: usize) -> Lower<(Expr, u64)> {
        if let [value, list] = call.args.as_slice()
            && let Some(constants) = constant::list(list)
        {
            self.nodes += 1;
            let (expr, steps) = self.prepared(list.id, "in", PreparedCall::In(constants), value, depth)?;
            // All of it is compared: as expensive as written out.
            let elements = if let Expr::List(list) = &list.expr { list.elements.len() } else { 0 };
            return Ok((expr, steps + elements as u64 / 8));
        }
        self.plain(0, operators::IN, call, depth)
    }

    fn prepared(
        &mut self,
        _: u64,
        name: &str,
        prepared: PreparedCall,
        value: &IdedExpr,
        depth: usize,
    ) -> Lower<(Expr, u64)> {
        // Patterns read a text byte by byte, many times slower than it is compared.
        let dear = if matches!(prepared, PreparedCall::Matches { .. }) { 16 } else { 1 };
        let (value, steps) = self.lower(value, depth + 1)?;
        let name = format!("{name}#{}", self.prepared.len());
        self.prepared.push((name.clone(), prepared));
        Ok((Expr::Call(CallExpr { func_name: name, target: None, args: vec![value] }), steps + dear))
    }

    /// Lowers `all`, `exists`, `exists_one` and `filter`, each round of which is paid for before it runs. In each the
    /// written condition is one argument of the step.
    fn comprehension(&mut self, id: u64, loops: &ComprehensionExpr, depth: usize) -> Lower<(Expr, u64)> {
        let unsupported = |what, instead| FilterFaultKind::Unsupported { what, instead };
        let map = || unsupported("map", "use exists, all, exists_one or filter");
        let Expr::Call(step) = &loops.loop_step.expr else { return Err(self.fault(id, map())) };
        let condition_at = match step.func_name.as_str() {
            operators::LOGICAL_AND | operators::LOGICAL_OR if step.args.len() == 2 => 1,
            operators::CONDITIONAL if step.args.len() == 3 && !maps(loops, &step.args[1]) => 0,
            _ => return Err(self.fault(id, map())),
        };
        if self.bound.len() >= FILTER_LOOPS_MAX {
            return Err(self.fault(id, FilterFaultKind::TooManyLoops));
        }
        if loops.iter_var == "event" || loops.iter_var == "meta" || loops.iter_var2.is_some() {
            return Err(self.fault(id, unsupported("this name of a loop", "give it another name, such as x")));
        }
        let (iter_range, steps) = self.lower(&loops.iter_range, depth + 1)?;
        self.bound.push(loops.iter_var.clone());
        let condition = self.lower(&step.args[condition_at], depth + 1);
        self.bound.pop();
        let (condition, each) = condition?;
        let paid = |then: IdedExpr| {
            let otherwise = IdedExpr { id, expr: Expr::Literal(LiteralValue::Boolean(false.into())) };
            let spend = IdedExpr { id, expr: Expr::Ident(format!("@{}", each + 1)) };
            called(id, operators::CONDITIONAL, vec![spend, then, otherwise])
        };
        let mut lowered = ComprehensionExpr { iter_range, ..loops.clone() };
        let mut step = step.clone();
        if condition_at == 1 {
            lowered.loop_cond = paid(loops.loop_cond.clone());
            step.args[condition_at] = condition;
        } else {
            step.args[condition_at] = paid(condition);
        }
        lowered.loop_step = IdedExpr { id: loops.loop_step.id, expr: Expr::Call(step) };
        Ok((Expr::Comprehension(Box::new(lowered)), steps + 1))
    }
}

/// Returns true if a loop's step appends more than the element itself. (`filter` appends it, `exists_one` counts.)
fn maps(loops: &ComprehensionExpr, step: &IdedExpr) -> bool {
    let Expr::Call(CallExpr { args, .. }) = &step.expr else { return true };
    match args.get(1).map(|appended| &appended.expr) {
        Some(Expr::List(list)) => {
            !matches!(list.elements.as_slice(), [one] if matches!(&one.expr, Expr::Ident(name) if *name == loops.iter_var))
        }
        Some(Expr::Literal(_)) => false,
        _ => true,
    }
}

fn called(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn is_operator(name: &str) -> bool {
    use operators::*;
    let operators = [
        CONDITIONAL,
        LOGICAL_AND,
        LOGICAL_OR,
        LOGICAL_NOT,
        SUBSTRACT,
        MULTIPLY,
        DIVIDE,
        MODULO,
        GREATER_EQUALS,
        LESS_EQUALS,
        GREATER,
        LESS,
        NEGATE,
    ];
    operators.contains(&name)
}

/// Names the kind of an expression that is never boolean, for any event; `None` if it may be boolean.
fn never_boolean(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::String(_)) => Some("a string"),
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::Literal(LiteralValue::Bytes(_)) => None,
        Expr::Literal(_) => Some("a number"),
        Expr::List(_) => Some("a list"),
        Expr::Ident(name) if name == "event" || name == "meta" => Some("a map"),
        Expr::Select(select)
            if !select.test && matches!(&select.operand.expr, Expr::Ident(name) if name == "meta") =>
        {
            match select.field.as_str() {
                "sealed" => None,
                "path" | "to" | "links" => Some("a list"),
                "ext" => Some("a map"),
                name if facts::META.contains(&name) => Some("a string"),
                _ => None,
            }
        }
        Expr::Call(call) => match call.func_name.as_str() {
            operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | "size"
            | "int"
            | "double"
            | "time" => Some("a number"),
            operators::ADD => Some("a sum"),
            "string" | "lower" => Some("a string"),
            _ => None,
        },
        Expr::Comprehension(loops) if matches!(loops.accu_init.expr, Expr::List(_)) => Some("a list"),
        _ => None,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
