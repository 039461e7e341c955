//! That what a parquet file says of itself costs no more to read than it is long.
//!
//! The library takes a field that it knows for what it ought to be, whatever type the file gives it, and goes
//! past one that it does not know element by element, where booleans in a list take no bytes: a list of two
//! thousand million of them is six bytes long and holds it up for seconds, and a file has room for many.
//! So the footer and the headers of pages are walked first, in time that grows with their length: every known
//! field has its own type, and no list or map that is unknown holds booleans.
//!
//! Types and numbers are those of `parquet.thrift` 2.12 (Apache-2.0), in Thrift's compact protocol.

/// What the walk did not like, as an error calls it.
pub(crate) type Walked<T> = Result<T, Fault>;

/// Why a structure is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end inside it.
    Ends,
    /// It is no structure of this kind.
    Damaged,
}

/// How deep structures lie in each other; the library goes no deeper than that in what it does not know.
const DEEPEST: usize = 64;

/// What a field holds.
enum Kind {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Kind),
    Structure(Fields),
}

/// The fields of a structure by their numbers.
type Fields = &'static [(i16, Kind)];

use Kind::{Binary, Bool, Byte, Double, I16, I32, I64, List, Structure};

const EMPTY: Kind = Structure(&[]);
const STATISTICS: Kind = Structure(&[
    (1, Binary),
    (2, Binary),
    (3, I64),
    (4, I64),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
]);
const TIME: Kind = Structure(&[
    (1, Bool),
    (2, Structure(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)])),
]);
const LOGICAL_TYPE: Kind = Structure(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Structure(&[(1, I32), (2, I32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Structure(&[(1, Byte), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Structure(&[(1, Byte)])),
    (17, Structure(&[(1, Binary)])),
    (18, Structure(&[(1, Binary), (2, I32)])),
]);
const SCHEMA_ELEMENT: Kind = Structure(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const KEY_VALUE: Kind = Structure(&[(1, Binary), (2, Binary)]);
const GEOSPATIAL: Kind = Structure(&[
    (
        1,
        Structure(&[
            (1, Double),
            (2, Double),
            (3, Double),
            (4, Double),
            (5, Double),
            (6, Double),
            (7, Double),
            (8, Double),
        ]),
    ),
    (2, List(&I32)),
]);
const COLUMN: Kind = Structure(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&Structure(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Structure(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, GEOSPATIAL),
]);
const COLUMN_CHUNK: Kind = Structure(&[
    (1, Binary),
    (2, I64),
    (3, COLUMN),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (
        8,
        Structure(&[
            (1, EMPTY),
            (2, Structure(&[(1, List(&Binary)), (2, Binary)])),
        ]),
    ),
    (9, Binary),
]);
const ROW_GROUP: Kind = Structure(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Structure(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
]);
const FOOTER: Fields = &[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Structure(&[(1, EMPTY)]))),
    (9, Binary),
];
/// The number of bytes of the page behind its header, as they are stored.
const STORED_LENGTH: i16 = 3;
const PAGE_HEADER: Fields = &[
    (1, I32),
    (2, I32),
    (STORED_LENGTH, I32),
    (4, I32),
    (
        5,
        Structure(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)]),
    ),
    (6, EMPTY),
    (7, Structure(&[(1, I32), (2, I32), (3, Bool)])),
    (
        8,
        Structure(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, I32),
            (6, I32),
            (7, Bool),
            (8, STATISTICS),
        ]),
    ),
];

/// Walks a footer.
pub(crate) fn check_footer(bytes: &[u8]) -> Walked<()> {
    let mut walk = Walk { bytes, at: 0 };
    walk.structure(FOOTER, DEEPEST, &mut |_, _| {})
}

