// Made-up pictures for the detection losses: objects, anchors over them, the offsets that a network
// has to learn, and what a half-trained network would say.

import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** A box by its centre, in pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Thing extends Box {
  /** Its class, from 1. */
  readonly label: number;
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly objects: readonly Thing[];
}

/** Four numbers that lead from one box to another: how far in x and y, how much wider and higher. */
export type Offsets = Float32Array;

export const CLASSES = 20;

/** Numbers from 0 to 1. */
export type Random = () => number;

/** The same numbers for the same seed. */
export function randomFrom(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  return () => uniformFloat32(generator);
}

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** `count` of the items, or all if there are fewer. */
export function sample<T>(random: Random, items: readonly T[], count: number): T[] {
  const pool = [...items];
  const size = Math.min(count, pool.length);
  return Array.from({ length: size }, () => {
    const [item] = pool.splice(Math.floor(random() * pool.length), 1);
    return item as T;
  });
}

// ---- boxes ------------------------------------------------------------------------------------

/** A picture with objects that take from 8 to 80 % of its shorter side. */
export function makePicture(
  random: Random,
  width: number,
  height: number,
  objects: number,
): Picture {
  const makeObject = (): Thing => {
    const size = 0.08 * 10 ** random() * Math.min(width, height);
    const stretch = Math.exp(0.3 * normal(random));
    const [w, h] = [Math.min(size * stretch, width), Math.min(size / stretch, height)];
    const x = w / 2 + random() * (width - w);
    const y = h / 2 + random() * (height - h);
    return { x, y, width: w, height: h, label: 1 + Math.floor(random() * CLASSES) };
  };
  return { width, height, objects: Array.from({ length: objects }, makeObject) };
}

/** A box near another. */
export function moved(box: Box, random: Random): Box {
  return {
    x: box.x + 0.2 * box.width * normal(random),
    y: box.y + 0.2 * box.height * normal(random),
    width: box.width * Math.exp(0.2 * normal(random)),
    height: box.height * Math.exp(0.2 * normal(random)),
  };
}

export type Shape = readonly [width: number, height: number];

/** Every size in every ratio of height to width, all ratios of a size with the same area. */
export function shapesOf(sizes: readonly number[], ratios: readonly number[]): Shape[] {
  return sizes.flatMap((size) =>
    ratios.map((ratio): Shape => [size / Math.sqrt(ratio), size * Math.sqrt(ratio)]),
  );
}

/** Boxes of all shapes around each place of a grid: row by row, in a row place by place. */
export function anchorsOn(picture: Picture, stride: number, shapes: readonly Shape[]): Box[] {
  const anchors: Box[] = [];
  for (let y = stride / 2; y < picture.height + stride / 2; y += stride)
    for (let x = stride / 2; x < picture.width + stride / 2; x += stride)
      for (const [width, height] of shapes) anchors.push({ x, y, width, height });
  return anchors;
}

export function isInside(box: Box, picture: Picture): boolean {
  return (
    box.x >= box.width / 2 &&
    box.y >= box.height / 2 &&
    box.x + box.width / 2 <= picture.width &&
    box.y + box.height / 2 <= picture.height
  );
}

// ---- matching ---------------------------------------------------------------------------------

/** The area that two boxes share, relative to the area that they cover. */
function overlap(a: Box, b: Box): number {
  const shared = (p: number, pLength: number, q: number, qLength: number): number =>
    Math.min(p + pLength / 2, q + qLength / 2) - Math.max(p - pLength / 2, q - qLength / 2);
  const width = shared(a.x, a.width, b.x, b.width);
  const height = shared(a.y, a.height, b.y, b.height);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (a.width * a.height + b.width * b.height - width * height);
}

export interface Match<T> {
  readonly box: Box;
  /** The object that this box overlaps more than any other box does; else that it overlaps most. */
  readonly object: T | undefined;
  readonly overlap: number;
  readonly isBest: boolean;
}

/** Says for each box to which object it belongs. Without objects it belongs to none. */
export function matchBoxes<T extends Box>(
  boxes: readonly Box[],
  objects: readonly T[],
): Match<T>[] {
  const most = objects.map((object) => Math.max(...boxes.map((box) => overlap(box, object))));
  return boxes.map((box) => {
    const overlaps = objects.map((object) => overlap(box, object));
    const claimed = overlaps.findIndex((value, k) => value > 0 && value === most[k]);
    const isBest = claimed >= 0;
    const chosen = isBest ? claimed : overlaps.indexOf(Math.max(...overlaps));
    return { box, object: objects[chosen], overlap: overlaps[chosen] ?? 0, isBest };
  });
}

// ---- offsets ----------------------------------------------------------------------------------

type Four = readonly [x: number, y: number, width: number, height: number];

/** By this Fast R-CNN and SSD divide their targets, which are then about as large as 1. */
export const SPREAD: Four = [0.1, 0.1, 0.2, 0.2];

/** The offsets from a box to an object, as the papers encode them; zeros if there is none. */
export function offsets(box: Box, object: Box | undefined, spread: Four = [1, 1, 1, 1]): Offsets {
  if (!object) return new Float32Array(4);
  const [x, y, width, height] = spread;
  return Float32Array.of(
    (object.x - box.x) / box.width / x,
    (object.y - box.y) / box.height / y,
    Math.log(object.width / box.width) / width,
    Math.log(object.height / box.height) / height,
  );
}

/** What a half-trained network says of the true offsets: mostly near them, at times far. */
export function guess(truth: Offsets, noise: number, random: Random): Offsets {
  return truth.map((offset) => offset + normal(random) * noise * (random() < 0.05 ? 10 : 1));
}
