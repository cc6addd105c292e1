/** `DefaultRouteSettings` or `RouteSettings` of a stage. */
export interface ThrottleSettings {
  /** Requests per second. */
  readonly ThrottlingRateLimit?: number;
  /** The most requests at one instant. */
  readonly ThrottlingBurstLimit?: number;
}

/** A token bucket for each route. `take` is false where the route has no token left: answer 429. */
export function createThrottle(
  settingsOf: (routeKey: string) => ThrottleSettings,
  now: () => number,
): { take(routeKey: string): boolean } {
  const buckets = new Map<string, { tokens: number; at: number }>();
  return {
    take(routeKey) {
      const { ThrottlingRateLimit: rate, ThrottlingBurstLimit: burst } = settingsOf(routeKey);
      if (rate === undefined && burst === undefined) return true;
      // The account's own limits stand in for what the stage leaves open.
      const { perMs, size } = { perMs: (rate ?? 10_000) / 1000, size: burst ?? 5000 };
      const at = now();
      const bucket = buckets.get(routeKey) ?? { tokens: size, at };
      const tokens = Math.min(size, bucket.tokens + (at - bucket.at) * perMs);
      const allowed = tokens >= 1;
      buckets.set(routeKey, { tokens: allowed ? tokens - 1 : tokens, at });
      return allowed;
    },
  };
}
