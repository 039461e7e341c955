//! Where a tensor's elements lie in its file, and how to read them in row-major order.

use crate::{dtype::DType, error::Fault};
use std::borrow::Cow;

/// No model comes near this rank; it bounds the arithmetic on shapes.
pub(crate) const MAX_RANK: usize = 16;

/// A tensor's description. Made by the readers, which check that every byte it names is inside
/// the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Byte position of the first element in the file.
    pub start: usize,
    /// Steps between neighbours along each axis, in elements; `None` when row-major without gaps.
    pub strides: Option<Vec<usize>>,
}

/// The named tensors of a file, each with its place in it.
pub(crate) type Layouts = Result<Vec<(String, Layout)>, Fault>;

impl Layout {
    /// Bytes of the tensor once contiguous.
    pub fn byte_count(&self) -> Option<usize> {
        element_count(&self.shape)?.checked_mul(self.dtype.size())
    }

    /// The elements in row-major order, borrowed when they lie so in `file` already.
    pub fn read<'f>(&self, file: &'f [u8]) -> Result<Cow<'f, [u8]>, Fault> {
        let outside = || Fault::malformed("a tensor reaches past the end of the file");
        let length = self.byte_count().ok_or_else(outside)?;
        let Some(strides) = &self.strides else {
            let end = self.start.checked_add(length).ok_or_else(outside)?;
            return Ok(Cow::Borrowed(
                file.get(self.start..end).ok_or_else(outside)?,
            ));
        };
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Fault::too_large(format!("no memory for a tensor of {length} bytes")))?;
        let width = self.dtype.size();
        let mut index = vec![0; self.shape.len()];
        let mut position = self.start;
        while bytes.len() < length {
            let element = position
                .checked_add(width)
                .and_then(|end| file.get(position..end))
                .ok_or_else(outside)?;
            bytes.extend_from_slice(element);
            // Count up like an odometer: the last axis turns fastest.
            for axis in (0..index.len()).rev() {
                let step = strides[axis] * width;
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    position += step;
                    break;
                }
                position -= step * (self.shape[axis] - 1);
                index[axis] = 0;
            }
        }
        Ok(Cow::Owned(bytes))
    }
}

/// The product of a shape, or `None` when it is too large to count.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
}