/// Walks the header of a page that `bytes` begin with: its own length, and that of the page behind it.
pub(crate) fn check_page_header(bytes: &[u8]) -> Walked<(usize, usize)> {
    let mut walk = Walk { bytes, at: 0 };
    let mut stored = None;
    walk.structure(PAGE_HEADER, DEEPEST, &mut |field, value| {
        if field == STORED_LENGTH {
            stored = Some(value);
        }
    })?;
    let stored = stored.and_then(|stored| usize::try_from(stored).ok());
    Ok((walk.at, stored.ok_or(Fault::Damaged)?))
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn byte(&mut self) -> Walked<u8> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::Ends)?;
        self.at += 1;
        Ok(byte)
    }

    fn past(&mut self, length: usize) -> Walked<()> {
        let end = self.at.checked_add(length).ok_or(Fault::Damaged)?;
        if end > self.bytes.len() {
            return Err(Fault::Ends);
        }
        self.at = end;
        Ok(())
    }

    /// A number of seven bits a byte.
    fn number(&mut self) -> Walked<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Damaged)
    }

    /// The same with a sign in the lowest bit.
    fn signed(&mut self) -> Walked<i64> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// Hands the numbers among the structure's own fields to `see`.
    fn structure(
        &mut self,
        fields: Fields,
        depth: usize,
        see: &mut dyn FnMut(i16, i64),
    ) -> Walked<()> {
        let depth = depth.checked_sub(1).ok_or(Fault::Damaged)?;
        let mut field = 0i16;
        loop {
            let header = self.byte()?;
            let code = header & 0xf;
            if code == 0 {
                return Ok(());
            }
            field = match header >> 4 {
                0 => i16::try_from(self.signed()?).map_err(|_| Fault::Damaged)?,
                more => field.checked_add(more.into()).ok_or(Fault::Damaged)?,
            };
            match fields.iter().find(|(number, _)| *number == field) {
                None => self.unknown(code, depth)?,
                Some((_, kind)) if !kind.codes().contains(&code) => return Err(Fault::Damaged),
                // In a field the type is the value.
                Some((_, Bool)) => {}
                Some((_, I16 | I32 | I64)) => {
                    let value = self.signed()?;
                    see(field, value);
                }
                Some((_, kind)) => self.known(kind, depth)?,
            }
        }
    }

    fn known(&mut self, kind: &'static Kind, depth: usize) -> Walked<()> {
        match kind {
            Bool | Byte => self.past(1),
            I16 | I32 | I64 => self.number().map(drop),
            Double => self.past(8),
            Binary => self.binary(),
            Structure(fields) => self.structure(fields, depth, &mut |_, _| {}),
            List(element) => {
                let (code, count) = self.list()?;
                // Of an empty list some writers give no type.
                if count > 0 && !element.codes().contains(&code) {
                    return Err(Fault::Damaged);
                }
                (0..count).try_for_each(|_| self.known(element, depth))
            }
        }
    }

    fn binary(&mut self) -> Walked<()> {
        let length = usize::try_from(self.number()?).map_err(|_| Fault::Damaged)?;
        self.past(length)
    }

    /// The type of a list's elements, and how many there are.
    fn list(&mut self) -> Walked<(u8, u64)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            count => count.into(),
        };
        Ok((header & 0xf, count))
    }

    /// Goes past a value as the library does. Each takes a byte or more, so that a number of them ends with the bytes.
    fn unknown(&mut self, code: u8, depth: usize) -> Walked<()> {
        let depth = depth.checked_sub(1).ok_or(Fault::Damaged)?;
        match code {
            // The value of a field; elements are looked at by those who count them.
            1 | 2 => Ok(()),
            3 => self.past(1),
            4..=6 => self.number().map(drop),
            7 => self.past(8),
            8 => self.binary(),
            9 | 10 => {
                let (code, count) = self.list()?;
                self.elements(&[code], count, depth)
            }
            11 => {
                let count = self.number()?;
                let codes = if count > 0 { self.byte()? } else { 0 };
                self.elements(&[codes >> 4, codes & 0xf], count, depth)
            }
            12 => self.structure(&[], depth, &mut |_, _| {}),
            13 => self.past(16),
            _ => Err(Fault::Damaged),
        }
    }

    fn elements(&mut self, codes: &[u8], count: u64, depth: usize) -> Walked<()> {
        if count > 0 && codes.iter().any(|code| (1..=2).contains(code)) {
            return Err(Fault::Damaged);
        }
        for _ in 0..count {
            for code in codes {
                self.unknown(*code, depth)?;
            }
        }
        Ok(())
    }
}

impl Kind {
    /// The protocol's codes of the type.
    fn codes(&self) -> &'static [u8] {
        match self {
            Bool => &[1, 2],
            Byte => &[3],
            I16 => &[4],
            I32 => &[5],
            I64 => &[6],
            Double => &[7],
            Binary => &[8],
            List(_) => &[9],
            Structure(_) => &[12],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with a list of so many elements, and the end of the structure.
    fn with_list(field: u8, code: u8, count: u64) -> Vec<u8> {
        let mut bytes = vec![field << 4 | 9, 0xf0 | code];
        let mut rest = count;
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.extend([rest as u8, 0]);
        bytes
    }

    #[test]
    fn no_list_holds_more_than_its_bytes() {
        let many = (1 << 31) - 1;
        for code in 1..=13 {
            let found = check_footer(&with_list(14, code, many));
            assert!(found.is_err(), "{code}");
        }
        assert_eq!(check_footer(&with_list(14, 2, 0)), Ok(()));
        assert_eq!(check_footer(&with_list(14, 2, many)), Err(Fault::Damaged));
        // Inside what is unknown, a map and a structure too.
        let inner = with_list(1, 1, many);
        let structure = [&[0xec][..], &inner, &[0]].concat();
        assert_eq!(check_footer(&structure), Err(Fault::Damaged));
        let map = [0xeb, 0xff, 0x7f, 0x15, 0, 0];
        assert_eq!(check_footer(&map), Err(Fault::Damaged));
    }

    #[test]
    fn a_known_field_has_its_own_type() {
        // A version that says to be bytes, in which the library would find fields.
        let hidden = with_list(13, 1, (1 << 31) - 1);
        let disguised = [&[0x18, hidden.len() as u8][..], &hidden, &[0]].concat();
        assert_eq!(check_footer(&disguised), Err(Fault::Damaged));
        assert_eq!(check_footer(&[0x15, 2, 0]), Ok(()));
        assert_eq!(check_footer(&[0x15, 2]), Err(Fault::Ends));
    }

    #[test]
    fn nothing_lies_deeper_than_the_library_goes() {
        let deep = [&[0xec][..], &vec![0x1c; 1000], &[0; 1001]].concat();
        assert_eq!(check_footer(&deep), Err(Fault::Damaged));
    }

    #[test]
    fn a_page_header_has_two_lengths() {
        // A dictionary of 3 values, 24 bytes, 20 as they are stored.
        let header = [0x15, 4, 0x15, 48, 0x15, 40, 0x4c, 0x15, 6, 0x15, 0, 0, 0];
        let page = [&header[..], &[9; 20]].concat();
        assert_eq!(check_page_header(&page), Ok((header.len(), 20)));
        assert_eq!(check_page_header(&page[..6]), Err(Fault::Ends));
        let none = [0x15, 4, 0x15, 48, 0];
        assert_eq!(check_page_header(&none), Err(Fault::Damaged));
        let negative = [0x15, 4, 0x15, 48, 0x15, 1, 0];
        assert_eq!(check_page_header(&negative), Err(Fault::Damaged));
    }
}
