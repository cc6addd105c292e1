import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { createCRC32, createCRC64, type IHasher } from 'hash-wasm';

/** The checksum algorithms of https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html that this S3 knows. */
export const checksumAlgorithms = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

/** How an object's checksum comes from its parts': over all bytes, or over the parts' checksums. */
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE';

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  /** Base64; a composite one ends in `-<number of parts>`. */
  readonly value: string;
}

/** Base64 checksums by algorithm. */
export type ChecksumValues = Partial<Record<ChecksumAlgorithm, string>>;

/** What S3 adds to objects that are sent without a checksum, since December 2024. */
export const defaultAlgorithm: ChecksumAlgorithm = 'CRC64NVME';

export const checksumHeader = (algorithm: ChecksumAlgorithm): string =>
  `x-amz-checksum-${algorithm.toLowerCase()}`;

export const checksumElement = (algorithm: ChecksumAlgorithm): string => `Checksum${algorithm}`;

export const isChecksumAlgorithm = (name: string): name is ChecksumAlgorithm =>
  (checksumAlgorithms as readonly string[]).includes(name);

/** The types an algorithm allows, its default first. */
export const checksumTypes = (algorithm: ChecksumAlgorithm): readonly ChecksumType[] =>
  algorithm === 'CRC64NVME'
    ? ['FULL_OBJECT']
    : algorithm === 'CRC32' || algorithm === 'CRC32C'
      ? ['COMPOSITE', 'FULL_OBJECT']
      : ['COMPOSITE'];

const digestLengths: Record<ChecksumAlgorithm, number> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

/** Whether the text is base64 of a digest of the algorithm's length. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, value: string): boolean {
  const bytes = Buffer.from(value, 'base64');
  return bytes.length === digestLengths[algorithm] && bytes.toString('base64') === value;
}

export interface Hasher {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

/** CRC polynomials, bits reversed as the reflected CRCs use them. */
const polynomials = {
  CRC32: { width: 32, polynomial: 0xedb88320n },
  CRC32C: { width: 32, polynomial: 0x82f63b78n },
  CRC64NVME: { width: 64, polynomial: 0x9a6c9329ac4bc9b5n },
} as const;

/** WebAssembly instances are costly to make and can be used again once they gave their digest. */
const idle: Record<'CRC32C' | 'CRC64NVME', IHasher[]> = { CRC32C: [], CRC64NVME: [] };

async function wasmHasher(algorithm: 'CRC32C' | 'CRC64NVME'): Promise<Hasher> {
  const { polynomial } = polynomials[algorithm];
  const wasm =
    idle[algorithm].pop() ??
    (algorithm === 'CRC32C'
      ? await createCRC32(Number(polynomial))
      : await createCRC64(polynomial.toString(16)));
  wasm.init();
  return {
    update: (bytes) => void wasm.update(bytes),
    digest: () => {
      const digest = Buffer.from(wasm.digest('binary'));
      idle[algorithm].push(wasm);
      return digest;
    },
  };
}

function crc32Hasher(): Hasher {
  let state = 0;
  return {
    update: (bytes) => {
      state = crc32(bytes, state);
    },
    digest: () => {
      const digest = Buffer.alloc(4);
      digest.writeUInt32BE(state);
      return digest;
    },
  };
}

export async function createHasher(algorithm: ChecksumAlgorithm): Promise<Hasher> {
  switch (algorithm) {
    case 'CRC32':
      return crc32Hasher();
    case 'CRC32C':
    case 'CRC64NVME':
      return wasmHasher(algorithm);
    case 'SHA1':
    case 'SHA256': {
      const hash = createHash(algorithm.toLowerCase());
      return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
    }
  }
}

/** The object's checksum from its parts', in their order. */
export function combineChecksums(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly { readonly value: string; readonly size: number }[],
): Checksum {
  if (type === 'COMPOSITE') {
    const joined = Buffer.concat(parts.map(({ value }) => Buffer.from(value, 'base64')));
    return { algorithm, type, value: `${digestOf(algorithm, joined).toString('base64')}-${parts.length}` };
  }
  if (!(algorithm in polynomials)) throw new Error(`${algorithm} has no full-object form`);
  return { algorithm, type, value: combineCrcs(algorithm as keyof typeof polynomials, parts) };
}

function digestOf(algorithm: ChecksumAlgorithm, bytes: Buffer): Buffer {
  if (algorithm === 'SHA1' || algorithm === 'SHA256') {
    return createHash(algorithm.toLowerCase()).update(bytes).digest();
  }
  if (algorithm === 'CRC32C') return crcOf('CRC32C', bytes);
  const hasher = crc32Hasher();
  hasher.update(bytes);
  return hasher.digest();
}

/** Bit by bit: only for the few kilobytes of a composite. */
function crcOf(algorithm: keyof typeof polynomials, bytes: Buffer): Buffer {
  const polynomial = Number(polynomials[algorithm].polynomial);
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  }
  const digest = Buffer.alloc(4);
  digest.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return digest;
}

/**
 * The CRC of joined blocks from the blocks' CRCs and sizes: crc(A·B) = crc(A)·x^(8·|B|) + crc(B), modulo the
 * CRC's polynomial over GF(2), as zlib's crc32_combine does it. Parts are mostly of one size, so the power is
 * kept by size.
 */
function combineCrcs(
  algorithm: keyof typeof polynomials,
  parts: readonly { readonly value: string; readonly size: number }[],
): string {
  const { width, polynomial } = polynomials[algorithm];
  const top = 1n << BigInt(width - 1);

  /** Reflected: the highest bit is x^0, so multiplying by x shifts right. */
  const multiply = (a: bigint, b: bigint): bigint => {
    let product = 0n;
    let factor = b;
    for (let bit = top; bit !== 0n; bit >>= 1n) {
      if (a & bit) product ^= factor;
      factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
    }
    return product;
  };
  const powers = new Map<number, bigint>();
  const powerOf = (size: number): bigint => {
    const known = powers.get(size);
    if (known !== undefined) return known;
    let result = top;
    let square = top >> 8n; // x^8: one byte
    for (let left = size; left > 0; left = Math.floor(left / 2)) {
      if (left % 2 === 1) result = multiply(result, square);
      square = multiply(square, square);
    }
    powers.set(size, result);
    return result;
  };

  let crc = 0n;
  for (const { value, size } of parts) {
    const part = BigInt(`0x${Buffer.from(value, 'base64').toString('hex')}`);
    crc = multiply(powerOf(size), crc) ^ part;
  }
  return Buffer.from(crc.toString(16).padStart(width / 4, '0'), 'hex').toString('base64');
}
