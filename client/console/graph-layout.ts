/**
 * Where the states of a workflow stand and how their arrows run, from the definition alone. Layers from the start
 * downwards, each state below all that lead to it; arrows that skip layers get room of their own in these.
 */

/** What the layout reads of the States Language. */
export interface GraphStates {
  readonly StartAt: string;
  readonly States: Readonly<Record<string, GraphState>>;
}

export interface GraphState {
  readonly Type: string;
  readonly Next?: string;
  readonly End?: boolean;
  readonly Default?: string;
  readonly Choices?: readonly { readonly Next?: string }[];
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[]; readonly Next: string }[];
  readonly ItemProcessor?: GraphStates;
  readonly Iterator?: GraphStates;
  readonly Branches?: readonly GraphStates[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface GraphNode {
  readonly name: string;
  /** The state's type, or `start` and `end`. */
  readonly type: string;
  /** Left upper corner. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Whether others stand in it: a Map or Parallel. */
  readonly isGroup: boolean;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** The errors of a Catch, `default` of a Choice; empty for plain Next. */
  readonly label: string;
  /** From the lower edge of one to the upper edge of the other; upwards arrows run along the right side. */
  readonly points: readonly Point[];
}

export interface GraphLayout {
  readonly width: number;
  readonly height: number;
  /** Groups come before what stands in them. */
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** The names of the two round nodes; no state can be called so, since names have no line breaks. */
export const START = '\nstart';
export const END = '\nend';

const STATE = { width: 220, height: 52 };
const ROUND = { width: 64, height: 28 };
const GROUP = { padding: 20, head: 58 };
const GAP = { x: 36, y: 40 };
/** Room for an arrow that passes a layer. */
const PASSING_WIDTH = 24;

export function layoutGraph(definition: GraphStates): GraphLayout {
  return layout(definition, true);
}

interface Link {
  readonly from: string;
  readonly to: string;
  readonly label: string;
}

interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  /** Absent for the room of a passing arrow. */
  readonly state?: { readonly name: string; readonly type: string; readonly inner: readonly GraphLayout[] };
}

function layout({ StartAt, States }: GraphStates, withEnds: boolean): GraphLayout {
  const links: Link[] = withEnds ? [{ from: START, to: StartAt, label: '' }] : [];
  const boxes = new Map<string, Box>();
  const round = (id: string, type: string) =>
    boxes.set(id, { id, ...ROUND, state: { name: id, type, inner: [] } });
  if (withEnds) round(START, 'start');
  for (const [name, state] of Object.entries(States)) {
    boxes.set(name, boxOf(name, state));
    links.push(...linksOf(name, state, withEnds));
  }
  if (withEnds && links.some(({ to }) => to === END)) round(END, 'end');

  const { layerOf, upwards } = assignLayers([...boxes.keys()], links);
  const { layers, routes } = routeThroughLayers(boxes, links, layerOf, upwards);
  for (let sweep = 0; sweep < 4; sweep++) orderByNeighbours(layers, routes, sweep % 2 === 0);
  return place(layers, links, routes, upwards);
}

function boxOf(name: string, state: GraphState): Box {
  const parts =
    state.Branches ?? [state.ItemProcessor ?? state.Iterator].filter((part) => part !== undefined);
  const inner = parts.map((part) => layout(part, false));
  if (inner.length === 0) return { id: name, ...STATE, state: { name, type: state.Type, inner } };
  const innerWidth = inner.reduce((sum, { width }) => sum + width, 0) + GAP.x * (inner.length - 1);
  return {
    id: name,
    width: Math.max(innerWidth + 2 * GROUP.padding, STATE.width),
    height: Math.max(...inner.map(({ height }) => height)) + GROUP.head + GROUP.padding,
    state: { name, type: state.Type, inner },
  };
}

function linksOf(from: string, state: GraphState, withEnds: boolean): Link[] {
  const links: Link[] = [];
  if (state.Next !== undefined) links.push({ from, to: state.Next, label: '' });
  for (const { Next } of state.Choices ?? [])
    if (Next !== undefined) links.push({ from, to: Next, label: '' });
  if (state.Default !== undefined) links.push({ from, to: state.Default, label: 'default' });
  for (const { ErrorEquals, Next } of state.Catch ?? [])
    links.push({ from, to: Next, label: ErrorEquals.join(', ') });
  const isLast = state.End === true || state.Type === 'Succeed' || state.Type === 'Fail';
  if (withEnds && isLast) links.push({ from, to: END, label: '' });
  return links;
}

/** The longest way from the start decides the layer; arrows that close a circle do not count. */
function assignLayers(ids: readonly string[], links: readonly Link[]) {
  const upwards = new Set<Link>();
  const onPath = new Set<string>();
  const done: string[] = [];
  const visit = (id: string) => {
    onPath.add(id);
    for (const link of links) {
      if (link.from !== id) continue;
      if (onPath.has(link.to)) upwards.add(link);
      else if (!done.includes(link.to)) visit(link.to);
    }
    onPath.delete(id);
    done.push(id);
  };
  for (const id of ids) if (!done.includes(id)) visit(id);

  const layerOf = new Map(ids.map((id) => [id, 0]));
  for (const id of done.toReversed()) {
    for (const link of links) {
      if (link.from !== id || upwards.has(link)) continue;
      layerOf.set(link.to, Math.max(layerOf.get(link.to) ?? 0, (layerOf.get(id) ?? 0) + 1));
    }
  }
  return { layerOf, upwards };
}

/** Each link's boxes from one end to the other, with one more in each layer that it passes. */
function routeThroughLayers(
  boxes: ReadonlyMap<string, Box>,
  links: readonly Link[],
  layerOf: ReadonlyMap<string, number>,
  upwards: ReadonlySet<Link>,
) {
  const layers: Box[][] = [];
  const put = (box: Box, layer: number) => {
    layers[layer] ??= [];
    layers[layer].push(box);
    return box;
  };
  for (const [id, box] of boxes) put(box, layerOf.get(id) ?? 0);
  const routes = new Map<Link, readonly Box[]>();
  links.forEach((link, index) => {
    const [from, to] = [boxes.get(link.from), boxes.get(link.to)];
    if (!from || !to || upwards.has(link)) return;
    const route = [from];
    for (let layer = (layerOf.get(link.from) ?? 0) + 1; layer < (layerOf.get(link.to) ?? 0); layer++) {
      route.push(put({ id: `\npass ${index} ${layer}`, width: PASSING_WIDTH, height: 0 }, layer));
    }
    routes.set(link, [...route, to]);
  });
  return { layers, routes };
}

/** Puts each box near the middle of those that it is linked to in the layer before (or after), so that few lines cross. */
function orderByNeighbours(
  layers: Box[][],
  routes: ReadonlyMap<Link, readonly Box[]>,
  downwards: boolean,
): void {
  const neighbours = new Map<Box, Box[]>();
  for (const route of routes.values()) {
    for (let step = 1; step < route.length; step++) {
      const [before, after] = [route[step - 1], route[step]];
      if (!before || !after) continue;
      const [box, other] = downwards ? [after, before] : [before, after];
      neighbours.set(box, [...(neighbours.get(box) ?? []), other]);
    }
  }
  const position = new Map<Box, number>();
  const note = (layer: Box[]) =>
    layer.forEach((box, index) => position.set(box, (index + 0.5) / layer.length));
  layers.forEach(note);
  for (const layer of downwards ? layers : layers.toReversed()) {
    const wish = new Map(
      layer.map((box) => {
        const others = neighbours.get(box) ?? [];
        const sum = others.reduce((total, other) => total + (position.get(other) ?? 0), 0);
        return [box, others.length > 0 ? sum / others.length : (position.get(box) ?? 0)];
      }),
    );
    layer.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0));
    note(layer);
  }
}

