/** Executions on disk: what they are, where they stand, their history. SQLite, so that a SIGKILL loses nothing. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { HistoryEvent } from './history.ts';

export type ExecutionStatus = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

/** An execution; times in milliseconds since the epoch. */
export interface Execution {
  /** Grows with every execution: newer ones have higher numbers. */
  readonly seq: number;
  readonly machine: string;
  readonly name: string;
  readonly status: ExecutionStatus;
  readonly input: string;
  readonly output: string | null;
  readonly error: string | null;
  readonly cause: string | null;
  readonly startDate: number;
  readonly stopDate: number | null;
  readonly redriveCount: number;
  readonly redriveDate: number | null;
  readonly redriveToken: string | null;
  /** The state that was entered last and not left, at the top level; null before the first. */
  readonly state: string | null;
  readonly stateInput: string | null;
  /** The id of the event that tasks of that state follow. */
  readonly stateEvent: number;
  /** The last event's id. */
  readonly events: number;
  readonly transitions: number;
  /** The status that was last told to the default event bus. */
  readonly announced: ExecutionStatus | null;
}

export interface Page {
  readonly limit: number;
  /** Only executions older than this number. */
  readonly before?: number | undefined;
  readonly machine?: string | undefined;
  readonly status?: string | undefined;
  /** Only those that run, or whose end was not told to the event bus. */
  readonly unfinished?: boolean;
}

export interface Store {
  insert(execution: Pick<Execution, 'machine' | 'name' | 'input' | 'startDate'>): Execution;
  get(seq: number): Execution;
  find(machine: string, name: string): Execution | undefined;
  /** Newest first. */
  list(page: Page): Execution[];
  /** Removes an execution and all that belongs to it. */
  remove(seq: number): void;
  update(seq: number, changes: Partial<Omit<Execution, 'seq'>>): void;
  /** One state transition more. */
  countTransition(seq: number): void;
  append(seq: number, event: HistoryEvent): void;
  events(
    seq: number,
    range: { readonly from: number; readonly limit: number; readonly reverse: boolean },
  ): HistoryEvent[];
  /** Outputs (JSON) of a Map's iterations that are done, by index. */
  iterations(seq: number, map: string): Map<number, string>;
  keepIteration(seq: number, map: string, index: number, output: string): void;
  /** Of a Map and of the Maps inside its iterations; without a Map, of the whole execution. */
  forgetIterations(seq: number, map?: string): void;
  transaction<T>(work: () => T): T;
  close(): void;
}

const schema = `
  CREATE TABLE IF NOT EXISTS executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
    input TEXT NOT NULL, output TEXT, error TEXT, cause TEXT, startDate INTEGER NOT NULL, stopDate INTEGER,
    redriveCount INTEGER NOT NULL DEFAULT 0, redriveDate INTEGER, redriveToken TEXT,
    state TEXT, stateInput TEXT, stateEvent INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0, transitions INTEGER NOT NULL DEFAULT 0, announced TEXT,
    UNIQUE (machine, name)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS executions_by_status ON executions (status, seq);
  CREATE TABLE IF NOT EXISTS events (
    execution INTEGER NOT NULL, id INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (execution, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS iterations (
    execution INTEGER NOT NULL, map TEXT NOT NULL, item INTEGER NOT NULL, output TEXT NOT NULL,
    PRIMARY KEY (execution, map, item)
  ) STRICT, WITHOUT ROWID;
`;

