/**
 * Whether a file's first bytes are what its announced type says: magic numbers, by the library `file-type`. It keeps a
 * page or a program from passing as a video; it does not prove that a video plays.
 */

/** As many bytes as the library looks at. A chunk's or a part's beginning holds them, but for tiny files. */
export const SNIFFED_BYTES = 4_100;

/** The type that the bytes show, lower case; undefined where they show none. */
export async function typeOfBytes(bytes: Uint8Array): Promise<string | undefined> {
  // Loaded when it is first needed: most deployments do not look at bytes.
  const { fileTypeFromBuffer } = await import('file-type/core');
  const found = await fileTypeFromBuffer(bytes.subarray(0, SNIFFED_BYTES));
  return found?.mime.toLowerCase();
}

/**
 * @param announced media type, lower case
 * @param shown by the bytes; undefined where they show none
 * @param allowed as in the settings; empty: any
 * @returns a sentence that says what does not fit; undefined where it does
 */
export function contentMismatch(
  announced: string,
  shown: string | undefined,
  allowed: readonly string[],
): string | undefined {
  if (shown === undefined)
    return /^(audio|image|video)\//.test(announced)
      ? `The file is announced as ${announced}, and its first bytes are of no such type.`
      : undefined;
  if (isSame(announced, shown)) return undefined;
  if (announced === 'application/octet-stream' || announced.startsWith('text/'))
    // Nothing was said about it: it must be something that is taken here.
    return allowed.length === 0 || allowed.some((one) => isWithin(shown, one))
      ? undefined
      : `The file is announced as ${announced}, and its first bytes show ${shown}, which is not taken here.`;
  return `The file is announced as ${announced}, and its first bytes show ${shown}.`;
}

const isWithin = (type: string, allowed: string): boolean =>
  isSame(type, allowed) || (allowed.endsWith('/*') && type.startsWith(allowed.slice(0, -1)));

/**
 * Types that share their first bytes, or are names of the same: browsers name a file by its ending, bytes only show
 * the container.
 */
const FAMILIES: readonly (readonly string[])[] = [
  // ISO base media and QuickTime
  [
    'video/mp4',
    'video/quicktime',
    'video/x-m4v',
    'video/3gpp',
    'video/3gpp2',
    'audio/mp4',
    'audio/x-m4a',
    'audio/m4a',
    'audio/aac',
    'audio/3gpp',
  ],
  // Matroska
  [
    'video/webm',
    'video/x-matroska',
    'video/matroska',
    'audio/webm',
    'audio/x-matroska',
    'audio/matroska',
    'application/x-matroska',
  ],
  ['video/ogg', 'audio/ogg', 'application/ogg', 'audio/opus', 'audio/ogg; codecs=opus', 'application/ogx'],
  ['video/x-ms-wmv', 'video/x-ms-asf', 'audio/x-ms-wma', 'audio/x-ms-asf', 'application/vnd.ms-asf'],
  ['video/avi', 'video/x-msvideo', 'video/vnd.avi', 'video/msvideo'],
  ['video/mpeg', 'video/mp1s', 'video/mp2p', 'video/mp2t', 'video/vnd.dlna.mpeg-tts'],
  ['audio/mpeg', 'audio/mp3', 'audio/mpeg3', 'audio/x-mpeg'],
  ['audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave'],
  ['audio/flac', 'audio/x-flac'],
  ['audio/aac', 'audio/x-aac', 'audio/aacp'],
  ['audio/aiff', 'audio/x-aiff'],
  ['image/jpeg', 'image/jpg', 'image/pjpeg'],
  ['image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence'],
  ['image/x-icon', 'image/vnd.microsoft.icon'],
  ['image/bmp', 'image/x-ms-bmp'],
  ['image/svg+xml', 'application/xml', 'text/xml'],
  ['application/gzip', 'application/x-gzip'],
  ['application/zip', 'application/x-zip-compressed'],
];

/** Documents that are ZIP archives; the few bytes looked at do not always show which. */
const isZipDocument = (type: string): boolean =>
  /^application\/(vnd\.openxmlformats-officedocument\.|vnd\.oasis\.opendocument\.|epub\+zip$|java-archive$)/.test(
    type,
  );

const isSame = (announced: string, shown: string): boolean =>
  announced === shown ||
  FAMILIES.some((family) => family.includes(announced) && family.includes(shown)) ||
  (shown === 'application/zip' && isZipDocument(announced));
