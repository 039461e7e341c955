//! Names in a pickle that tell an attack.

use crate::error::{CheckpointErrorKind, Fault, Quoted};

/// Python modules that run code, reach the system or look other functions up.
///
/// This list is no boundary: no global is ever looked up or called, whether it is here or not. It
/// is a courtesy: a file that would have run a command elsewhere should not be trusted for its
/// weights either, so it is refused with the name of what it tried.
const DANGEROUS_MODULES: [&str; 43] = [
    "_io",
    "_pickle",
    "_posixsubprocess",
    "_thread",
    "asyncio",
    "bdb",
    "cProfile",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "doctest",
    "ftplib",
    "functools",
    "http",
    "httplib",
    "imp",
    "importlib",
    "io",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "posix",
    "profile",
    "pty",
    "pydoc",
    "runpy",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "urllib",
    "webbrowser",
];

/// Built-in types that hold data; every other built-in is refused.
const HARMLESS_BUILTINS: [&str; 14] = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "tuple",
];

/// An error that names the global, if no weight file has an honest use for it.
pub(super) fn refuse_dangerous(module: &str, name: &str) -> Result<(), Fault> {
    let package = module.split('.').next().unwrap_or(module);
    let is_dangerous = match package {
        "builtins" | "__builtin__" => !HARMLESS_BUILTINS.contains(&name),
        _ => DANGEROUS_MODULES.contains(&package),
    };
    if !is_dangerous {
        return Ok(());
    }
    Err(Fault::new(
        CheckpointErrorKind::ForbiddenGlobal,
        format!(
            "the pickle would call {} in Python (nothing was run); no weight file needs that: do \
             not trust this file",
            Quoted(&format!("{module}.{name}"))
        ),
    ))
}
