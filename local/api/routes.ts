/** A route key of an HTTP API, taken apart. */
export interface RoutePattern {
  /** As in the template: `GET /uploads/{id}` or `$default`. */
  readonly routeKey: string;
  /** `ANY` fits every method. */
  readonly method: string;
  readonly segments: readonly Segment[];
}

type Segment =
  | { readonly kind: 'static'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'greedy'; readonly name: string };

export interface RouteMatch<R extends RoutePattern> {
  readonly route: R;
  /** Decoded values of the path's variables. */
  readonly pathParameters: Readonly<Record<string, string>>;
}

/** @throws an Error for a key that API Gateway would refuse */
export function parseRouteKey(routeKey: string): RoutePattern {
  if (routeKey === '$default') {
    return { routeKey, method: 'ANY', segments: [{ kind: 'greedy', name: '' }] };
  }
  const match = /^([A-Z]+) (\/\S*)$/.exec(routeKey);
  if (!match?.[1] || !match[2]) throw new Error(`${routeKey} is not a route key`);
  const segments = match[2]
    .split('/')
    .slice(1)
    .map((text): Segment => {
      const variable = /^\{([^+}]+)(\+?)\}$/.exec(text);
      if (!variable?.[1]) return { kind: 'static', text };
      return { kind: variable[2] ? 'greedy' : 'variable', name: variable[1] };
    });
  if (segments.slice(0, -1).some(({ kind }) => kind === 'greedy')) {
    throw new Error(`${routeKey}: a greedy variable must come last`);
  }
  return { routeKey, method: match[1], segments };
}

/**
 * The route that API Gateway chooses: among those whose method and path fit, the most specific path (a static
 * segment before a variable, a variable before a greedy one, `$default` last), then its own method before `ANY`.
 *
 * @param path as it came, still percent-encoded, without the stage
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
 */
export function matchRoute<R extends RoutePattern>(
  routes: readonly R[],
  method: string,
  path: string,
): RouteMatch<R> | undefined {
  const parts = path.split('/').slice(1);
  const [best] = routes
    .filter((route) => route.method === 'ANY' || route.method === method)
    .flatMap((route) => {
      const pathParameters = matchPath(route, parts);
      return pathParameters ? [{ route, pathParameters }] : [];
    })
    .sort((a, b) => compareSpecificity(a.route, b.route));
  return best;
}

function matchPath(
  { routeKey, segments }: RoutePattern,
  parts: readonly string[],
): Record<string, string> | undefined {
  if (routeKey === '$default') return {};
  const values: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const part = parts[index];
    if (part === undefined) return undefined;
    if (segment.kind === 'greedy') {
      const rest = parts.slice(index).join('/');
      if (rest === '') return undefined;
      values[segment.name] = decode(rest);
      return values;
    }
    if (segment.kind === 'static' && decode(part) !== segment.text) return undefined;
    if (segment.kind === 'variable') {
      if (part === '') return undefined;
      values[segment.name] = decode(part);
    }
  }
  return parts.length === segments.length ? values : undefined;
}

function compareSpecificity(a: RoutePattern, b: RoutePattern): number {
  const rank = { static: 0, variable: 1, greedy: 2 };
  const isDefault = (route: RoutePattern) => Number(route.routeKey === '$default');
  if (isDefault(a) !== isDefault(b)) return isDefault(a) - isDefault(b);
  for (let index = 0; index < Math.max(a.segments.length, b.segments.length); index += 1) {
    const [left, right] = [a.segments[index], b.segments[index]];
    const difference = (left ? rank[left.kind] : 3) - (right ? rank[right.kind] : 3);
    if (difference !== 0) return difference;
  }
  return Number(a.method === 'ANY') - Number(b.method === 'ANY');
}

/** Percent-decodes; text that is not valid percent-encoding stays as it is. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
