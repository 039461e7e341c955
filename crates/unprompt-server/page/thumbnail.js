// Small copies of pictures: what the list shows and the history keeps.

const SIDE = 360;
let last = Promise.resolve();

/** A small copy as a data URL, or null where the browser cannot show the picture. One is made at a time. */
export function thumbnail(file) {
  last = last.then(() => make(file)).catch(() => null);
  return last;
}

async function make(file) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const scale = Math.min(1, SIDE / Math.max(image.naturalWidth, image.naturalHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/webp", 0.8);
  } finally {
    URL.revokeObjectURL(url);
  }
}
