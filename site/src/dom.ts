// Elements of the page, which has all of them from the start.

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element "${id}"`);
  return element as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A row of a table: its head, then its cells. */
export function row(head: Node | string, ...cells: (Node | string)[]): HTMLTableRowElement {
  const children = cells.map((cell) => make('td', {}, cell));
  return make('tr', {}, make('th', { scope: 'row' }, head), ...children);
}

/** The rows of a table's body, in the place of those before. */
export function fill(table: string, rows: readonly HTMLTableRowElement[]): void {
  byId<HTMLTableElement>(table).tBodies[0]?.replaceChildren(...rows);
}

/** A number for people: six significant digits, no rounding noise. */
export function digits(number: number): string {
  if (!Number.isFinite(number)) return number > 0 ? '∞' : number < 0 ? '−∞' : 'NaN';
  return String(Number(number.toPrecision(6))).replace('-', '−');
}

/** Nanoseconds as a time with three significant digits. */
export function time(ns: number): string {
  if (ns < 1e3) return `${ns.toPrecision(3)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  return `${(ns / 1e6).toPrecision(3)} ms`;
}
