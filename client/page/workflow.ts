/**
 * The workflow behind an upload, as the local stack shows it. A deployed API has no `/_local`: there the upload's
 * status is all that a page can see, and ops look into the Step Functions console.
 */

import { sleep } from '../backoff.ts';
import { BusEvents, type UploadEvent } from '../console/bus-events.ts';

export interface WorkflowState {
  readonly name: string;
  readonly status: 'waiting' | 'running' | 'succeeded' | 'caught' | 'failed' | 'aborted';
  /** Of a Map: how many items it has. */
  readonly items?: number;
}

/** What we read of `GET /_local/executions/{name}`. */
interface Execution {
  readonly status: string;
  readonly states: readonly (WorkflowState & {
    /** The Map that it is in. */
    readonly map?: string;
    readonly iterations?: { readonly total: number };
  })[];
}

let isLocal: Promise<boolean> | undefined;

/** Whether this page is served by the local stack. */
export function hasLocalStack(): Promise<boolean> {
  isLocal ??= fetch('/_local/executions?limit=1').then(
    (answer) => answer.ok && (answer.headers.get('content-type') ?? '').includes('json'),
    () => false,
  );
  return isLocal;
}

/** Undefined where there is no local stack, or the execution has not begun. */
export async function fetchWorkflow(executionName: string): Promise<readonly WorkflowState[] | undefined> {
  if (!(await hasLocalStack())) return undefined;
  const answer = await fetch(`/_local/executions/${encodeURIComponent(executionName)}`);
  return answer.ok ? milestones((await answer.json()) as Execution) : undefined;
}

/** The states worth showing: not those inside a Map, and in the end none that was not needed. */
export function milestones({ status, states }: Execution): readonly WorkflowState[] {
  return states
    .filter(({ map }) => map === undefined)
    .filter((state) => status === 'RUNNING' || (state.status !== 'waiting' && state.iterations?.total !== 0))
    .map((state) => ({
      name: state.name,
      status: state.status,
      ...(state.iterations ? { items: state.iterations.total } : {}),
    }));
}

const busEvents = new BusEvents();
const completions = new Map<string, UploadEvent>();

/** The completion event of an upload; it may lag behind the upload's status by a moment. */
export async function fetchEvent(uploadId: string): Promise<UploadEvent | undefined> {
  if (!(await hasLocalStack())) return undefined;
  for (let look = 0; look < 60 && !completions.has(uploadId); look++) {
    if (look > 0) await sleep(300);
    for (const { event } of await busEvents.fetchNew()) {
      const { uploadId: completed } = event.detail;
      if (event['detail-type'] === 'Upload Completed' && completed) completions.set(completed, event);
    }
  }
  return completions.get(uploadId);
}

/** A URL from which anyone on this machine can download a finished object. */
export async function fetchObjectUrl(key: string): Promise<string | undefined> {
  if (!(await hasLocalStack())) return undefined;
  const answer = await fetch(`/_local/object-url?${new URLSearchParams({ key })}`);
  return answer.ok ? ((await answer.json()) as { url: string }).url : undefined;
}
