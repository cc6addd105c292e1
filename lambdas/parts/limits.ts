/** URLs of one signing request. */
export const MAX_PART_URLS = 100;

/** URLs that a new or resumed upload is answered with: a small file then needs no signing request. */
export const FIRST_PART_URLS = 50;

/** Parts of one report: at most 14 pages, written at once. */
export const MAX_REPORTED_PARTS = 200;