/** Opens `<dir>/states.sqlite`, making it if needed. */
export function openStore(dir: string): Store {
  mkdirSync(dir, { recursive: true });
  const db = new DatabaseSync(join(dir, 'states.sqlite'));
  // Written to the operating system at each commit: survives the process, if not a loss of power.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
  db.exec(schema);
  const insert = db.prepare(
    "INSERT INTO executions (machine, name, status, input, startDate) VALUES (?, ?, 'RUNNING', ?, ?) RETURNING *",
  );
  const get = db.prepare('SELECT * FROM executions WHERE seq = ?');
  const find = db.prepare('SELECT * FROM executions WHERE machine = ? AND name = ?');
  const append = db.prepare('INSERT INTO events (execution, id, body) VALUES (?, ?, ?)');
  const count = db.prepare('UPDATE executions SET events = ? WHERE seq = ?');
  const forward = db.prepare('SELECT body FROM events WHERE execution = ? AND id >= ? ORDER BY id LIMIT ?');
  const backward = db.prepare(
    'SELECT body FROM events WHERE execution = ? AND id <= ? ORDER BY id DESC LIMIT ?',
  );
  const iterations = db.prepare('SELECT item, output FROM iterations WHERE execution = ? AND map = ?');
  const keep = db.prepare(
    'INSERT OR REPLACE INTO iterations (execution, map, item, output) VALUES (?, ?, ?, ?)',
  );
  const forget = db.prepare(
    'DELETE FROM iterations WHERE execution = ? AND (map = ? OR substr(map, 1, length(?)) = ?)',
  );
  const forgetAll = db.prepare('DELETE FROM iterations WHERE execution = ?');
  const transition = db.prepare('UPDATE executions SET transitions = transitions + 1 WHERE seq = ?');
  const updates = new Map<string, ReturnType<typeof db.prepare>>();

  const transaction = <T>(work: () => T): T => {
    if (db.isTransaction) return work();
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      db.exec('COMMIT');
      return result;
    } catch (error) {
      db.exec('ROLLBACK');
      throw error;
    }
  };

  return {
    transaction,
    insert: ({ machine, name, input, startDate }) =>
      insert.get(machine, name, input, startDate) as unknown as Execution,
    get(seq) {
      const row = get.get(seq);
      if (!row) throw new Error(`there is no execution number ${seq}`);
      return row as unknown as Execution;
    },
    find: (machine, name) => find.get(machine, name) as unknown as Execution | undefined,
    list({ limit, before, machine, status, unfinished }) {
      const clauses = [
        ...(before === undefined ? [] : [['seq < ?', before] as const]),
        ...(machine === undefined ? [] : [['machine = ?', machine] as const]),
        ...(status === undefined ? [] : [['status = ?', status] as const]),
      ];
      const conditions = [
        ...clauses.map(([clause]) => clause),
        ...(unfinished ? ["(status = 'RUNNING' OR announced IS NOT status)"] : []),
      ];
      const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
      const statement = db.prepare(`SELECT * FROM executions ${where} ORDER BY seq DESC LIMIT ?`);
      return statement.all(...clauses.map(([, value]) => value), limit) as unknown as Execution[];
    },
    remove(seq) {
      transaction(() => {
        for (const [table, key] of [
          ['events', 'execution'],
          ['iterations', 'execution'],
          ['executions', 'seq'],
        ]) {
          db.prepare(`DELETE FROM ${table} WHERE ${key} = ?`).run(seq);
        }
      });
    },
    update(seq, changes) {
      const names = Object.keys(changes);
      const key = names.join();
      const statement =
        updates.get(key) ??
        db.prepare(`UPDATE executions SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE seq = ?`);
      updates.set(key, statement);
      statement.run(...(Object.values(changes) as SQLInputValue[]), seq);
    },
    countTransition: (seq) => void transition.run(seq),
    append(seq, event) {
      transaction(() => {
        append.run(seq, event.id, JSON.stringify(event));
        count.run(event.id, seq);
      });
    },
    events(seq, { from, limit, reverse }) {
      const rows = (reverse ? backward : forward).all(seq, from, limit) as unknown as { body: string }[];
      return rows.map(({ body }) => JSON.parse(body) as HistoryEvent);
    },
    iterations(seq, map) {
      const rows = iterations.all(seq, map) as unknown as { item: number; output: string }[];
      return new Map(rows.map(({ item, output }) => [item, output]));
    },
    keepIteration: (seq, map, index, output) => void keep.run(seq, map, index, output),
    forgetIterations(seq, map) {
      if (map === undefined) {
        forgetAll.run(seq);
        return;
      }
      const inside = `${map}[`;
      forget.run(seq, map, inside, inside);
    },
    close: () => db.close(),
  };
}
