import type { ExecutionDetail, StateOverview } from '../../local/states/overview.ts';
import {
  END,
  type GraphEdge,
  type GraphLayout,
  type GraphNode,
  layoutGraph,
  type Point,
  START,
} from './graph-layout.ts';
import { pathTaken, transition } from './path-taken.ts';

const SVG = 'http://www.w3.org/2000/svg';
const MARGIN = 12;

/** Draws executions' state graphs into an SVG, and changes only what has changed. */
export class GraphView {
  readonly #svg: SVGSVGElement;
  readonly #choose: (stateName: string) => void;
  #definition = '';
  #layout: GraphLayout | undefined;
  readonly #nodes = new Map<string, SVGGElement>();
  readonly #edges: { edge: GraphEdge; path: SVGPathElement }[] = [];

  /** @param choose told which state was clicked, or activated with Enter or the space bar */
  constructor(svg: SVGSVGElement, choose: (stateName: string) => void) {
    this.#svg = svg;
    this.#choose = choose;
  }

  show(execution: ExecutionDetail, chosen: string | undefined): void {
    const definition = JSON.stringify(execution.definition);
    if (definition !== this.#definition) this.#draw(layoutGraph(execution.definition));
    this.#definition = definition;

    const states = new Map(execution.states.map((state) => [state.name, state]));
    for (const [name, element] of this.#nodes) {
      element.dataset.status = statusOf(name, states.get(name), execution);
      if (name === START || name === END) continue;
      element.setAttribute('aria-label', describe(name, states.get(name)));
      element.setAttribute('aria-pressed', String(name === chosen));
      const note = noteOf(states.get(name));
      const text = element.querySelector('.note');
      if (text && text.textContent !== note) text.textContent = note;
      element.classList.toggle('noted', note !== '');
    }
    const taken = pathTaken(execution.events);
    for (const { edge, path } of this.#edges)
      path.classList.toggle('taken', taken.has(transition(edge.from, edge.to)));
  }

  #draw(layout: GraphLayout): void {
    this.#layout = layout;
    this.#nodes.clear();
    this.#edges.length = 0;
    const { width, height } = this.#layout;
    this.#svg.setAttribute('viewBox', `${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`);
    this.#svg.setAttribute('width', String(width + 2 * MARGIN));
    this.#svg.setAttribute('height', String(height + 2 * MARGIN));
    this.#svg.replaceChildren(arrowHeads());
    const groups = layout.nodes.filter(({ isGroup }) => isGroup);
    for (const node of groups) this.#addNode(node);
    for (const edge of layout.edges) this.#addEdge(edge);
    for (const node of layout.nodes) if (!node.isGroup) this.#addNode(node);
  }

  #addNode(node: GraphNode): void {
    const group = create('g', {
      class: `node ${node.isGroup ? 'group' : ''}`,
      transform: `translate(${node.x} ${node.y})`,
    });
    const { width, height, name } = node;
    const isRound = name === START || name === END;
    group.append(create('rect', { width, height, rx: isRound ? height / 2 : 8 }));
    const text = (content: string, y: number, className: string) => {
      const element = create('text', { x: width / 2, y, class: className });
      element.textContent = content;
      group.append(element);
    };
    if (isRound) {
      text(name === START ? 'Start' : 'End', height / 2, 'name');
      group.setAttribute('aria-hidden', 'true');
    } else {
      const middle = node.isGroup ? 29 : height / 2;
      text(`${shorten(name)} `, middle, 'name'); // The blank keeps it apart from the note when read out.
      text('', middle + 10, 'note');
      group.setAttribute('role', 'button');
      group.setAttribute('tabindex', '0');
      const title = create('title', {});
      title.textContent = `${name} (${node.type})`;
      group.append(title);
      group.addEventListener('click', () => this.#choose(name));
      group.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        this.#choose(name);
      });
    }
    this.#nodes.set(name, group);
    this.#svg.append(group);
  }

  #addEdge(edge: GraphEdge): void {
    const path = create('path', { class: 'edge', d: curve(edge.points) });
    this.#edges.push({ edge, path });
    this.#svg.append(path);
    const [first, second] = edge.points;
    if (!edge.label || !first || !second) return;
    const label = create('text', {
      x: (first.x + second.x) / 2 + 6,
      y: (first.y + second.y) / 2,
      class: 'edge-label',
    });
    label.textContent = shorten(edge.label);
    this.#svg.append(label);
  }
}

function create<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[Name] {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function arrowHeads(): SVGDefsElement {
  const defs = create('defs', {});
  for (const id of ['arrow', 'arrow-taken']) {
    const marker = create('marker', {
      id,
      viewBox: '0 0 8 8',
      refX: 7,
      refY: 4,
      markerWidth: 8,
      markerHeight: 8,
      markerUnits: 'userSpaceOnUse',
      orient: 'auto',
    });
    marker.append(create('path', { d: 'M0 0 8 4 0 8Z', class: id }));
    defs.append(marker);
  }
  return defs;
}

/** Leaves and arrives straight down; upwards arrows go along their corners. */
function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return '';
  let from = first;
  let path = `M${first.x} ${first.y}`;
  for (const to of rest) {
    const isUpwards = to.y < from.y || to.y === from.y;
    const middle = (from.y + to.y) / 2;
    path += isUpwards ? `L${to.x} ${to.y}` : `C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.y}`;
    from = to;
  }
  return path;
}

function statusOf(name: string, state: StateOverview | undefined, { status }: ExecutionDetail): string {
  if (name === START) return 'succeeded';
  if (name === END) return status === 'SUCCEEDED' ? 'succeeded' : 'waiting';
  return state?.status ?? 'waiting';
}

function noteOf(state: StateOverview | undefined): string {
  if (!state || state.status === 'waiting') return '';
  const { iterations, tries, map } = state;
  if (iterations?.total === 0) return 'no items';
  if (iterations)
    return `${iterations.succeeded} of ${iterations.total}${iterations.failed ? `, ${iterations.failed} failed` : ''}`;
  if (map) return tries === 1 ? '' : `${tries} runs`;
  return tries > 1 ? `${tries} tries` : '';
}

/** Begins with what is to be seen, so that one who speaks to the machine can say it. */
const describe = (name: string, state: StateOverview | undefined): string =>
  `${[name, noteOf(state)].filter(Boolean).join(' ')}, ${state?.status === 'waiting' ? 'not started' : (state?.status ?? '')}`;

const shorten = (text: string): string => (text.length > 28 ? `${text.slice(0, 27)}…` : text);
