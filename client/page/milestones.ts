/** What a screen reader is told of an upload: each quarter, not each percent. */
export class Milestones {
  #last = 0;

  /** @returns the quarter just passed (25, 50 or 75), once each */
  pass(fraction: number): number | undefined {
    const quarter = Math.min(Math.floor(fraction * 4), 3);
    if (quarter <= this.#last) return undefined;
    this.#last = quarter;
    return quarter * 25;
  }
}
