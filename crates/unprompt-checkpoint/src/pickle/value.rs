//! What a pickle holds, as inert data in an arena.
//!
//! Values are small copies that refer to nodes by number, and nodes own no nodes. A pickle that
//! doubles a list 60 times through its memo therefore costs 60 nodes, a tuple nested a million
//! deep is dropped without recursion, and a list that holds itself leaks nothing.

/// One Python value. Text and bytes are borrowed from the pickle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'p> {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number past 64 bits, two's complement, little-endian.
    BigInt(&'p [u8]),
    Float(f64),
    Text(&'p str),
    Bytes(&'p [u8]),
    Node(u32),
}

/// A Python object that can be shared or changed.
#[derive(Debug)]
pub(super) enum Node<'p> {
    Tuple(Vec<Value<'p>>),
    /// A list, or a set.
    List(Vec<Value<'p>>),
    Dict(Vec<(Value<'p>, Value<'p>)>),
    /// The name of a class or function; never looked up.
    Global {
        module: &'p str,
        name: &'p str,
    },
    /// What calling a global would give; never called. Both numbers are of nodes, a `Global` and
    /// a `Tuple`. Entries are what the pickle then sets, as in an `OrderedDict`.
    Object {
        class: u32,
        arguments: u32,
        entries: Vec<(Value<'p>, Value<'p>)>,
    },
    /// Something kept outside the pickle, by its identifier: torch's storages.
    Persistent(Value<'p>),
}

/// A pickle read to its end.
#[derive(Debug)]
pub(super) struct Parsed<'p> {
    pub root: Value<'p>,
    pub nodes: Vec<Node<'p>>,
    /// Bytes from the start to the end of the pickle.
    pub consumed: usize,
}

impl<'p> Parsed<'p> {
    pub fn node(&self, value: Value<'p>) -> Option<&Node<'p>> {
        match value {
            Value::Node(number) => self.nodes.get(number as usize),
            _ => None,
        }
    }

    pub fn tuple(&self, value: Value<'p>) -> Option<&[Value<'p>]> {
        match self.node(value)? {
            Node::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// Module and name, if the value is a global.
    pub fn global(&self, value: Value<'p>) -> Option<(&'p str, &'p str)> {
        match self.node(value)? {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// Class and constructor arguments, if the value is an object.
    pub fn object(&self, value: Value<'p>) -> Option<((&'p str, &'p str), &[Value<'p>])> {
        match self.node(value)? {
            Node::Object {
                class, arguments, ..
            } => Some((
                self.global(Value::Node(*class))?,
                self.tuple(Value::Node(*arguments))?,
            )),
            _ => None,
        }
    }

    /// The entries of a dict or an `OrderedDict`, in order.
    pub fn mapping(&self, value: Value<'p>) -> Option<Vec<(Value<'p>, Value<'p>)>> {
        match self.node(value)? {
            Node::Dict(entries) => Some(entries.clone()),
            Node::Object { entries, .. } => {
                let (class, arguments) = self.object(value)?;
                if class != ("collections", "OrderedDict") {
                    return None;
                }
                // Python 2 gives the constructor a list of pairs, Python 3 sets them afterwards.
                let mut pairs = Vec::new();
                if let Some(Node::List(given)) = arguments.first().and_then(|&all| self.node(all)) {
                    // What is no pair still counts as an entry, so that callers who bound the
                    // entries bound the work.
                    pairs.extend(given.iter().map(|&pair| match self.node(pair) {
                        Some(Node::List(pair) | Node::Tuple(pair)) if pair.len() == 2 => {
                            (pair[0], pair[1])
                        }
                        _ => (Value::None, Value::None),
                    }));
                }
                pairs.extend_from_slice(entries);
                Some(pairs)
            }
            _ => None,
        }
    }
}
