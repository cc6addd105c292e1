/** The events that came in and what became of their deliveries, on disk. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { EventEnvelope } from './envelope.ts';

/** `dead`: given up, for the reason said; EventBridge would hand it to a dead-letter queue. */
export type DeliveryStatus = 'pending' | 'delivered' | 'dead';

/** One event on its way to one target of one rule. */
export interface Delivery {
  readonly id: number;
  readonly seq: number;
  /** The rule's ARN. */
  readonly rule: string;
  /** The target's id within the rule. */
  readonly target: string;
  readonly status: DeliveryStatus;
  /** How often the target was called. */
  readonly attempts: number;
  readonly reason: string | null;
}

export interface LoggedEvent {
  readonly seq: number;
  readonly bus: string;
  readonly event: EventEnvelope;
  readonly deliveries: readonly Delivery[];
}

/** How many events are kept; older ones go once all their deliveries are over. */
export const KEPT_EVENTS = 10_000;
const PRUNE_EVERY = 100;

export interface EventLog {
  /** Keeps an event and a pending delivery for each target, before anything is delivered. */
  add(bus: string, event: EventEnvelope, targets: readonly { rule: string; target: string }[]): LoggedEvent;
  pending(): LoggedEvent[];
  update(delivery: number, change: Pick<Delivery, 'status' | 'attempts' | 'reason'>): void;
  /** Oldest first, those with a higher number than `after`. */
  list(after: number, limit: number): LoggedEvent[];
  dead(): LoggedEvent[];
  close(): void;
}

type EventRow = { seq: number; bus: string; event: string };

/** Opens `<dir>/events.sqlite`, making it if needed. */
export function openEventLog(dir: string): EventLog {
  mkdirSync(dir, { recursive: true });
  const db = new DatabaseSync(join(dir, 'events.sqlite'));
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
  db.exec(`
    CREATE TABLE IF NOT EXISTS events (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, bus TEXT NOT NULL, event TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS deliveries (
      id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, rule TEXT NOT NULL, target TEXT NOT NULL,
      status TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0, reason TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS deliveries_of_event ON deliveries (seq);
    CREATE INDEX IF NOT EXISTS deliveries_not_done ON deliveries (status, seq) WHERE status <> 'delivered';
  `);
  const addEvent = db.prepare('INSERT INTO events (bus, event) VALUES (?, ?) RETURNING seq');
  const addDelivery = db.prepare('INSERT INTO deliveries (seq, rule, target) VALUES (?, ?, ?) RETURNING *');
  const update = db.prepare('UPDATE deliveries SET status = ?, attempts = ?, reason = ? WHERE id = ?');
  const deliveriesOf = db.prepare('SELECT * FROM deliveries WHERE seq = ? ORDER BY id');
  const after = db.prepare('SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?');
  const withStatus = (status: DeliveryStatus) =>
    db.prepare(
      `SELECT * FROM events WHERE seq IN (SELECT seq FROM deliveries WHERE status = '${status}') ORDER BY seq`,
    );
  const pending = withStatus('pending');
  const dead = withStatus('dead');
  const prune = db.prepare(
    "DELETE FROM events WHERE seq <= ? AND seq NOT IN (SELECT seq FROM deliveries WHERE status = 'pending')",
  );
  const pruneDeliveries = db.prepare(
    'DELETE FROM deliveries WHERE seq <= ? AND seq NOT IN (SELECT seq FROM events)',
  );

  const toEvent = ({ seq, bus, event }: EventRow): LoggedEvent => ({
    seq,
    bus,
    event: JSON.parse(event) as EventEnvelope,
    deliveries: (deliveriesOf.all(seq) as unknown as Delivery[]).map((delivery) => ({ ...delivery })),
  });
  const rows = (found: unknown[]) => (found as EventRow[]).map(toEvent);

  return {
    add(bus, event, targets) {
      db.exec('BEGIN IMMEDIATE');
      try {
        const { seq } = addEvent.get(bus, JSON.stringify(event)) as { seq: number };
        const deliveries = targets.map(
          ({ rule, target }) => ({ ...addDelivery.get(seq, rule, target) }) as unknown as Delivery,
        );
        if (seq % PRUNE_EVERY === 0) {
          prune.run(seq - KEPT_EVENTS);
          pruneDeliveries.run(seq - KEPT_EVENTS);
        }
        db.exec('COMMIT');
        return { seq, bus, event, deliveries };
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    },
    pending: () => rows(pending.all()),
    update: (id, { status, attempts, reason }) => void update.run(status, attempts, reason, id),
    list: (from, limit) => rows(after.all(from, limit)),
    dead: () => rows(dead.all()),
    close: () => db.close(),
  };
}
