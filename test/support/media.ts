/** The first bytes of files of some kinds, followed by nothing that would play. */

const box = (type: string, ...content: Uint8Array[]): Buffer => {
  const body = Buffer.concat(content);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.byteLength);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
};
const fileType = (brand: string): Buffer =>
  box('ftyp', Buffer.from(brand), Buffer.alloc(4), Buffer.from(brand), Buffer.from('isom'));

/** An EBML header that names its document type. */
const ebml = (type: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x1a, 0x45, 0xdf, 0xa3, 0x80 | (3 + type.length), 0x42, 0x82, 0x80 | type.length]),
    Buffer.from(type),
  ]);

export const MP4 = Buffer.concat([fileType('mp42'), box('mdat', Buffer.alloc(64))]);
export const QUICKTIME = Buffer.concat([fileType('qt  '), box('mdat', Buffer.alloc(64))]);
export const WEBM = Buffer.concat([ebml('webm'), Buffer.alloc(64)]);
export const MATROSKA = Buffer.concat([ebml('matroska'), Buffer.alloc(64)]);
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
/** The end record of an empty archive. */
export const ZIP = Buffer.concat([Buffer.from('PK\x03\x04\x14\0\0\0\0\0', 'latin1'), Buffer.alloc(200)]);
export const HTML = Buffer.from('<!doctype html><script>alert(1)</script>'.padEnd(200));