function place(
  layers: readonly (readonly Box[])[],
  links: readonly Link[],
  routes: ReadonlyMap<Link, readonly Box[]>,
  upwards: ReadonlySet<Link>,
): GraphLayout {
  const widths = layers.map((layer) =>
    layer.reduce((sum, { width }) => sum + width, GAP.x * (layer.length - 1)),
  );
  const width = Math.max(0, ...widths);
  const corner = new Map<Box, Point>();
  let y = 0;
  layers.forEach((layer, index) => {
    const height = Math.max(...layer.map((box) => box.height));
    let x = (width - (widths[index] ?? 0)) / 2;
    for (const box of layer) {
      corner.set(box, { x, y: y + (height - box.height) / 2 });
      x += box.width + GAP.x;
    }
    y += height + GAP.y;
  });

  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  const boxesById = new Map<string, { box: Box; at: Point }>();
  for (const [box, at] of corner) {
    boxesById.set(box.id, { box, at });
    if (box.state) addNode(box, box.state, at, nodes, edges);
  }
  let lane = 0;
  for (const link of links) {
    const points = upwards.has(link)
      ? upwardPoints(boxesById.get(link.from), boxesById.get(link.to), width + 24 + 14 * lane++)
      : (routes.get(link) ?? []).map((box, index, route) => passThrough(box, corner, index, route.length));
    if (points.length > 0) edges.push({ ...link, points });
  }
  return { width: width + (lane > 0 ? 24 + 14 * lane : 0), height: Math.max(y - GAP.y, 0), nodes, edges };
}

function addNode(
  box: Box,
  { name, type, inner }: NonNullable<Box['state']>,
  at: Point,
  nodes: GraphNode[],
  edges: GraphEdge[],
): void {
  nodes.push({ name, type, ...at, width: box.width, height: box.height, isGroup: inner.length > 0 });
  const innerWidth = inner.reduce((sum, part) => sum + part.width, 0) + GAP.x * (inner.length - 1);
  let x = at.x + (box.width - innerWidth) / 2;
  for (const part of inner) {
    const shift = (point: Point): Point => ({ x: point.x + x, y: point.y + at.y + GROUP.head });
    for (const node of part.nodes) nodes.push({ ...node, ...shift(node) });
    for (const edge of part.edges) edges.push({ ...edge, points: edge.points.map(shift) });
    x += part.width + GAP.x;
  }
}

function passThrough(box: Box, corner: ReadonlyMap<Box, Point>, index: number, length: number): Point {
  const at = corner.get(box) ?? { x: 0, y: 0 };
  const y = index === 0 ? at.y + box.height : index === length - 1 ? at.y : at.y + box.height / 2;
  return { x: at.x + box.width / 2, y };
}

function upwardPoints(
  from: { box: Box; at: Point } | undefined,
  to: { box: Box; at: Point } | undefined,
  x: number,
): Point[] {
  if (!from || !to) return [];
  const rightOf = ({ box, at }: { box: Box; at: Point }, share: number): Point => ({
    x: at.x + box.width,
    y: at.y + box.height * share,
  });
  const [start, end] = [rightOf(from, 0.7), rightOf(to, 0.3)];
  return [start, { x, y: start.y }, { x, y: end.y }, end];
}
