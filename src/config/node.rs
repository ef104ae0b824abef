//! The configuration as a tree of values that remember where they came from.
//!
//! Layers are laid over each other here: built-in defaults, the file, the environment. What the values mean is the
//! business of the readers above.

use super::error::{ConfigError, Source};
use std::{collections::BTreeMap, ops::Range};
use toml::de::{DeTable, DeValue};

/// The layer that set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The built-in defaults.
    Defaults,
    /// The owner's file.
    File,
    /// An environment variable, with its name and raw text.
    Environment(String, String),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
    pub(super) origin: Origin,
}

/// A value as TOML has it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    Array(Vec<Node>),
    Table(Entries),
}

/// The entries of a table, each with the place of its key.
pub(super) type Entries = BTreeMap<String, Entry>;

/// A key and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a file's text.
pub(super) fn parse(source: &Source, origin: Origin) -> Result<Node, ConfigError> {
    let table = DeTable::parse(&source.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = format!("the file is not valid TOML: {}", error.message().replace('\n', ", "));
        source.error(span, message, "Correct the line and try again.")
    })?;
    let span = table.span();
    entries(table.into_inner(), &origin)
        .map(|value| Node { value, span, origin })
        .map_err(|span| source.error(span, "the number does not fit into 64 bits", "Write a smaller number."))
}

fn entries(table: DeTable<'_>, origin: &Origin) -> Result<Value, Range<usize>> {
    let mut read = Entries::new();
    for (key, value) in table {
        let entry = Entry { key_span: key.span(), node: node(value.span(), value.into_inner(), origin)? };
        read.insert(key.into_inner().into_owned(), entry);
    }
    Ok(Value::Table(read))
}

/// The tree of one TOML value; the place of a number that does not fit otherwise.
fn node(span: Range<usize>, value: DeValue<'_>, origin: &Origin) -> Result<Node, Range<usize>> {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(read.map_err(|_| span.clone())?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| span.clone())?),
        DeValue::Boolean(yes) => Value::Bool(yes),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| node(item.span(), item.into_inner(), origin))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => entries(table, origin)?,
    };
    Ok(Node { value, span, origin: origin.clone() })
}

/// Lays one layer over another: tables entry by entry, everything else whole.
pub(super) fn overlay(base: &mut Node, over: Node) {
    match (&mut base.value, over) {
        (Value::Table(below), Node { value: Value::Table(above), span, origin }) => {
            for (key, entry) in above {
                match below.get_mut(&key) {
                    Some(present) => {
                        present.key_span = entry.key_span;
                        overlay(&mut present.node, entry.node);
                    }
                    None => {
                        below.insert(key, entry);
                    }
                }
            }
            base.span = span;
            base.origin = origin;
        }
        (_, over) => *base = over,
    }
}

/// Lays `PERIMETERD__SECTION__KEY=value` over the tree. A number in the path names an element of an array.
pub(super) fn overlay_variable(root: &mut Node, name: &str, raw: &str) {
    let path: Vec<String> = name.split("__").skip(1).map(str::to_lowercase).collect();
    let origin = Origin::Environment(name.into(), raw.into());
    let parsed = DeValue::parse(raw).ok().and_then(|value| node(0..0, value.into_inner(), &origin).ok());
    let value = parsed.map_or_else(|| Value::Text(raw.into()), |node| node.value);
    place(root, &path, Node { value, span: 0..0, origin });
}

fn place(at: &mut Node, path: &[String], leaf: Node) {
    let Some((key, rest)) = path.split_first() else {
        overlay(at, leaf);
        return;
    };
    if let (Value::Array(items), Ok(index)) = (&mut at.value, key.parse::<usize>())
        && let Some(item) = items.get_mut(index)
    {
        place(item, rest, leaf);
        return;
    }
    if !matches!(at.value, Value::Table(_)) {
        // The path goes on where a plain value stands: the reader reports the wrong type by the variable's name.
        *at = Node { value: Value::Table(Entries::new()), span: 0..0, origin: leaf.origin.clone() };
    }
    if let Value::Table(table) = &mut at.value {
        let fresh = || Entry {
            key_span: 0..0,
            node: Node { value: Value::Table(Entries::new()), span: 0..0, origin: leaf.origin.clone() },
        };
        let entry = table.entry(key.clone()).or_insert_with(fresh);
        place(&mut entry.node, rest, leaf);
    }
}
