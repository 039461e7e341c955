//! The pickle machine: just enough opcodes for what `torch.save` writes, and nothing that acts.
//!
//! Source: Python's `pickletools` for the opcodes. Protocols 2 to 5; the text opcodes of
//! protocol 0 are not read, as torch never wrote them.

use super::{
    globals::refuse_dangerous,
    value::{Node, Parsed, Value},
};
use crate::error::Fault;
use std::collections::HashMap;

/// The largest pickle that is read; weights are stored outside of it.
pub(super) const MAX_PICKLE_BYTES: usize = 16 << 20;
/// About 30 opcodes describe a tensor. Each adds at most one value, node or memo entry, so this
/// bounds the stack, the arena and the memo too.
const MAX_OPCODES: usize = 1_000_000;

/// Reads the pickle at the start of `bytes`; more may follow it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Fault> {
    let window = &bytes[..bytes.len().min(MAX_PICKLE_BYTES)];
    let mut machine = Machine {
        input: window,
        position: 0,
        is_capped: window.len() < bytes.len(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
    };
    if machine.byte()? != 0x80 || !(2..=5).contains(&machine.byte()?) {
        return Err(Fault::unsupported("not a pickle of protocol 2 to 5"));
    }
    let root = machine.run()?;
    Ok(Parsed {
        root,
        nodes: machine.nodes,
        consumed: machine.position,
    })
}

struct Machine<'p> {
    input: &'p [u8],
    position: usize,
    /// Whether the input goes on past what may be read.
    is_capped: bool,
    stack: Vec<Value<'p>>,
    /// Stack heights at which marks were set; nothing below the last may be popped.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'p>>,
    nodes: Vec<Node<'p>>,
}

