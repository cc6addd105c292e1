import { bucketCases } from './bucket-cases.ts';
import type { ContractCase, KnownDifference, Outcome } from './case.ts';
import { corsCases } from './cors-cases.ts';
import { multipartCases } from './multipart-cases.ts';
import { objectCases } from './object-cases.ts';
import { signatureCases } from './signature-cases.ts';
import { unique } from './target.ts';

/** What an engine answers to requests that have passed the front door, which checks signatures. */
export const engineCases = [...bucketCases, ...objectCases, ...multipartCases, ...corsCases];
/** What a whole S3 answers. */
export const allCases = [...engineCases, ...signatureCases];

/** As Jest's `each` takes them. */
export const named = (cases: readonly ContractCase[]) =>
  cases.map((contractCase) => [contractCase.name, contractCase] as const);

export const keyOf = (contractCase: ContractCase): string =>
  `contract/${unique()}/${contractCase.name
    .toLowerCase()
    .replaceAll(/[^a-z]+/g, '-')
    .slice(0, 40)}`;

/** The listed observation of a case, or what AWS documents. */
export function expectedOf(
  name: string,
  expected: Outcome,
  ...lists: (readonly KnownDifference[])[]
): Outcome {
  return lists.flat().find((difference) => difference.case === name)?.observed ?? expected;
}
