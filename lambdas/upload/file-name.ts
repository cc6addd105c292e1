/**
 * The last segment of the object's key: the client's file name, made safe to store, to list and to download.
 *
 * Path separators, control characters, line ends and invisible or direction-changing characters go (a name such as
 * `gpj.<RLO>4pm` must not show as another type); composed form (NFC), so that equal names are equal bytes; at most
 * 200 bytes of UTF-8, cut in the stem so that the ending stays; never empty, never only dots, never with a leading
 * dot or a name that Windows reserves. Letters of all scripts and emoji stay.
 */
export function cleanFileName(name: string): string {
  const base = name.toWellFormed().normalize('NFC').split(/[/\\]/).at(-1) ?? '';
  const plain = base
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, '')
    .replace(/["'<>:|?*`^{}%~#[\]&$+,;=@!]/g, '_')
    .replace(/\s+/g, ' ')
    .replace(/^[. ]+|[. ]+$/g, '');
  const named = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(plain) ? `_${plain}` : plain;
  return shorten(named || 'file', 200);
}

/** The ending with its dot, lower case: `.mp4`; empty where there is none. */
export const extensionOf = (fileName: string): string =>
  /[^.](\.[^.\s]{1,16})$/.exec(fileName)?.[1]?.toLowerCase() ?? '';

function shorten(name: string, maxBytes: number): string {
  if (Buffer.byteLength(name) <= maxBytes) return name;
  const ending = extensionOf(name);
  let stem = '';
  let room = maxBytes - Buffer.byteLength(ending);
  for (const character of name.slice(0, name.length - ending.length)) {
    room -= Buffer.byteLength(character);
    if (room < 0) break;
    stem += character;
  }
  return stem.trimEnd() + ending;
}
