/** What to make of embeddings: how alike every two texts are. Pure. */

export type Pair = { one: number; other: number; alike: number };

/** Reads rows of `dim` little-endian floats from base64. */
export function rows(blob: string, dim: number): Float32Array[] {
  const raw = Uint8Array.from(atob(blob), (letter) => letter.charCodeAt(0));
  const view = new DataView(raw.buffer);
  return Array.from({ length: raw.length / (dim * 4) }, (_, row) =>
    Float32Array.from({ length: dim }, (_, at) => view.getFloat32((row * dim + at) * 4, true)),
  );
}

/** Every two texts, the most alike first. Vectors have unit length: their product is the cosine. */
export function pairs(vectors: Float32Array[]): Pair[] {
  const found: Pair[] = [];
  vectors.forEach((one, first) => {
    vectors.slice(first + 1).forEach((other, after) => {
      const alike = one.reduce((sum, part, at) => sum + part * (other[at] ?? 0), 0);
      found.push({ one: first, other: first + 1 + after, alike });
    });
  });
  return found.sort((a, b) => b.alike - a.alike);
}
