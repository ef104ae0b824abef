//! Finds misspelt words before they can matter: a walk over the whole script, branches that no test reaches included.
//!
//! A property, method or function must be in the [`vocabulary`], in the script's own functions, in a
//! library, or be a key of a map that the script or the configuration makes. Types are not known here, so a word is good
//! if anything has it; for `member` and `group` themselves it must be theirs.

use super::{
    template::Templates,
    vocabulary::{self, FORBIDDEN, Kind, Owner, VALUE_CALLS, VALUE_PROPERTIES, Word},
};
use crate::event::Hook;
use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, Position, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// Words that are known besides the language's own.
pub(super) struct Words<'a> {
    /// Libraries with their functions and numbers of parameters.
    pub(super) libraries: &'a BTreeMap<String, Vec<(String, usize)>>,
    /// Keys of the configured parameters.
    pub(super) params: &'a BTreeSet<String>,
    /// The texts.
    pub(super) templates: &'a Templates,
}

/// What the walk found.
#[derive(Default)]
pub(super) struct Findings {
    /// Mistakes with their places.
    pub(super) mistakes: Vec<(Position, String)>,
    /// Templates named by the script.
    pub(super) templates: BTreeSet<String>,
    /// It also names templates by computed names: all count.
    pub(super) any_template: bool,
}

/// Every key of a JSON map, nested ones included.
pub(super) fn keys_of(map: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in map {
        keys.push(key.clone());
        if let Some(inner) = value.as_object() {
            keys.extend(keys_of(inner));
        }
    }
    keys
}

/// The hooks that a script defines, with the place where each begins.
pub(super) fn hooks(ast: &AST) -> BTreeMap<&'static str, Position> {
    ast.iter_fn_def()
        .filter_map(|function| {
            let hook = Hook::from_function(&function.name)?;
            let called = function.params.len() == hook.parameters().len();
            called.then(|| (hook.function(), function.body.start_position()))
        })
        .collect()
}

/// Facts of which nobody may know the value.
const UNCERTAIN: [&str; 6] =
    ["phone", "country", "blacklist", "is_blacklisted", "is_allowlisted", "subscription"];

/// What `check` should say of a good policy: it defines no hook, or it judges joins by uncertain facts and is never
/// asked again because it has no `on_sweep`.
pub(super) fn warning(name: &str, ast: &AST, hooks: &BTreeMap<&'static str, Position>) -> Option<String> {
    if hooks.is_empty() {
        return Some(format!(
            "policies/{name}.rhai defines no hook like on_join(member, group): it does nothing"
        ));
    }
    if !hooks.contains_key(Hook::OnJoin.function()) || hooks.contains_key(Hook::OnSweep.function()) {
        return None;
    }
    let mut found = None;
    walk(ast, &mut |node| {
        if let ASTNode::Expr(Expr::Property(property, _)) = node {
            found = found.or_else(|| UNCERTAIN.into_iter().find(|fact| *fact == property.2.as_str()));
        }
    });
    found.map(|fact| {
        format!(
            "policies/{name}.rhai reads `{fact}`, which can be unknown, and has no on_sweep: \
             who joins while it is unknown is not judged again"
        )
    })
}

/// The first loop of a script: where an endless run most likely is, when the engine does not say.
pub(super) fn first_loop(ast: &AST) -> Option<Position> {
    let mut found = None;
    walk(ast, &mut |node| {
        if let ASTNode::Stmt(Stmt::While(_, position) | Stmt::Do(_, _, position) | Stmt::For(_, position)) =
            node
        {
            found.get_or_insert(*position);
        }
    });
    found
}

fn walk(ast: &AST, visit: &mut dyn FnMut(&ASTNode<'_>)) {
    ast.walk(&mut |path| {
        if let Some(node) = path.last() {
            visit(node);
        }
        true
    });
}

/// Walks a script. `policy`: its functions may be hooks.
pub(super) fn check(ast: &AST, words: &Words<'_>, policy: bool) -> Findings {
    let functions: Vec<(String, usize)> =
        ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
    let mut lint = Lint {
        words,
        functions,
        keys: words.params.clone(),
        shadowed: BTreeSet::new(),
        called: BTreeSet::new(),
        findings: Findings::default(),
    };
    walk(ast, &mut |node| lint.collect(node));
    if policy {
        for function in ast.iter_fn_def() {
            let position = function.body.start_position();
            lint.check_hook(function.name.as_str(), function.params.len(), position);
        }
    }
    walk(ast, &mut |node| match node {
        ASTNode::Expr(expr) => lint.expression(expr),
        ASTNode::Stmt(Stmt::FnCall(call, position)) => lint.call(call, *position),
        _ => {}
    });
    lint.findings
}

struct Lint<'a> {
    words: &'a Words<'a>,
    functions: Vec<(String, usize)>,
    keys: BTreeSet<String>,
    shadowed: BTreeSet<String>,
    called: BTreeSet<String>,
    findings: Findings,
}

