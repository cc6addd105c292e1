import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { S3Error } from './errors.ts';

export type XmlValue =
  | string
  | number
  | boolean
  | undefined
  | readonly XmlValue[]
  | { readonly [name: string]: XmlValue };

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** A document of S3's namespace. Arrays repeat their element; `undefined` leaves it out. */
export const xmlDocument = (root: string, content: { readonly [name: string]: XmlValue }): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${namespace}">${children(content)}</${root}>`;

/** S3's error document, which has no namespace. */
export const errorDocument = (content: { readonly [name: string]: XmlValue }): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${children(content)}</Error>`;

const children = (content: { readonly [name: string]: XmlValue }): string =>
  Object.entries(content)
    .map(([name, value]) => element(name, value))
    .join('');

function element(name: string, value: XmlValue): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.map((item: XmlValue) => element(name, item)).join('');
  const inner =
    typeof value === 'object'
      ? children(value as { readonly [name: string]: XmlValue })
      : escapeText(String(value));
  return `<${name}>${inner}</${name}>`;
}

const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Control characters go out as references, as S3 sends them; a bare CR would not survive a parser. */
const escapeText = (text: string): string =>
  text.replace(
    /[&<>"]|(?![\t\n])\p{Cc}/gu,
    (character) => named[character] ?? `&#x${character.charCodeAt(0).toString(16)};`,
  );

const parser = new XMLParser({
  ignoreAttributes: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: true,
  // No document type, so no entity of the sender's own: only XML's five and numeric references are decoded.
  processEntities: { enabled: true, maxTotalExpansions: 100_000, maxExpandedLength: 10_000_000 },
  htmlEntities: false,
});

/** The root element's content, or MalformedXML. Elements are strings, objects, or arrays where they repeat. */
export function parseXml(text: string, root: string): unknown {
  // S3's documents have no document type; refusing one refuses entity expansion and external entities.
  if (/<!DOCTYPE/i.test(text) || XMLValidator.validate(text) !== true) throw new S3Error('MalformedXML');
  let parsed: unknown;
  try {
    parsed = parser.parse(text);
  } catch (cause) {
    throw Object.assign(new S3Error('MalformedXML'), { cause });
  }
  const content = field(parsed, root);
  if (content === undefined) throw new S3Error('MalformedXML');
  return content;
}

/** A child element by name, or undefined. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** A child element's text, or undefined; MalformedXML where it has children or repeats. */
export function textField(value: unknown, name: string): string | undefined {
  const found = field(value, name);
  if (found === undefined || typeof found === 'string') return found;
  throw new S3Error('MalformedXML');
}

/** The elements of that name, however many. */
export function listField(value: unknown, name: string): readonly unknown[] {
  const found = field(value, name);
  if (found === undefined) return [];
  return Array.isArray(found) ? found : [found];
}
