export const VIEWS = ['executions', 'uploads', 'events'] as const;

export type View = (typeof VIEWS)[number];

/** `#/`, `#/executions/<name>`, `#/uploads` and `#/events`, so that each can be linked to and the back button works. */
export function routeOf(hash: string): { readonly view: View; readonly name?: string } {
  const [, first, name] = hash.split('/');
  const view = VIEWS.find((one) => one === first) ?? 'executions';
  return { view, ...(name ? { name: decoded(name) } : {}) };
}

/** An address typed by hand may be none that any link has: then no execution has that name. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