impl Lint<'_> {
    fn mistake(&mut self, position: Position, message: String) {
        if !self.findings.mistakes.iter().any(|(at, _)| *at == position) {
            self.findings.mistakes.push((position, message));
        }
    }

    /// First pass: what the script itself makes known.
    fn collect(&mut self, node: &ASTNode<'_>) {
        match node {
            ASTNode::Expr(Expr::Map(map, _)) => {
                self.keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
                self.keys.extend(map.1.keys().map(ToString::to_string));
            }
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                self.called.insert(call.name.to_string());
            }
            ASTNode::Expr(Expr::DynamicConstant(value, _)) => self.collect_constant(value),
            ASTNode::Stmt(Stmt::Assignment(assignment)) => self.collect_assigned(&assignment.1.lhs),
            ASTNode::Stmt(Stmt::Var(var, ..)) => {
                self.shadowed.insert(var.0.name.to_string());
            }
            ASTNode::Stmt(Stmt::For(parts, _)) => {
                self.shadowed.insert(parts.0.name.to_string());
            }
            _ => {}
        }
    }

    fn collect_constant(&mut self, value: &Dynamic) {
        if let Ok(map) = value.as_map_ref() {
            self.keys.extend(map.keys().map(ToString::to_string));
            map.values().for_each(|inner| self.collect_constant(inner));
        } else if let Ok(list) = value.as_array_ref() {
            list.iter().for_each(|inner| self.collect_constant(inner));
        }
    }

    /// `map.key = value` makes the key.
    fn collect_assigned(&mut self, target: &Expr) {
        match target {
            Expr::Dot(pair, ..) if !matches!(&pair.lhs, Expr::Variable(v, ..) if is_fact(&v.1)) => {
                self.collect_assigned(&pair.rhs);
            }
            Expr::Property(property, _) => {
                self.keys.insert(property.2.to_string());
            }
            _ => {}
        }
    }

    /// A hook must be written as it is called, or it never will be.
    fn check_hook(&mut self, name: &str, params: usize, position: Position) {
        if let Some(hook) = Hook::from_function(name) {
            let wanted = hook.parameters();
            if wanted.len() != params {
                self.mistake(
                    position,
                    format!("`{name}` is called with ({}): write it so", wanted.join(", ")),
                );
            }
        } else if vocabulary::PLANNED_HOOKS.contains(&name) {
            self.mistake(
                position,
                format!("the hook `{name}` is not available in this version of perimeterd"),
            );
        } else if let Some(meant) = vocabulary::nearest(name, Hook::ALL.iter().map(|hook| hook.function())) {
            let message = format!("`{name}` is never called; did you mean `{meant}`?");
            self.mistake(position, message);
        } else if name.starts_with("on_") && !self.called.contains(name) {
            let known = Hook::ALL.map(Hook::function).join(", ");
            self.mistake(position, format!("there is no hook `{name}`; there are {known}"));
        } else if vocabulary::words(name).any(|word| word.owner == Owner::Global) {
            self.mistake(
                position,
                format!("`{name}` is a word of the policy language: name the function otherwise"),
            );
        }
    }

    fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::Property(property, position) => self.property(property.2.as_str(), *position),
            Expr::MethodCall(call, position) => self.method(call, *position),
            Expr::FnCall(call, position) => self.call(call, *position),
            Expr::Dot(pair, ..) => {
                if let Expr::Variable(variable, ..) = &pair.lhs {
                    self.parameter(variable.1.as_str(), &pair.rhs);
                    self.first_word(variable.1.as_str(), &pair.rhs);
                }
            }
            Expr::Variable(variable, _, position) if self.is_function_name(expr) => {
                let name = variable.1.as_str();
                self.mistake(*position, format!("`{name}` is a function: call it, `{name}(…)`"));
            }
            _ => {}
        }
    }

    /// A variable that is none: the engine would make a function pointer of it.
    fn is_function_name(&self, expr: &Expr) -> bool {
        let Expr::Variable(variable, short, _) = expr else { return false };
        short.is_none()
            && variable.0.is_none()
            && variable.2.is_empty()
            && self.functions.iter().any(|(name, _)| name == variable.1.as_str())
    }

    /// `params.…`: a parameter that no chain sets.
    fn parameter(&mut self, variable: &str, rest: &Expr) {
        if let ("params", Expr::Property(property, position)) = (variable, rest)
            && !self.words.params.contains(property.2.as_str())
            && !self.shadowed.contains(variable)
        {
            let name = property.2.as_str();
            let hint = vocabulary::did_you_mean(name, self.words.params.iter().map(String::as_str));
            let message =
                format!("no chain sets the parameter `{name}`{hint} (or params.get(\"{name}\") ?? …)");
            self.mistake(*position, message);
        }
    }

    /// `member.…` and `group.…` themselves: the word must be theirs.
    fn first_word(&mut self, variable: &str, rest: &Expr) {
        let owner = match variable {
            "member" => Owner::Member,
            "group" => Owner::Group,
            "change" => Owner::Change,
            _ => return,
        };
        if self.shadowed.contains(variable) {
            return;
        }
        let (name, position, given) = match rest {
            Expr::Property(property, position) => (property.2.as_str(), *position, None),
            Expr::MethodCall(call, position) => (call.name.as_str(), *position, Some(call.args.len())),
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => return self.first_word(variable, &pair.lhs),
            _ => return,
        };
        let own = |word: &&Word| word.owner == owner;
        let misused = |word: &&Word| {
            own(word)
                && matches!((word.kind, given), (Kind::Call(takes), Some(given)) if !takes.contains(&given))
        };
        if let Some(word) = vocabulary::words(name).find(misused) {
            return self.mistake(position, format!("`{name}` is written {}", word.usage));
        }
        if vocabulary::words(name).any(|word| own(&word)) || self.functions.iter().any(|(f, _)| f == name) {
            return;
        }
        let other = |word: &Word| match word.owner {
            Owner::Member => Some("member"),
            Owner::Group => Some("group"),
            Owner::Change | Owner::Time | Owner::Global => None,
        };
        let hint = if let Some(other) = vocabulary::words(name).find_map(other) {
            format!("; `{other}` has")
        } else {
            let theirs = vocabulary::WORDS.iter().filter(own).map(|word| word.name);
            vocabulary::did_you_mean(name, theirs)
        };
        self.mistake(position, format!("`{variable}` has no `{name}`{hint}"));
    }

    fn property(&mut self, name: &str, position: Position) {
        let documented: Vec<&Word> = vocabulary::words(name).collect();
        let known = self.keys.contains(name)
            || vocabulary::RECORD_KEYS.contains(&name)
            || VALUE_PROPERTIES.contains(&name)
            || documented.iter().any(|word| word.kind == Kind::Property && !word.planned);
        if known {
            return;
        }
        if let Some(word) = documented.iter().find(|word| matches!(word.kind, Kind::Call(_))) {
            self.mistake(position, format!("`{name}` is something to call: {}", word.usage));
        } else if !documented.is_empty() {
            self.mistake(position, not_available(name));
        } else {
            let readable = vocabulary::WORDS.iter().map(|word| word.name);
            let keys = self.keys.iter().map(String::as_str);
            let all = readable.chain(keys).chain(vocabulary::RECORD_KEYS.iter().copied());
            let hint = vocabulary::did_you_mean(name, all);
            self.mistake(position, format!("nothing has a `{name}`{hint}"));
        }
    }

    fn method(&mut self, call: &FnCallExpr, position: Position) {
        let (name, given) = (call.name.as_str(), call.args.len());
        if self.functions.iter().any(|(known, _)| known == name) {
            return;
        }
        if FORBIDDEN.contains(&name) {
            self.mistake(position, vocabulary::forbidden(name));
            return;
        }
        let documented: Vec<&Word> = vocabulary::words(name).collect();
        let callable = |word: &&&Word| matches!(word.kind, Kind::Call(_)) && word.owner != Owner::Global;
        let fits = |word: &&Word| matches!(word.kind, Kind::Call(numbers) if numbers.contains(&given));
        let calls: Vec<&Word> = documented.iter().filter(callable).copied().collect();
        if calls.iter().any(fits) || VALUE_CALLS.contains(&name) {
            return;
        }
        if let Some(word) = calls.first() {
            self.mistake(
                position,
                format!("`{name}` does not take {given} values; it is written {}", word.usage),
            );
        } else if documented.iter().any(|word| word.planned) {
            self.mistake(position, not_available(name));
        } else if let Some(word) = documented.first() {
            let why = match word.kind {
                Kind::Property => format!("`{name}` is something to read: write it without ()"),
                Kind::Call(_) => format!("`{name}` stands alone: {}", word.usage),
            };
            self.mistake(position, why);
        } else {
            let calls = vocabulary::WORDS.iter().map(|word| word.name).chain(VALUE_CALLS.iter().copied());
            let hint = vocabulary::did_you_mean(name, calls);
            self.mistake(position, format!("nothing can `{name}`{hint}"));
        }
    }

    fn call(&mut self, call: &FnCallExpr, position: Position) {
        let (name, given) = (call.name.as_str(), call.args.len());
        if call.op_token.is_some() || !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return;
        }
        if name == "template" {
            self.template(call, position);
        }
        if !call.namespace.is_empty() {
            return self.library_call(call, position);
        }
        if self.functions.iter().any(|(known, params)| known == name && *params == given) {
            return;
        }
        if let Some((_, params)) = self.functions.iter().find(|(known, _)| known == name) {
            let message = format!("the function `{name}` takes {params} values, not {given}");
            self.mistake(position, message);
            return;
        }
        if FORBIDDEN.contains(&name) {
            self.mistake(position, vocabulary::forbidden(name));
            return;
        }
        let documented: Vec<&Word> = vocabulary::words(name).collect();
        let offset = |word: &Word| usize::from(word.owner != Owner::Global);
        let fits = |word: &&Word| matches!(word.kind, Kind::Call(numbers) if numbers.iter().any(|n| n + offset(word) == given));
        if documented.iter().copied().any(|word| fits(&word)) || VALUE_CALLS.contains(&name) {
            return;
        }
        if let Some(word) = documented.iter().find(|word| matches!(word.kind, Kind::Call(_))) {
            self.mistake(position, format!("`{name}` is written {}", word.usage));
        } else if documented.iter().any(|word| word.planned) {
            self.mistake(position, not_available(name));
        } else {
            let own = self.functions.iter().map(|(name, _)| name.as_str());
            let all = vocabulary::WORDS.iter().map(|word| word.name).chain(own);
            let hint = vocabulary::did_you_mean(name, all);
            self.mistake(position, format!("there is no function `{name}`{hint}"));
        }
    }

    fn library_call(&mut self, call: &FnCallExpr, position: Position) {
        let (library, name, given) = (call.namespace.to_string(), call.name.as_str(), call.args.len());
        let Some(functions) = self.words.libraries.get(&library) else {
            let hint = vocabulary::did_you_mean(&library, self.words.libraries.keys().map(String::as_str));
            return self.mistake(position, format!("there is no library `{library}`{hint}"));
        };
        if functions.iter().any(|(known, params)| known == name && *params == given) {
            return;
        }
        let message = match functions.iter().find(|(known, _)| known == name) {
            Some((_, params)) => format!("`{library}::{name}` takes {params} values, not {given}"),
            None => {
                let hint = vocabulary::did_you_mean(name, functions.iter().map(|(name, _)| name.as_str()));
                format!("policies/lib/{library}.rhai has no function `{name}`{hint}")
            }
        };
        self.mistake(position, message);
    }

    fn template(&mut self, call: &FnCallExpr, position: Position) {
        let Some(Expr::StringConstant(name, at)) = call.args.first() else {
            self.findings.any_template = true;
            return;
        };
        self.findings.templates.insert(name.to_string());
        let position = if at.is_none() { position } else { *at };
        let filled = match call.args.get(1) {
            None => Some(BTreeSet::new()),
            Some(Expr::Map(map, _)) => Some(map.1.keys().map(ToString::to_string).collect()),
            Some(Expr::DynamicConstant(value, _)) => {
                value.as_map_ref().ok().map(|map| map.keys().map(ToString::to_string).collect())
            }
            Some(_) => None,
        };
        if let Err(why) = self.words.templates.check(name, filled.as_ref()) {
            self.mistake(position, why);
        }
    }
}

fn is_fact(variable: &str) -> bool {
    matches!(variable, "member" | "group" | "change" | "now")
}

fn not_available(name: &str) -> String {
    format!("`{name}` is not available in this version of perimeterd")
}
