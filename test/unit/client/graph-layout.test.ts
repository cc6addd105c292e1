import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import {
  END,
  type GraphLayout,
  type GraphNode,
  type GraphStates,
  layoutGraph,
  START,
} from '../../../client/console/graph-layout.ts';

const nodeOf = (layout: GraphLayout, name: string): GraphNode => {
  const node = layout.nodes.find((candidate) => candidate.name === name);
  if (!node) throw new Error(`no node ${name}`);
  return node;
};
const isInside = (inner: GraphNode, outer: GraphNode) =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;
const overlap = (a: GraphNode, b: GraphNode) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const branching: GraphStates = {
  StartAt: 'Begin',
  States: {
    Begin: { Type: 'Choice', Choices: [{ Next: 'Left' }, { Next: 'Right' }], Default: 'Finish' },
    Left: { Type: 'Task', Next: 'Finish', Catch: [{ ErrorEquals: ['Broken'], Next: 'Mend' }] },
    Right: { Type: 'Task', Next: 'Further' },
    Further: { Type: 'Task', Next: 'Finish' },
    Mend: { Type: 'Task', Next: 'Begin' },
    Finish: { Type: 'Succeed' },
  },
};

describe('the graph of a workflow', () => {
  test('of the upload: straight down, with the map’s states inside it', () => {
    const definition = JSON.parse(
      readFileSync('statemachine/complete-upload.asl.json', 'utf8'),
    ) as GraphStates;
    const layout = layoutGraph(definition);
    const order = layout.nodes.filter(({ name }) => name in definition.States).sort((a, b) => a.y - b.y);
    expect(order.map(({ name }) => name)).toEqual(Object.keys(definition.States));
    for (const [name, state] of Object.entries(definition.States)) {
      for (const inner of Object.keys(state.ItemProcessor?.States ?? {}))
        expect(isInside(nodeOf(layout, inner), nodeOf(layout, name))).toBe(true);
    }
    expect(new Set(layout.nodes.map(({ x, width }) => x + width / 2)).size).toBe(1);
  });

  test('draws each state once and every arrow', () => {
    const layout = layoutGraph(branching);
    expect(layout.nodes.map(({ name }) => name).sort()).toEqual(
      [START, END, ...Object.keys(branching.States)].sort(),
    );
    expect(layout.edges.map(({ from, to }) => `${from}→${to}`).sort()).toEqual(
      [
        `${START}→Begin`,
        'Begin→Left',
        'Begin→Right',
        'Begin→Finish',
        'Left→Finish',
        'Left→Mend',
        'Right→Further',
        'Further→Finish',
        'Mend→Begin',
        `Finish→${END}`,
      ].sort(),
    );
    expect(layout.edges.find(({ to }) => to === 'Mend')?.label).toBe('Broken');
  });

  test('no two states overlap, and all are within the drawing', () => {
    const { nodes, width, height } = layoutGraph(branching);
    for (const [index, node] of nodes.entries()) {
      expect(
        node.x >= 0 && node.y >= 0 && node.x + node.width <= width && node.y + node.height <= height,
      ).toBe(true);
      for (const other of nodes.slice(index + 1))
        expect([node.name, other.name, overlap(node, other)]).toContain(false);
    }
  });

  test('a state stands below all that lead to it, but for arrows that close a circle', () => {
    const layout = layoutGraph(branching);
    for (const { from, to, points } of layout.edges) {
      const isDown = nodeOf(layout, from).y < nodeOf(layout, to).y;
      expect([from, isDown]).toEqual([from, from !== 'Mend']);
      expect(points.length).toBeGreaterThanOrEqual(2);
    }
  });

  test('branches of a Parallel stand side by side', () => {
    const branch = (name: string): GraphStates => ({
      StartAt: name,
      States: { [name]: { Type: 'Task', End: true } },
    });
    const layout = layoutGraph({
      StartAt: 'Both',
      States: { Both: { Type: 'Parallel', Branches: [branch('One'), branch('Other')], End: true } },
    });
    expect(overlap(nodeOf(layout, 'One'), nodeOf(layout, 'Other'))).toBe(false);
    expect(nodeOf(layout, 'One').y).toBe(nodeOf(layout, 'Other').y);
    expect(['One', 'Other'].every((name) => isInside(nodeOf(layout, name), nodeOf(layout, 'Both')))).toBe(
      true,
    );
  });
});
