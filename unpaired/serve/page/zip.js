// A ZIP archive of files that are compressed already: stored, with CRC-32 (APPNOTE 6.3.3, sections 4.3.7 to 4.3.16).
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// Little-endian fields: [value, bytes] in order.
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((total, [, length]) => total + length, 0)));
  let at = 0;
  for (const [value, length] of fields) {
    if (length === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
    at += length;
  }
  return new Uint8Array(view.buffer);
}

const UTF8 = 0x0800;
const DAY = 0x21; // 1980-01-01: the archive says nothing of when it was made

export async function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer()), label = new TextEncoder().encode(name);
    const common = [[20, 2], [UTF8, 2], [0, 2], [0, 2], [DAY, 2], [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [label.length, 2], [0, 2]];
    const local = record([0x04034b50, 4], ...common);
    directory.push(record([0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), label);
    parts.push(local, label, bytes);
    offset += local.length + label.length + bytes.length;
  }
  const size = directory.reduce((total, part) => total + part.length, 0);
  const end = record([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
