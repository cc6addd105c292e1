import type { RawAnswer, Target } from './target.ts';

/** What a case observes, as plain values: compared whole. */
export type Outcome = Readonly<Record<string, unknown>>;

export interface ContractCase {
  readonly name: string;
  /** By AWS's documents. */
  readonly expected: Outcome;
  /** @param key is new for each run; a case that needs several puts them under it. */
  run(target: Target, key: string): Promise<Outcome>;
}

/** Where an engine other than ours does not follow AWS. */
export interface KnownDifference {
  readonly case: string;
  /** The API or page of AWS's documentation that decides. */
  readonly judge: string;
  readonly observed: Outcome;
}

/** Status and error code: what most cases are about. */
export const verdict = ({ status, code }: RawAnswer): Outcome => ({ status, code });

/** Throws for a step that must work for the case to mean anything. */
export function must(answer: RawAnswer, what: string): RawAnswer {
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`${what}: ${answer.status} ${answer.text.slice(0, 500)}`);
  }
  return answer;
}
