// The one measure of the page.

/** The cosine of two vectors; null where there is none: other lengths, nothing in them, or only zeros. */
export function cosine(one, other) {
  if (!one?.length || one.length !== other?.length) return null;
  let [product, ones, others] = [0, 0, 0];
  for (let index = 0; index < one.length; index += 1) {
    product += one[index] * other[index];
    ones += one[index] ** 2;
    others += other[index] ** 2;
  }
  const lengths = Math.sqrt(ones * others);
  return lengths > 0 ? product / lengths : null;
}