impl<'p> Machine<'p> {
    /// Runs to the STOP opcode and gives its value.
    fn run(&mut self) -> Result<Value<'p>, Fault> {
        for _ in 0..MAX_OPCODES {
            let opcode = self.byte()?;
            match opcode {
                b'.' => return self.pop(),
                // Structure of the stream.
                0x80 => {
                    self.byte()?;
                }
                0x95 => {
                    let length = self.length::<8>()?;
                    if length > self.input.len() - self.position {
                        return Err(self.cut_short());
                    }
                }
                // Plain values.
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' => {
                    let value = self.byte()?;
                    self.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                0x8a => self.long::<1>()?,
                0x8b => self.long::<4>()?,
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Value::Float(value));
                }
                0x8c => self.text::<1>()?,
                b'X' => self.text::<4>()?,
                0x8d => self.text::<8>()?,
                b'U' => self.python2_text::<1>()?,
                b'T' => self.python2_text::<4>()?,
                b'C' => self.bytes::<1>()?,
                b'B' => self.bytes::<4>()?,
                0x8e | 0x96 => self.bytes::<8>()?,
                // Containers.
                b')' => self.push_node(Node::Tuple(Vec::new())),
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let values = self.pop_to_mark()?;
                    self.push_node(Node::Tuple(values));
                }
                b']' | 0x8f => self.push_node(Node::List(Vec::new())),
                b'}' => self.push_node(Node::Dict(Vec::new())),
                b'l' | 0x91 => {
                    let values = self.pop_to_mark()?;
                    self.push_node(Node::List(values));
                }
                b'd' => {
                    let entries = pairs(self.pop_to_mark()?)?;
                    self.push_node(Node::Dict(entries));
                }
                b'a' => {
                    let value = self.pop()?;
                    self.append(vec![value])?;
                }
                b'e' | 0x90 => {
                    let values = self.pop_to_mark()?;
                    self.append(values)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(vec![(key, value)])?;
                }
                b'u' => {
                    let entries = pairs(self.pop_to_mark()?)?;
                    self.set(entries)?;
                }
                // Stack and memo.
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_to_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.push(top);
                }
                b'q' => {
                    let slot = self.byte()?;
                    self.remember(slot.into())?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.remember(slot)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let slot = self.byte()?;
                    self.recall(slot.into())?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.recall(slot)?;
                }
                // Names and what they would make.
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.push_global(module, name)?;
                }
                0x93 => {
                    let name = self.pop()?;
                    let module = self.pop()?;
                    let (Value::Text(module), Value::Text(name)) = (module, name) else {
                        return Err(Fault::malformed("a global's name in the pickle is no text"));
                    };
                    self.push_global(module, name)?;
                }
                b'R' | 0x81 => {
                    let arguments = self.pop()?;
                    let class = self.pop()?;
                    self.make_object(class, arguments)?;
                }
                0x92 => {
                    let _keywords = self.pop()?;
                    let arguments = self.pop()?;
                    let class = self.pop()?;
                    self.make_object(class, arguments)?;
                }
                // An object's state is its attributes, of which weights need none: torch hangs
                // version numbers (`_metadata`) on a state dict.
                b'b' => {
                    let _state = self.pop()?;
                    self.top()?;
                }
                b'Q' => {
                    let identifier = self.pop()?;
                    self.push_node(Node::Persistent(identifier));
                }
                other => {
                    return Err(Fault::unsupported(format!(
                        "pickle opcode 0x{other:02x} at byte {}, which weight files do not use",
                        self.position - 1
                    )));
                }
            }
        }
        Err(Fault::too_large(format!(
            "a pickle of more than {MAX_OPCODES} opcodes"
        )))
    }

    fn cut_short(&self) -> Fault {
        if self.is_capped {
            Fault::too_large(format!("a pickle of more than {MAX_PICKLE_BYTES} bytes"))
        } else {
            Fault::malformed(format!(
                "the pickle claims bytes past its end at byte {}; the file may be cut short",
                self.position
            ))
        }
    }

    fn take(&mut self, count: usize) -> Result<&'p [u8], Fault> {
        let taken = self.input[self.position..]
            .get(..count)
            .ok_or_else(|| self.cut_short())?;
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let input = self.input;
        let (array, _) = input[self.position..]
            .split_first_chunk::<N>()
            .ok_or_else(|| self.cut_short())?;
        self.position += N;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of 1, 4 or 8 bytes, not yet compared with what is there.
    fn length<const N: usize>(&mut self) -> Result<usize, Fault> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| self.cut_short())
    }

    fn counted<const N: usize>(&mut self) -> Result<&'p [u8], Fault> {
        let length = self.length::<N>()?;
        self.take(length)
    }

    /// Text up to a line feed, as the GLOBAL opcode has it.
    fn line(&mut self) -> Result<&'p str, Fault> {
        let length = self.input[self.position..]
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or_else(|| self.cut_short())?;
        let line = self.take(length)?;
        self.position += 1;
        utf8(line)
    }

    fn long<const N: usize>(&mut self) -> Result<(), Fault> {
        let digits = self.counted::<N>()?;
        let value = if digits.len() <= 8 {
            let is_negative = digits.last().is_some_and(|&last| last >= 0x80);
            let mut wide = [if is_negative { 0xff } else { 0 }; 8];
            wide[..digits.len()].copy_from_slice(digits);
            Value::Int(i64::from_le_bytes(wide))
        } else {
            Value::BigInt(digits)
        };
        self.push(value);
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Result<(), Fault> {
        let text = utf8(self.counted::<N>()?)?;
        self.push(Value::Text(text));
        Ok(())
    }

    /// A `str` of Python 2, which is text or bytes; torch's own are ASCII.
    fn python2_text<const N: usize>(&mut self) -> Result<(), Fault> {
        let bytes = self.counted::<N>()?;
        self.push(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text));
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<(), Fault> {
        let bytes = self.counted::<N>()?;
        self.push(Value::Bytes(bytes));
        Ok(())
    }

    fn push(&mut self, value: Value<'p>) {
        self.stack.push(value);
    }

    fn push_node(&mut self, node: Node<'p>) {
        // At most one node an opcode, so the number fits.
        self.stack.push(Value::Node(self.nodes.len() as u32));
        self.nodes.push(node);
    }

    fn push_global(&mut self, module: &'p str, name: &'p str) -> Result<(), Fault> {
        refuse_dangerous(module, name)?;
        self.push_node(Node::Global { module, name });
        Ok(())
    }

    fn top(&self) -> Result<Value<'p>, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => Err(Fault::malformed(
                "the pickle takes a value that it never gave",
            )),
        }
    }

    fn pop(&mut self) -> Result<Value<'p>, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'p>>, Fault> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| Fault::malformed("the pickle closes a group that it never opened"))?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Result<(), Fault> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.pop()?);
        }
        values.reverse();
        self.push_node(Node::Tuple(values));
        Ok(())
    }

    fn top_node(&mut self) -> Result<&mut Node<'p>, Fault> {
        match self.top()? {
            Value::Node(number) => self.nodes.get_mut(number as usize),
            _ => None,
        }
        .ok_or_else(|| Fault::malformed("the pickle adds to a value that holds nothing"))
    }

    fn append(&mut self, values: Vec<Value<'p>>) -> Result<(), Fault> {
        match self.top_node()? {
            Node::List(list) => list.extend(values),
            // A list of some class: its contents are as inert as itself, and not needed.
            Node::Object { .. } => {}
            _ => {
                return Err(Fault::malformed(
                    "the pickle appends to a value that is no list",
                ));
            }
        }
        Ok(())
    }

    fn set(&mut self, new: Vec<(Value<'p>, Value<'p>)>) -> Result<(), Fault> {
        match self.top_node()? {
            Node::Dict(entries) | Node::Object { entries, .. } => entries.extend(new),
            _ => {
                return Err(Fault::malformed(
                    "the pickle sets items of a value that is no dict",
                ));
            }
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let value = self.memo.get(&slot).copied().ok_or_else(|| {
            Fault::malformed(format!(
                "the pickle recalls memo {slot}, which it never stored"
            ))
        })?;
        self.push(value);
        Ok(())
    }

    fn make_object(&mut self, class: Value<'p>, arguments: Value<'p>) -> Result<(), Fault> {
        let (Value::Node(class), Value::Node(arguments)) = (class, arguments) else {
            return Err(Fault::malformed(
                "the pickle calls a value that is no function",
            ));
        };
        let kinds = (
            self.nodes.get(class as usize),
            self.nodes.get(arguments as usize),
        );
        if !matches!(kinds, (Some(Node::Global { .. }), Some(Node::Tuple(_)))) {
            return Err(Fault::malformed(
                "the pickle calls something other than a named function with a tuple",
            ));
        }
        self.push_node(Node::Object {
            class,
            arguments,
            entries: Vec::new(),
        });
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::malformed("text in the pickle is not UTF-8"))
}

fn pairs<'p>(values: Vec<Value<'p>>) -> Result<Vec<(Value<'p>, Value<'p>)>, Fault> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::malformed("the pickle sets a key without a value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
